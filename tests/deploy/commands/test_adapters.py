"""LoRA adapters in the store: judged, hashed, named, verified, and loaded as exactly the bytes that were judged."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli_run import _adapter
from deploy.commands import adapters
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import verify as verify_models
from deploy.commands.resolve import looks_like_file
from deploy.commands.run import RunRequest, run
from deploy.commands.upkeep import collect
from deploy.engine.client import LlamaEngine
from deploy.engine.fake import FakeEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Adapter, Event
from deploy.errors import ExitCode, IntegrityError, InvalidModel, NotFound, UsageError
from deploy.store.adapters import adapters_of
from tests.support.gguf import WIDTH, TensorSpec, adapter_file, tiny_model
from tests.support.world import world


@pytest.fixture(name="here")
def fixture_here(tmp_path: Path) -> Context:
    """A world with one installed model."""
    install(world(tmp_path), InstallRequest(model="tiny"))
    return world(tmp_path, engine=FakeEngine())


def lora(path: Path, *, architecture: str = "llama", alpha: float = 8.0, width: int = WIDTH) -> Path:
    """An adapter for the tiny model, unless it is for another architecture or width."""
    file = adapter_file(
        TensorSpec("blk.0.attn_q.weight.lora_a", (width, 4)),
        TensorSpec("blk.0.attn_q.weight.lora_b", (4, width)),
        alpha=alpha,
        architecture=architecture,
    )
    return file.write(path)


def unheard(_: Event) -> None:
    """Nobody watches."""


def asked(*wanted: Adapter) -> RunRequest:
    """A question with adapters."""
    return RunRequest(prompt="Hi", model="tiny", adapters=wanted)


def blob(here: Context, name: str) -> Path:
    """Where an installed adapter's bytes lie."""
    (record,) = (one for one in adapters_of(here.paths).installed() if one.id == name)
    return here.paths.adapters / "blobs" / "sha256" / record.hashes[0]


def test_an_adapter_is_installed_and_used_by_its_name(here: Context, tmp_path: Path) -> None:
    """Its hash is kept, the models that it belongs to are found, and the engine gets it with that hash."""
    added = adapters.add(here, str(lora(tmp_path / "My Task.gguf")), None)
    assert added.data is not None
    record = added.data.installed
    assert (record.id, record.architecture, added.changed) == ("my-task", "llama", True)
    assert added.data.fits == ("tiny:Q4_0",)
    run(here, asked(Adapter(path="my-task", scale=0.5)), unheard)
    (used,) = here.engine.adapters  # type: ignore[attr-defined]
    assert (used.sha256, used.scale) == (record.hashes[0], 0.5)
    assert Path(used.path) == blob(here, "my-task")
    listed = adapters.list_adapters(here).data
    assert listed is not None
    assert [one.id for one in listed.adapters] == ["my-task"]
    assert "my-task" not in [one.id for one in here.store.installed()]


def test_an_adapter_may_be_called_by_a_number(here: Context, tmp_path: Path) -> None:
    """As one of a year: it is not taken for a version of something else."""
    adapters.add(here, str(lora(tmp_path / "2025.gguf")), None)
    listed = adapters.list_adapters(here).data
    assert listed is not None
    assert ([one.id for one in listed.adapters], listed.damaged) == (["2025"], ())
    run(here, asked(Adapter(path="2025")), unheard)
    assert adapters.remove(here, "2025").changed


def test_the_same_again_changes_nothing_and_another_is_refused(here: Context, tmp_path: Path) -> None:
    """A name means the bytes that it was given to."""
    path = lora(tmp_path / "task.gguf")
    adapters.add(here, str(path), None)
    assert not adapters.add(here, str(path), None).changed
    lora(path, alpha=2.0)
    with pytest.raises(UsageError, match="Another adapter is installed as task"):
        adapters.add(here, str(path), None)
    assert adapters.add(here, str(path), "task-2").changed
    assert adapters.verify(here, None).exit_code == ExitCode.DONE


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda path: path.write_bytes(tiny_model().build()), InvalidModel),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), IntegrityError),
        (lambda path: path.write_bytes(b"no"), IntegrityError),
        (Path.unlink, NotFound),
    ],
)
def test_what_the_gate_refuses_is_not_installed(
    here: Context, tmp_path: Path, spoil: Callable[[Path], object], error: type[Exception]
) -> None:
    """A model, a file cut short, another file, none."""
    path = lora(tmp_path / "task.gguf")
    spoil(path)
    with pytest.raises((error, InvalidModel)):
        adapters.add(here, str(path), None)
    listed = adapters.list_adapters(here).data
    assert listed is not None
    assert listed.adapters == ()


