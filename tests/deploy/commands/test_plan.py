"""Planning one model: from the catalogue, from the store, from a file."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from deploy.commands.install import InstallRequest, install
from deploy.commands.pace import fingerprint, keep_calibration
from deploy.commands.plan import plan
from deploy.engine.fake import FakeEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.errors import EngineFailed, ExitCode, Incomplete, InvalidModel, NotFound, NothingFits
from deploy.fit.fit import Workload
from deploy.fit.memory import MemoryPlan, Term
from profiles.machine import Provenance
from tests.support.gguf import number, tiny_model
from tests.support.pace import calibration
from tests.support.world import GB, TINY, machine, model, sized, world


def test_a_catalogued_model_is_planned_without_its_file(tmp_path: Path) -> None:
    """Figures of the catalogue; nothing is fetched and nothing is loaded."""
    here = world(tmp_path, model("m", sized("Q4_0", GB)), sources=())
    result = plan(here, "M:q4_0", Workload(context_tokens=4096))
    assert (result.status, result.exit_code) == ("success", ExitCode.DONE)
    assert result.data is not None
    assert (result.data.id, result.data.verdict) == ("m:Q4_0", "fits")
    assert result.data.plan.context_tokens == 4096
    assert result.data.peak_bytes == sum(term.bytes for term in result.data.memory.terms)
    assert not here.engine.opened  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("free_bytes", "speed", "verdict", "advice"),
    [(GB, 6.0, "too-large", "smaller model"), (64 * GB, 500.0, "too-slow", "--min-speed")],
)
def test_a_model_that_will_not_do_is_an_error_with_its_figures(
    tmp_path: Path, free_bytes: int, speed: float, verdict: str, advice: str
) -> None:
    """Scripts see the exit code, people the terms and a way out."""
    here = world(
        tmp_path, model("m", sized("Q4_0", 2 * GB)), on=machine(total_bytes=64 * GB, available_bytes=free_bytes)
    )
    result = plan(here, "m:Q4_0", Workload(min_decode_tok_s=speed))
    assert (result.status, result.exit_code) == ("error", ExitCode.NOTHING_FITS)
    assert result.data is not None
    assert result.data.verdict == verdict
    assert advice in result.errors[0].hint


def test_a_name_alone_takes_the_best_form_that_fits(tmp_path: Path) -> None:
    """And says no where none does."""
    forms = model("m", sized("Q8_0", 20 * GB), sized("Q4_K_M", 10 * GB))
    small = world(tmp_path, forms, on=machine(available_bytes=13 * GB))
    result = plan(small, "m", Workload(min_decode_tok_s=0))
    assert result.data is not None
    assert result.data.id == "m:Q4_K_M"
    with pytest.raises(NothingFits, match="M does not fit this machine"):
        plan(world(tmp_path, forms, on=machine(available_bytes=GB)), "m", Workload())


def test_an_own_file_is_asked_of_the_engine(tmp_path: Path) -> None:
    """No catalogue knows it: its figures are the engine's."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    result = plan(world(tmp_path), str(file), Workload())
    assert result.data is not None
    assert (result.data.id, result.data.licence) == ("own.gguf", None)
    assert result.data.plan.context_tokens == 4096, "the file was trained for no more"
    assert result.data.memory.terms[0].bytes == len(TINY)
    assert result.data.memory.terms[0].provenance is Provenance.ENGINE


