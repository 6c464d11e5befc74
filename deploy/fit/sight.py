"""What a model takes beside itself to look at images: its projector, and the buffer in which an image is encoded.

Before the projector's file is here, only its size is known. From it follows the width of the usual vision part, and
from that a bound of the buffer; what the file's own header says takes its place as soon as it is installed.
"""

import math
from typing import Final

from deploy.catalog.model import Artifact, Model
from deploy.fit.memory import MemoryPlan, Term
from deploy.fit.suit import Purpose
from deploy.gguf.projector import MANY_TOKENS, SPARE_BYTES, ProjectorFile
from profiles.machine import Provenance

WEIGHT_BYTES: Final = {"F32": 4.0, "Q8_0": 1.0625}
"""Of one weight; two for every other form."""
PATCHES: Final = {"gemma3": 64**2, "llama4": 24**2}
"""Architectures whose projectors bring every image, or tile of one, to one size."""
MERGED_PATCHES: Final = 4
"""Of an image in its own size, so many patches become one token."""
BLOCK_SQUARES: Final = 12 * 27
"""Weights of a usual vision part over the square of its width: in 27 blocks four for attention and eight more."""
NUMBERS: Final = 24
"""The engine's numbers for each patch over that width, at most: see docs/images.md for the count from the header."""
NAMES: Final = ("projector", "image buffer")


def default_projector(model: Model, purpose: Purpose) -> Artifact | None:
    """The projector to count and to bring for this purpose; None where none is needed or known."""
    return model.projectors[0] if purpose == "vision" and model.projectors else None


def sight_terms(model: Model, projector: Artifact, pool: str) -> tuple[Term, ...]:
    """The projector of the catalogue in one memory."""
    exact = projector.size_exact
    weights = projector.size_bytes / WEIGHT_BYTES.get(projector.quant, 2.0)
    patches = PATCHES.get(model.architecture, MANY_TOKENS * MERGED_PATCHES)
    buffer = SPARE_BYTES + math.ceil(4 * patches * NUMBERS * math.sqrt(weights / BLOCK_SQUARES))
    return (
        Term(
            name=NAMES[0],
            bytes=projector.size_bytes,
            provenance=Provenance.CATALOGUE if exact else Provenance.ESTIMATED,
            how="size of its file" if exact else "size of its file as printed, rounded, by its list",
            pool=pool,
        ),
        Term(
            name=NAMES[1],
            bytes=buffer,
            provenance=Provenance.ESTIMATED,
            how=f"at most: {patches:,} patches of an image, as wide as the size of the projector suggests",
            pool=pool,
        ),
    )


def with_sight(memory: MemoryPlan, projector: ProjectorFile) -> MemoryPlan:
    """The plan with what an installed projector says of itself, in the memory where the plan has one, or the first."""
    pool = next((term.pool for term in memory.terms if term.name in NAMES), memory.terms[0].pool)
    figures = (projector.tensor_bytes, projector.compute_bytes)
    hows = ("size of its tensors", "at most, from the shape in its header")
    terms = (
        Term(name=name, bytes=count, provenance=Provenance.ESTIMATED, how=how, pool=pool)
        for name, count, how in zip(NAMES, figures, hows, strict=True)
    )
    return MemoryPlan(terms=(*(term for term in memory.terms if term.name not in NAMES), *terms))
