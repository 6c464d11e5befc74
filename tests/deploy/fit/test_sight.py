"""What images take beside the model: counted where they are asked for, by what is known of the projector."""

import msgspec

from deploy.catalog import loader
from deploy.fit.fit import Workload, fit
from deploy.fit.memory import MemoryPlan
from deploy.fit.sight import NAMES, default_projector, sight_terms, with_sight
from deploy.gguf.projector import ProjectorFile
from profiles.budget import HOST, budget
from tests.support.world import GB, machine, model, sighted, sized

TEXT = Workload(min_decode_tok_s=0)
IMAGES = msgspec.structs.replace(TEXT, purpose="vision")
KNOWN = sighted(model("m", sized("Q4_0", GB)), sized("F16", 850 * 10**6), sized("Q8_0", 450 * 10**6))


def test_a_projector_counts_for_images_and_not_for_text() -> None:
    """File and buffer, of the first projector, in what it takes, what it stores and why."""
    here = budget(machine())
    text, images = (fit(KNOWN, KNOWN.artifacts[0], here, workload) for workload in (TEXT, IMAGES))
    terms = sight_terms(KNOWN, KNOWN.projectors[0], HOST)
    assert images.peak_bytes - text.peak_bytes == sum(term.bytes for term in terms)
    assert images.hard_bytes - text.hard_bytes == sum(term.bytes for term in terms)
    assert images.size_bytes - text.size_bytes == KNOWN.projectors[0].size_bytes
    assert "projector" in images.reason
    assert "projector" not in text.reason


def test_what_fits_for_text_may_be_too_large_with_its_projector() -> None:
    """The room is asked for both together."""
    need = fit(KNOWN, KNOWN.artifacts[0], budget(machine()), TEXT).peak_bytes
    tight = budget(machine(available_bytes=2 * need))
    tight = msgspec.structs.replace(tight, pools=(msgspec.structs.replace(tight.host, budget_bytes=need + need // 10),))
    assert fit(KNOWN, KNOWN.artifacts[0], tight, TEXT).verdict == "fits"
    assert fit(KNOWN, KNOWN.artifacts[0], tight, IMAGES).verdict == "too-large"


def test_the_header_of_an_installed_projector_takes_the_place_of_the_estimate() -> None:
    """In the memory where it was counted, and only once."""
    planned = MemoryPlan(terms=sight_terms(KNOWN, KNOWN.projectors[0], "a card"))
    file = ProjectorFile(name="mmproj.gguf", kind="mlp", width=8, tensor_bytes=70, compute_bytes=5)
    found = with_sight(planned, file)
    assert [(term.name, term.bytes, term.pool) for term in found.terms] == [
        (NAMES[0], 70, "a card"),
        (NAMES[1], 5, "a card"),
    ]


def test_every_known_projector_is_counted_with_a_buffer_of_a_sensible_size() -> None:
    """Between a tenth and five times of what its weights take: the vision parts of today's models."""
    for known in loader.load().models:
        projector = default_projector(known, "vision")
        if projector is not None:
            weights, buffer = (term.bytes for term in sight_terms(known, projector, HOST))
            assert weights == projector.size_bytes
            assert 0.05 < buffer / weights < 5, known.id
