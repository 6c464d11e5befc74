"""One prompt, one answer, with the fake engine: what is asked of it and what comes back."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.run import RunRequest, run
from deploy.commands.session import open_model
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Adapter, Done, Event, Reading, Sampling, Text, Thinking
from deploy.errors import EngineFailed, InvalidModel, NotEnoughMemory, NotFound, PolicyRefused, UsageError
from deploy.fit.fit import Workload
from deploy.journal import Journal
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.support.gguf import TensorSpec, adapter_file
from tests.support.world import GB, TINY, FakeSource, artifact, machine, model, sized, world

WORST, BEST = model("worst", artifact("Q4_0"), parameters=GB // 10), model("best", artifact("Q4_0"), parameters=GB)


class Watched(FakeEngine):
    """A fake engine that keeps its sessions."""

    def __init__(self, answer: str = "Because nothing leaves.", **more: int | str) -> None:
        """Answer like the fake engine."""
        super().__init__(answer, **more)  # type: ignore[arg-type]
        self.sessions: list[FakeSession] = []

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> FakeSession:
        """Open like the fake engine, and remember."""
        self.sessions.append(super().open(files, plan, on_loading))
        return self.sessions[-1]


def ready(tmp_path: Path, engine: Watched, *names: str, **more: object) -> Context:
    """A world in which these models are installed."""
    for name in names:
        install(world(tmp_path, WORST, BEST), InstallRequest(model=name))
    return world(tmp_path, WORST, BEST, engine=engine, **more)  # type: ignore[arg-type]


def unheard(_: Event) -> None:
    """Nobody watches."""


def test_an_answer_comes_with_the_engines_figures(tmp_path: Path) -> None:
    """The events stream, the result holds the whole; the session is closed afterwards."""
    engine = Watched("Because nothing leaves.")
    heard: list[Event] = []
    request = RunRequest(prompt="Why?", system="Be brief.", max_tokens=9, sampling=Sampling(seed=3))
    result = run(ready(tmp_path, engine, "best"), request, heard.append)
    assert result.data is not None
    assert (result.data.model, result.data.answer, result.data.ended) == (
        "best:Q4_0",
        "Because nothing leaves.",
        "stop",
    )
    assert result.data.stats == heard[-1].stats  # type: ignore[union-attr]
    assert {type(event) for event in heard} == {Reading, Text, Done}
    asked = engine.sessions[0].requests[0]
    assert [(turn.role, turn.content) for turn in asked.messages] == [("system", "Be brief."), ("user", "Why?")]
    assert (asked.max_tokens, asked.sampling.seed) == (9, 3)
    assert engine.sessions[0].closed


def test_the_best_installed_model_answers_when_none_is_named(tmp_path: Path) -> None:
    """And it says why it was taken."""
    result = run(ready(tmp_path, Watched(), "worst", "best"), RunRequest(prompt="Hi"), unheard)
    assert result.data is not None
    assert result.data.model == "best:Q4_0"
    assert "ranks best among the installed" in result.data.why


def test_the_named_model_answers(tmp_path: Path) -> None:
    """Also where another one ranks higher."""
    result = run(ready(tmp_path, Watched(), "worst", "best"), RunRequest(prompt="Hi", model="worst"), unheard)
    assert result.data is not None
    assert (result.data.model, result.data.why) == ("worst:Q4_0", "It was asked for by name.")


def test_a_file_is_run_from_where_it_lies(tmp_path: Path) -> None:
    """No install is needed for one's own file."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    engine = Watched()
    assert run(ready(tmp_path, engine), RunRequest(prompt="Hi", model=str(file)), unheard).data is not None
    assert engine.opened[0][0] == (file,)


