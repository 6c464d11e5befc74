"""Advice: every change that is named is enough by itself, as the fit functions themselves say."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Model
from deploy.fit.advice import advise
from deploy.fit.fit import Workload, fit
from deploy.quantities import gigabytes
from profiles.budget import budget
from tests.support.world import GB, machine

SHIPPED = loader.load()
CONTEXTS = st.sampled_from([4096, 32768, 131072])


@settings(deadline=None)
@given(st.sampled_from(SHIPPED.models), CONTEXTS, st.sampled_from([4, 16, 64]), st.sampled_from([1, 4]))
def test_what_is_advised_is_enough(known: Model, context: int, memory_gb: int, users: int) -> None:
    """A shorter context, more memory or a lower speed: fitted again with it, the model fits."""
    form = known.artifacts[-1]
    here = budget(machine(total_bytes=memory_gb * GB, cores=8))
    asked = Workload(context_tokens=context, users=users)
    for change in advise(known, form, here, asked):
        if change.kind == "context":
            again = fit(known, form, here, msgspec.structs.replace(asked, context_tokens=int(change.value)))
        elif change.kind == "memory":
            total = memory_gb * GB + int(change.value)
            larger = machine(total_bytes=total + total // 5, cores=8)  # a fifth more: what the system keeps grows too
            again = fit(known, form, budget(larger), asked)
        else:
            again = fit(known, form, here, msgspec.structs.replace(asked, min_decode_tok_s=change.value))
        assert again.verdict == "fits", change


def test_what_fits_needs_no_advice() -> None:
    """Nor does what no change would help."""
    known = next(model for model in SHIPPED.models if model.id == "qwen3-0.6b")
    here = budget(machine(cores=8))
    assert fit(known, known.artifacts[-1], here, Workload()).verdict == "fits"
    assert advise(known, known.artifacts[-1], here, Workload()) == ()


def test_memory_is_advised_in_whole_gibibytes() -> None:
    """As it is bought, with the figure in the sentence."""
    known = next(model for model in SHIPPED.models if model.id == "qwen3-4b")
    here = budget(machine(total_bytes=3 * GB, cores=16))
    (memory,) = (change for change in advise(known, known.artifacts[-1], here, Workload()) if change.kind == "memory")
    assert memory.value % (1 << 30) == 0
    assert f"{gigabytes(int(memory.value))} more memory" in memory.sentence


def test_a_shorter_context_is_advised_where_it_helps() -> None:
    """Qwen3 8B takes 147 kB a token: at 32k most of its memory is context."""
    known = next(model for model in SHIPPED.models if model.id == "qwen3-8b")
    form = next(form for form in known.artifacts if form.quant == "Q4_K_M")
    here = budget(machine(total_bytes=9 * GB, cores=16))
    asked = Workload(context_tokens=40_960, min_decode_tok_s=1)
    kinds = [change.kind for change in advise(known, form, here, asked)]
    assert kinds == ["context", "memory"]
