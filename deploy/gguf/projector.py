"""Judges a projector (mmproj) in a GGUF file before native code sees it: what turns images into what a model reads.

Values that make llama.cpp's reader (tools/mtmd/clip.cpp) divide by zero or ask for absurd memory are refused here.
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from deploy.errors import InvalidModel
from deploy.gguf.fields import Fields
from deploy.gguf.reader import Value, read_header

WIDTH_LIMIT: Final = 1 << 16
BLOCKS_LIMIT: Final = 512
SIDE_LIMIT: Final = 1 << 13
"""Pixels of a side of what is looked at, and of a patch of it."""
MERGE_LIMIT: Final = 16
PATCHES_LIMIT: Final = 1 << 18
MANY_TOKENS: Final = 4096
"""Tokens of an image where a projector takes it in its own size and does not say how large it may be."""
TILED: Final = frozenset(
    ("mlp", "ldp", "ldpv2", "gemma3", "idefics3", "internvl", "janus_pro", "llama4", "resampler", "adapter", "cogvlm")
)
"""Kinds that bring every image, or every tile of it, to one size."""
SPARE_BYTES: Final = 16 << 20
_KIND: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
HINT: Final = "Give the mmproj file that was published with the model."


class ProjectorFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a projector's file says."""

    name: str
    kind: str
    width: int
    """Numbers for each token that it gives; a model of another width cannot read them."""
    tensor_bytes: int
    compute_bytes: int
    """An upper bound of what encoding an image takes; see docs/images.md for how it was found."""

    @property
    def memory_bytes(self) -> int:
        """All that it takes beside the model."""
        return self.tensor_bytes + self.compute_bytes


def inspect_projector(path: Path) -> ProjectorFile:
    """Read and judge the file by itself. Raises NotFound, Incomplete or InvalidModel."""
    header = read_header(path)
    fields = Fields(header, path.name)
    if fields.text("general.architecture") != "clip":
        raise InvalidModel(f"{path.name} is not a projector for images.", hint=HINT)
    if header.metadata.get("clip.has_vision_encoder") is not True:
        raise InvalidModel(f"{path.name} is a projector, but not for images.", hint=HINT)
    if not header.tensors:
        raise InvalidModel(f"{path.name} holds no tensors.", hint=HINT)
    for key in ("image_mean", "image_std"):
        if (fields.length(f"clip.vision.{key}", ["float32"]) or 0) < 3:  # noqa: PLR2004 - red, green, blue
            raise fields.refused(f"clip.vision.{key} does not have three numbers")
    kind = fields.text("clip.projector_type") or fields.text("clip.vision.projector_type")
    if not kind or not _KIND.fullmatch(kind):
        raise InvalidModel(f"{path.name} does not say what kind of projector it is.", hint=HINT)
    width = fields.required("clip.vision.projection_dim", 1, WIDTH_LIMIT)
    return ProjectorFile(
        name=path.name,
        kind=kind,
        width=width,
        tensor_bytes=sum(tensor.size_bytes for tensor in header.tensors),
        compute_bytes=_compute_bytes(fields, kind, width, header.metadata.get("clip.vision.image_max_pixels")),
    )


def _compute_bytes(fields: Fields, kind: str, width: int, most_pixels: Value | None) -> int:
    """Four bytes for every number of a patch that the engine holds at once, counted generously."""
    inner = fields.required("clip.vision.feed_forward_length", 0, WIDTH_LIMIT)
    own = fields.required("clip.vision.embedding_length", 1, WIDTH_LIMIT)
    fields.required("clip.vision.block_count", 0, BLOCKS_LIMIT)
    fields.required("clip.vision.attention.head_count", 0, WIDTH_LIMIT)
    side = fields.required("clip.vision.image_size", 1, SIDE_LIMIT)
    patch = fields.required("clip.vision.patch_size", 1, side)
    merge = _merge(fields)
    patches = (-(-side // patch)) ** 2
    if kind not in TILED:
        limit = most_pixels if isinstance(most_pixels, int) else MANY_TOKENS * (merge * patch) ** 2
        patches = max(patches, -(-limit // patch**2))
    if patches > PATCHES_LIMIT:
        raise fields.refused(f"an image would have {patches:,} patches")
    numbers = patches * (2 * inner + 5 * own + 3 * patch**2 + 2 * width) + own * width  # the last: a matrix turned over
    return SPARE_BYTES + 4 * numbers


def _merge(fields: Fields) -> int:
    """Patches along a side that become one token."""
    for key in ("clip.vision.projector.scale_factor", "clip.vision.spatial_merge_size"):
        found = fields.whole(key, 1, MERGE_LIMIT)
        if found is not None:
            return found
    return 2