@pytest.mark.parametrize("asked", ["best", "file"])
def test_an_answer_that_must_come_again_hangs_on_no_load(tmp_path: Path, asked: str) -> None:
    """Flash attention rounds by the number of threads, and how many guesses pay hangs on the clock."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    engine = Watched()
    context = ready(tmp_path, engine, "best")
    for repeatable in (False, True):
        run(
            context,
            RunRequest(prompt="Hi", model=str(file) if asked == "file" else asked, repeatable=repeatable),
            unheard,
        )
    plans = [plan for _, plan in engine.opened]
    assert [plan.flash_attention for plan in plans] == [True, False]
    assert [plan.speculation_tokens > 0 for plan in plans] == [True, False]


@pytest.mark.parametrize(
    ("model_name", "sentence", "hint"),
    [
        ("best", "best:Q4_0 is not installed", "landfast install best:Q4_0"),
        (None, "No model is installed", "landfast install"),
        ("nothing-such", "no model", ""),
    ],
)
def test_what_is_not_there_does_not_answer(tmp_path: Path, model_name: str | None, sentence: str, hint: str) -> None:
    """Nothing is fetched by run itself."""
    source = FakeSource()
    with pytest.raises(NotFound, match=sentence) as caught:
        run(ready(tmp_path, Watched(), sources=(source,)), RunRequest(prompt="Hi", model=model_name), unheard)
    assert hint in caught.value.hint
    assert source.fetched == []


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_refused_before_anything_is_loaded(tmp_path: Path, prompt: str) -> None:
    """Loading takes seconds."""
    engine = Watched()
    with pytest.raises(UsageError, match="no prompt"):
        run(ready(tmp_path, engine, "best"), RunRequest(prompt=prompt), unheard)
    assert engine.opened == []


def test_a_model_that_cannot_be_held_now_is_not_loaded(tmp_path: Path) -> None:
    """What cannot be given back must be free; the sentence has both figures."""
    engine = Watched()
    here = ready(tmp_path, engine, "best", on=machine(available_bytes=GB // 5))
    with pytest.raises(NotEnoughMemory, match=r"needs \d+ MB .* is free for it"):
        run(here, RunRequest(prompt="Hi"), unheard)
    assert engine.opened == []


def test_weights_that_do_not_stay_in_memory_are_a_warning(tmp_path: Path) -> None:
    """Mapped weights can be read again: slow, and not refused."""
    ready(tmp_path, Watched(), "best")
    heavy = model("best", sized("Q4_0", 2 * GB))
    result = run(
        world(tmp_path, heavy, engine=Watched(), on=machine(total_bytes=4 * GB, available_bytes=GB)),
        RunRequest(prompt="Hi"),
        unheard,
    )
    assert "weights will be read from disk again and again" in result.messages[0].text
    assert result.data is not None
    assert result.data.memory.planned_peak_bytes > 2 * GB


def test_an_engine_that_dies_is_an_error_and_is_closed(tmp_path: Path) -> None:
    """What it said until then was streamed; the error says what happened."""
    engine = Watched("one two three", dies_after=3)
    heard: list[Event] = []
    with pytest.raises(EngineFailed, match="SIGKILL"):
        run(ready(tmp_path, engine, "best"), RunRequest(prompt="Hi"), heard.append)
    assert [event.text for event in heard if isinstance(event, Text)] == ["one", " two"]
    assert engine.sessions[0].closed


def test_an_interrupted_answer_closes_the_engine(tmp_path: Path) -> None:
    """Ctrl-C leaves no process behind."""
    engine = Watched("one two three")

    def stop(event: Event) -> None:
        if isinstance(event, Text):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(ready(tmp_path, engine, "best"), RunRequest(prompt="Hi"), stop)
    assert engine.sessions[0].closed


def test_what_is_thought_is_apart_from_the_answer(tmp_path: Path) -> None:
    """In the events and in the result."""
    heard: list[Event] = []
    engine = Watched("Four.", thinking="Two and two")
    result = run(ready(tmp_path, engine, "best"), RunRequest(prompt="2+2?"), heard.append)
    assert result.data is not None
    assert (result.data.thinking, result.data.answer) == ("Two and two", "Four.")
    assert "".join(event.text for event in heard if isinstance(event, Thinking)) == "Two and two"


def test_values_that_nobody_chose_are_the_models(tmp_path: Path) -> None:
    """The result tells every one of them."""
    result = run(
        ready(tmp_path, Watched(), "best"), RunRequest(prompt="Hi", sampling=Sampling(top_k=7, seed=2)), unheard
    )
    assert result.data is not None
    drawn = result.data.sampling
    assert (drawn.top_k, drawn.seed, drawn.temperature, drawn.min_p) == (7, 2, 0.6, 0.05)


def test_an_answer_that_breaks_its_schema_is_an_error_with_the_answer(tmp_path: Path) -> None:
    """A program that reads the exit code is warned, and one that reads the answer has it."""
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "number"}')
    engine = Watched("four")
    result = run(ready(tmp_path, engine, "best"), RunRequest(prompt="2+2?", schema=schema), unheard)
    assert (result.status, result.exit_code) == ("error", EngineFailed.exit_code)
    assert result.data is not None
    assert result.data.answer == "four"
    assert engine.sessions[0].requests[0].schema == '{"type": "number"}'
    engine.answer = "4"
    assert run(ready(tmp_path, engine, "best"), RunRequest(prompt="2+2?", schema=schema), unheard).status == "success"


def test_a_bad_schema_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    """Loading takes seconds."""
    engine = Watched()
    schema = tmp_path / "schema.json"
    schema.write_text("[]")
    with pytest.raises(UsageError):
        run(ready(tmp_path, engine, "best"), RunRequest(prompt="Hi", schema=schema), unheard)
    assert engine.opened == []


def lora(path: Path, architecture: str) -> Adapter:
    """An adapter for the tiny model, if it is for its architecture."""
    file = adapter_file(
        TensorSpec("blk.0.attn_k.weight.lora_a", (32, 4)),
        TensorSpec("blk.0.attn_k.weight.lora_b", (4, 16)),
        architecture=architecture,
    )
    return Adapter(path=str(file.write(path)), scale=0.5)


def test_an_adapter_is_laid_over_the_model_and_named_in_the_journal(tmp_path: Path) -> None:
    """By its hash, since no lock file knows it."""
    engine = Watched()
    adapter = lora(tmp_path / "adapter.gguf", "llama")
    here = ready(tmp_path, engine, "best")
    run(here, RunRequest(prompt="Hi", adapters=(adapter,)), unheard)
    digest = hashlib.sha256(Path(adapter.path).read_bytes()).hexdigest()
    assert engine.adapters == (Adapter(path=adapter.path, scale=adapter.scale, sha256=digest),)
    assert b"best:Q4_0+lora:" in b"".join(Journal(here.paths).raw_lines())


def test_an_adapter_of_another_model_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    """The engine never sees its file."""
    engine = Watched()
    adapter = lora(tmp_path / "adapter.gguf", "gemma3")
    with pytest.raises(InvalidModel, match="for models of the kind gemma3"):
        run(ready(tmp_path, engine, "best"), RunRequest(prompt="Hi", adapters=(adapter,)), unheard)
    assert engine.opened == []


def test_a_policy_can_require_the_journal(tmp_path: Path) -> None:
    """Nothing is loaded where it cannot be written, and without the rule it runs all the same."""
    engine = Watched()
    here = ready(tmp_path, engine, "best")
    here.paths.journal.parent.mkdir(parents=True, exist_ok=True)
    here.paths.journal.write_text("a file in its place")
    assert run(here, RunRequest(prompt="Hi"), unheard).data is not None
    strict = replace(here, policy=Policy((parse("[require]\njournal = true\n", tmp_path / "policy.toml"),)))
    engine.opened.clear()
    with pytest.raises(PolicyRefused, match="requires the journal"):
        run(strict, RunRequest(prompt="Hi"), unheard)
    assert engine.opened == []


def test_a_journal_that_cannot_be_written_any_more_is_told_at_the_end(tmp_path: Path) -> None:
    """The load is in it and the answer is not: the result says so."""
    here = ready(tmp_path, Watched(), "best")

    def block(_: Event) -> None:
        file = here.paths.journal / "journal.jsonl"
        if file.is_file():
            file.unlink()
            file.mkdir()

    result = run(here, RunRequest(prompt="Hi"), block)
    assert [message.text for message in result.messages if "Not all of this run is in the journal." in message.text]
    assert not run(ready(tmp_path / "other", Watched(), "best"), RunRequest(prompt="Hi"), unheard).messages


def test_a_name_that_is_almost_an_installed_one_is_answered_with_it(tmp_path: Path) -> None:
    """What is here is named before what the catalogue has."""
    context = world(tmp_path)
    (tmp_path / "gemma3.gguf").write_bytes(TINY)
    install(context, InstallRequest(model=str(tmp_path / "gemma3.gguf")))
    for slip in ("gemma", "gema3"):
        with pytest.raises(NotFound) as caught:
            open_model(context, slip, Workload())
        assert caught.value.hint.startswith("Installed: gemma3:Q4_0. ")
    with pytest.raises(NotFound) as caught:
        open_model(context, "xyz", Workload())
    assert "Installed" not in caught.value.hint


def test_a_folder_in_the_place_of_a_model_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    """With what to type instead."""
    with pytest.raises(UsageError, match="is a folder") as caught:
        open_model(world(tmp_path / "host"), str(tmp_path), Workload())
    assert f"--from {tmp_path}" in caught.value.hint