def test_an_installed_file_of_ones_own_is_asked_of_the_engine_too(tmp_path: Path) -> None:
    """Its name is the store's, its bytes are the store's."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    here = world(tmp_path)
    install(here, InstallRequest(model=str(file)))
    file.unlink()
    result = plan(here, "own", Workload())
    assert result.data is not None
    assert result.data.id == "own:Q4_0"


def test_a_tiny_room_for_an_own_file_is_too_large(tmp_path: Path) -> None:
    """The rehearsed figures are judged like the catalogue's."""
    file = tiny_model().write(tmp_path / "own.gguf")
    result = plan(world(tmp_path, on=machine(available_bytes=GB // 100)), str(file), Workload())
    assert result.exit_code == ExitCode.NOTHING_FITS
    result = plan(world(tmp_path), str(file), Workload(min_decode_tok_s=10**6))
    assert result.exit_code == ExitCode.NOTHING_FITS
    assert "tok/s are asked for" in result.errors[0].message


def test_a_way_that_the_engine_refuses_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values of some architectures are one: the plan is then one that keeps both alike."""
    wide = tiny_model()
    wide.settings["llama.attention.key_length"] = number("u32", 32)
    here, file = world(tmp_path), wide.write(tmp_path / "own.gguf")
    keep_calibration(here.paths, calibration(fingerprint(here.profile())))
    gains = plan(here, str(file), Workload())
    real = FakeEngine.rehearse

    def refusing(self: FakeEngine, files: Sequence[Path], way: LoadPlan) -> Rehearsed:
        if way.kv_type != "f16":
            raise EngineFailed("The engine cannot create a context.", hint="Choose another model.")
        return real(self, files, way)

    monkeypatch.setattr(FakeEngine, "rehearse", refusing)
    refused = plan(here, str(file), Workload())
    assert gains.data is not None
    assert refused.data is not None
    assert (gains.data.plan.kv_type, refused.data.plan.kv_type) == ("q8_0/f16", "f16")


def test_users_of_an_own_file_take_memory_and_turns(tmp_path: Path) -> None:
    """As those of a catalogued model do: a context each, and a share of the speed."""
    file = tiny_model().write(tmp_path / "own.gguf")
    one, four = (plan(world(tmp_path), str(file), Workload(min_decode_tok_s=0, users=users)).data for users in (1, 4))
    assert one is not None
    assert four is not None
    context = next(term.bytes for term in one.memory.terms if term.name == "context")
    assert four.peak_bytes == one.peak_bytes + 3 * context
    assert four.reason.endswith("tok/s for each user.")


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        ("no.gguf", None, NotFound),
        ("text.gguf", b"not a model at all", InvalidModel),
        ("cut.gguf", TINY[:-100], Incomplete),
    ],
)
def test_a_bad_file_is_refused_before_the_engine_sees_it(
    tmp_path: Path, name: str, body: bytes | None, error: type[Exception]
) -> None:
    """Each kind by its own error."""
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(error):
        plan(world(tmp_path), str(tmp_path / name), Workload())


@pytest.mark.parametrize(("name", "hint"), [("tini", "Did you mean tiny?"), ("tiny:Q9", "Did you mean Q4_0?")])
def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    """A slip of the finger is told what it may have meant."""
    with pytest.raises(NotFound) as caught:
        plan(world(tmp_path), name, Workload())
    assert caught.value.hint == hint


def test_a_hub_name_with_a_slash_is_no_file(tmp_path: Path) -> None:
    """It is looked up in the catalogue before it is called a missing file."""
    with pytest.raises(NotFound, match="in the catalogue"):
        plan(world(tmp_path), "someone/something", Workload())


def test_an_installed_model_is_asked_of_the_engine_too(tmp_path: Path) -> None:
    """The catalogue's bounds give way to the engine's own figures for the files that are here."""
    here = world(tmp_path)
    before = plan(here, "tiny:Q4_0", Workload())
    install(here, InstallRequest(model="tiny"))
    after = plan(here, "tiny:Q4_0", Workload())
    assert before.data is not None
    assert after.data is not None
    bound, asked = (_term(data.memory, "context") for data in (before.data, after.data))
    assert "dry run" in bound.how
    assert asked.how == "asked of the engine for this file and this plan"
    assert asked.bytes == after.data.plan.context_tokens * 1024


def test_a_simulated_machine_is_not_asked(tmp_path: Path) -> None:
    """The engine here says nothing of a machine that is elsewhere."""
    here = world(tmp_path)
    install(here, InstallRequest(model="tiny"))
    elsewhere = world(tmp_path, on=msgspec.structs.replace(machine(), simulated=True))
    found = plan(elsewhere, "tiny:Q4_0", Workload())
    assert found.data is not None
    assert "dry run" in _term(found.data.memory, "context").how


def _term(memory: MemoryPlan, name: str) -> Term:
    return next(term for term in memory.terms if term.name == name)