def test_one_without_a_model_here_is_said(here: Context, tmp_path: Path) -> None:
    """It is installed, and refused by the models that it does not belong to."""
    for number_, path in enumerate(
        (lora(tmp_path / "a.gguf", architecture="gemma3"), lora(tmp_path / "b.gguf", width=64))
    ):
        added = adapters.add(here, str(path), None)
        assert added.data is not None
        assert added.data.fits == ()
        assert "No installed model" in added.messages[0].text
        with pytest.raises(InvalidModel, match="does not belong to this model"):
            run(here, asked(Adapter(path="ab"[number_])), unheard)


def test_an_altered_one_is_never_loaded(here: Context, tmp_path: Path) -> None:
    """It is found by a load and by a check, set aside, and brought back by adding it again."""
    path = lora(tmp_path / "task.gguf")
    adapters.add(here, str(path), None)
    stored = blob(here, "task")
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"\1")
    with pytest.raises(IntegrityError, match="altered") as refused:
        run(here, asked(Adapter(path="task")), unheard)
    assert "adapters add" in refused.value.hint
    found = adapters.verify(here, None)
    assert (found.exit_code, found.errors[0].code) == (ExitCode.INTEGRITY, "integrity")
    assert verify_models(here, None).exit_code == ExitCode.INTEGRITY
    assert adapters.add(here, str(path), "task").changed
    assert verify_models(here, None).exit_code == ExitCode.DONE
    run(here, asked(Adapter(path="task")), unheard)


def test_removal_and_clearing_leave_what_is_in_use(here: Context, tmp_path: Path) -> None:
    """Clearing takes what no adapter needs, and a removed adapter is gone."""
    adapters.add(here, str(lora(tmp_path / "one.gguf")), None)
    adapters.add(here, str(lora(tmp_path / "two.gguf", alpha=2.0)), None)
    orphan = blob(here, "one").with_name("f" * 64)
    orphan.write_bytes(b"left behind")
    assert collect(here).changed
    assert not orphan.exists()
    assert adapters.verify(here, "one").exit_code == ExitCode.DONE
    gone = adapters.remove(here, "one").data
    assert gone is not None
    assert gone.freed_bytes > 0
    with pytest.raises(NotFound, match="There is no adapter one"):
        run(here, asked(Adapter(path="one")), unheard)
    assert adapters.verify(here, "two").exit_code == ExitCode.DONE


def test_a_damaged_record_says_so(here: Context, tmp_path: Path) -> None:
    """It is neither taken for another nor for none, and can be removed."""
    adapters.add(here, str(lora(tmp_path / "one.gguf")), None)
    record = here.paths.adapters / "models" / "one.json"
    record.chmod(0o644)
    record.write_text("{}")
    with pytest.raises(IntegrityError, match="record of one cannot be used"):
        run(here, asked(Adapter(path="one")), unheard)
    assert adapters.verify(here, None).exit_code == ExitCode.INTEGRITY
    adapters.remove(here, "one")
    assert adapters.verify(here, None).exit_code == ExitCode.DONE


@pytest.mark.parametrize("how", ["another file", "in place"])
def test_what_is_loaded_is_what_was_judged(here: Context, tmp_path: Path, how: str) -> None:
    """A file that is changed after the gate has seen it is refused by its hash, on the descriptor that is loaded."""
    path, other = lora(tmp_path / "task.gguf"), lora(tmp_path / "other.gguf", alpha=2.0)
    ((judged, _),) = adapters.usable(replace(here), (Adapter(path=str(path)),))
    if how == "in place":
        path.write_bytes(other.read_bytes())
    else:
        other.replace(path)
    model = tiny_model().write(tmp_path / "model.gguf")
    engine = LlamaEngine().with_adapters((judged,))
    with pytest.raises(IntegrityError, match=r"task\.gguf is not the file that was checked"):
        engine.open([model], LoadPlan(context_tokens=256), lambda _: None)


@pytest.mark.parametrize(
    ("typed", "path", "scale"), [("./mine", "./mine", 1.0), ("./mine:0.5", "./mine", 0.5), ("mine:2", "mine", 2.0)]
)
def test_what_is_typed_as_a_file_stays_one(typed: str, path: str, scale: float) -> None:
    """A name without a folder is that of an installed adapter, and refusals say to write a file as ./NAME."""
    found = _adapter(typed)
    assert (found.path, found.scale) == (path, scale)
    assert looks_like_file(found.path) is typed.startswith("./")


def test_a_pipe_is_no_adapter(here: Context, tmp_path: Path) -> None:
    """Opening it would wait for whoever writes to it."""
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(InvalidModel, match="not a plain file"):
        adapters.usable(here, [Adapter(path=str(tmp_path / "pipe.gguf"))])
