"""The real engine process with both real models: it answers, stops, dies and goes as promised."""

import contextlib
import gc
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from deploy.catalog import loader
from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import KvType, LoadPlan
from deploy.engine.native import StopFlag
from deploy.engine.protocol import ChatMessage, Done, Event, Generate, Reading, Sampling, Text
from deploy.engine.wire import Channel
from deploy.engine.worker import _listen
from deploy.errors import EngineFailed
from deploy.fit.memory import plan_memory, plan_memory_rehearsed

pytestmark = pytest.mark.engine
index = pytest.mark.index
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PLAN: Final = LoadPlan(context_tokens=1024, threads=1)
"""One thread: two of them wait for each other when other programs keep the cores busy."""
GREEDY: Final = Sampling(temperature=0)
CAPITAL: Final = "What is the capital of France? One word."
ENDS_WITHIN_S: Final = 5.0
"""Generous: a stop takes hundredths of a second, a busy machine takes longer."""

Open = Callable[..., LlamaSession]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open sessions that are closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_(path: Path, plan: LoadPlan = PLAN) -> LlamaSession:
            session = LlamaEngine().open([path], plan, lambda _: None)
            stack.callback(session.close)
            return session

        yield open_


def asked(text: str, **more: object) -> Generate:
    """A short question, answered by the likeliest tokens unless said otherwise."""
    request = {"messages": (ChatMessage("user", text),), "max_tokens": 16, "sampling": GREEDY} | more
    return Generate(**request)  # type: ignore[arg-type]


def answer(session: LlamaSession, request: Generate) -> tuple[str, Done]:
    """The text of an answer and its end."""
    events = list(session.generate(request))
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Text)), events[-1]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has collected yet has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def soon(true: Callable[[], bool]) -> bool:
    """Whether something becomes true within the bound."""
    limit = time.monotonic() + ENDS_WITHIN_S
    while not true() and time.monotonic() < limit:
        time.sleep(0.01)
    return true()


@index
def test_a_chat_model_answers_by_its_own_template(smollm2_path: Path, opened: Open) -> None:
    """The template puts the question in turns: the answer is right, ends by itself and shows no control token."""
    session = opened(smollm2_path)
    assert session.loaded.has_chat_template
    text, done = answer(session, asked(CAPITAL, max_tokens=64))
    assert "Paris" in text
    assert "<|" not in text
    assert done.reason == "stop"
    assert 0 < done.stats.first_token_s <= done.stats.total_s
    assert done.stats.answer_tokens > 0
    assert done.stats.memory_bytes <= done.stats.peak_memory_bytes


@index
def test_a_base_model_continues_a_text(gemma3_path: Path, opened: Open) -> None:
    """Without a template the prompt is continued as it is."""
    session = opened(gemma3_path)
    assert not session.loaded.has_chat_template
    text, done = answer(session, Generate(prompt="1, 2, 3, 4, 5,", max_tokens=8, sampling=GREEDY))
    assert text.startswith(" 6")
    assert done.reason == "length"
    assert done.stats.answer_tokens == 8


@index
def test_the_same_seed_gives_the_same_answer(smollm2_path: Path, opened: Open) -> None:
    """Another seed gives another one, or sampling would be no sampling."""

    def told(seed: int) -> str:
        drawn = Sampling(temperature=1.0, seed=seed)
        return answer(opened(smollm2_path), asked("Tell me a story.", max_tokens=12, sampling=drawn))[0]

    assert told(7) == told(7)
    assert told(7) != told(8)


@index
def test_temperature_zero_does_not_depend_on_the_seed(smollm2_path: Path, opened: Open) -> None:
    """The likeliest token is the same whatever is drawn."""
    first, second = (
        answer(opened(smollm2_path), asked("Name a colour.", sampling=Sampling(temperature=0, seed=seed)))[0]
        for seed in (1, 2)
    )
    assert first == second


@index
def test_a_stop_string_ends_the_answer_before_itself(gemma3_path: Path, opened: Open) -> None:
    """It is spread over several tokens here, and neither it nor what follows is shown."""
    request = Generate(prompt="1, 2, 3, 4, 5,", max_tokens=40, sampling=GREEDY, stop=("9, 10",))
    text, done = answer(opened(gemma3_path), request)
    assert text == " 6, 7, 8, "
    assert done.reason == "stop"


@index
def test_the_second_turn_reads_only_what_is_new(smollm2_path: Path, opened: Open) -> None:
    """What the first turn left in memory is used again."""
    session = opened(smollm2_path)
    first, done = answer(session, asked("Name a city."))
    turns = (
        ChatMessage("user", "Name a city."),
        ChatMessage("assistant", first),
        ChatMessage("user", "And another one?"),
    )
    _, again = answer(session, asked("", messages=turns))
    assert done.stats.reused_tokens == 0
    assert again.stats.reused_tokens >= done.stats.prompt_tokens
    assert again.stats.prompt_eval_tokens <= again.stats.prompt_tokens - again.stats.reused_tokens


@index
@pytest.mark.parametrize("before", ["short", "beyond the window"])
def test_going_back_gives_the_answer_of_a_fresh_session(gemma3_path: Path, opened: Open, before: str) -> None:
    """Gemma's sliding windows forget: what they no longer hold must be read again, or the answer is another one."""
    opening = "The history of the lighthouse begins in 1823, when its keeper, whose name was Abel, wrote: " * 3
    request = Generate(prompt=f"{opening}The name of the keeper was", max_tokens=12, sampling=GREEDY)
    rest = " ".join(map(str, range(420 if before == "beyond the window" else 10)))
    plan = LoadPlan(context_tokens=4096, threads=1)
    session = opened(gemma3_path, plan)
    answer(session, Generate(prompt=f"{opening}Numbers: {rest}", max_tokens=1))
    assert answer(session, request)[0] == answer(opened(gemma3_path, plan), request)[0]


@index
def test_cancel_stops_the_reading_of_a_long_prompt(smollm2_path: Path, opened: Open) -> None:
    """Four thousand tokens take many seconds; the stop does not wait for them, and the session answers again."""
    session = opened(smollm2_path, LoadPlan(context_tokens=8192, threads=1))
    events = session.generate(asked(" ".join(["word"] * 4000)))
    first = next(events)
    assert isinstance(first, Reading)
    assert first.total > 4000
    session.cancel()
    started = time.monotonic()
    *_, done = events
    assert time.monotonic() - started < ENDS_WITHIN_S
    assert isinstance(done, Done)
    assert done.reason == "cancelled"
    assert done.stats.answer_tokens == 0
    assert "Paris" in answer(session, asked(CAPITAL))[0]


@index
def test_an_answer_that_nobody_waits_for_is_stopped(smollm2_path: Path, opened: Open) -> None:
    """An iterator that is dropped leaves the session ready for the next question."""
    session = opened(smollm2_path)
    events = session.generate(asked("Count to one thousand.", max_tokens=900))
    assert isinstance(next(event for event in events if isinstance(event, Text)), Text)
    started = time.monotonic()
    events.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < ENDS_WITHIN_S
    assert "Paris" in answer(session, asked(CAPITAL))[0]


@index
def test_a_full_context_ends_the_answer(gemma3_path: Path, opened: Open) -> None:
    """The answer stops where there is no room for another token, and says why."""
    session = opened(gemma3_path, LoadPlan(context_tokens=256, threads=1))
    request = Generate(prompt=" ".join(map(str, range(60))), max_tokens=400, sampling=GREEDY)
    _, done = answer(session, request)
    assert done.reason == "context"
    assert done.stats.prompt_tokens + done.stats.answer_tokens <= session.loaded.context_tokens + 1


@index
@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (asked(" ".join(["word"] * 2000)), "the context holds 1,024"),
        (asked("word " * 250_000), "The prompt has 1 MB of text and the context holds 1,024 tokens"),
        (Generate(prompt=""), "The prompt is empty"),
        (Generate(), "chat template refuses|The prompt is empty"),
    ],
    ids=["too long", "much too long", "empty", "nothing"],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(
    smollm2_path: Path, opened: Open, request_: Generate, sentence: str
) -> None:
    """The process lives on and answers the next question."""
    session = opened(smollm2_path)
    with pytest.raises(EngineFailed, match=sentence):
        answer(session, request_)
    assert answer(session, asked("Hello"))[1].reason in {"stop", "length"}


@index
@pytest.mark.parametrize(
    ("model_id", "path", "kv_type"),
    [
        ("smollm2-135m-instruct", "smollm2_path", "q8_0"),
        ("smollm2-135m-instruct", "smollm2_path", "q8_0/f16"),
        ("gemma-3-270m", "gemma3_path", "f16"),
        ("gemma-3-270m", "gemma3_path", "q8_0/f16"),
    ],
)
def test_memory_stays_within_the_plan(
    model_id: str, path: str, kv_type: KvType, opened: Open, request: pytest.FixtureRequest
) -> None:
    """Plan of the catalogue, rehearsal by the engine and real memory agree: nothing takes more than was promised."""
    file: Path = request.getfixturevalue(path)
    plan = LoadPlan(context_tokens=2048, threads=1, kv_type=kv_type, flash_attention=kv_type != "q8_0/f16")
    model = next(model for model in loader.load().models if model.id == model_id)
    artifact = next(form for form in model.artifacts if form.files[0].name == file.name)
    planned = plan_memory(model, artifact, plan)
    rehearsed = LlamaEngine().rehearse([file], plan)
    asked_of_engine = plan_memory_rehearsed(rehearsed, plan)
    session = opened(file, plan)
    _, done = answer(session, Generate(prompt=" ".join(map(str, range(180))), max_tokens=2))
    assert done.stats.peak_memory_bytes <= planned.peak_bytes
    assert done.stats.peak_memory_bytes <= asked_of_engine.peak_bytes
    state = {term.name: term.bytes for term in planned.terms}["context"]
    assert rehearsed.state_bytes == pytest.approx(state, abs=0.02 * (1 << 20))  # the engine prints two digits


@index
def test_a_killed_engine_is_told_and_survived(smollm2_path: Path, opened: Open) -> None:
    """SIGKILL in the middle of an answer: one clear error, and a new session answers."""
    session = opened(smollm2_path)
    events = session.generate(asked("Count to one thousand.", max_tokens=900))
    next(event for event in events if isinstance(event, Text))
    os.kill(session.process_id, signal.SIGKILL)
    with pytest.raises(EngineFailed, match=r"killed \(SIGKILL\) while it answered"):
        list(events)
    with pytest.raises(EngineFailed):
        list(session.generate(asked("Hello")))
    session.cancel()
    assert "Paris" in answer(opened(smollm2_path), asked(CAPITAL))[0]


PARENT: Final = """
import sys, time
from pathlib import Path
from deploy.engine.client import LlamaEngine
from deploy.engine.protocol import Generate, LoadPlan
session = LlamaEngine().open([Path(sys.argv[1])], LoadPlan(context_tokens=8192, threads=1), lambda _: None)
events = session.generate(Generate(prompt="word " * 6000))
next(events)
print(session.process_id, flush=True)
time.sleep(60)
"""


@index
def test_the_engine_ends_with_its_parent(smollm2_path: Path) -> None:
    """A parent that is killed while the engine computes leaves nothing behind."""
    command = [sys.executable, "-c", PARENT, str(smollm2_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert not gone(worker)
        parent.kill()
    assert soon(lambda: gone(worker))


@index
def test_closing_gives_the_process_back(smollm2_path: Path) -> None:
    """The process has ended when close returns, and a second close is no error."""
    session = LlamaEngine().open([smollm2_path], PLAN, lambda _: None)
    process = session.process_id
    session.close()
    assert gone(process)
    session.close()
    del session
    gc.collect()


@index
def test_nothing_native_reaches_the_screen(
    smollm2_path: Path, opened: Open, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Loading, answering and failing: llama.cpp writes pages about them, and none of it is shown."""
    answer(opened(smollm2_path), asked("Hello"))
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF nonsense")
    with pytest.raises(EngineFailed):
        opened(bad)
    assert capfd.readouterr() == ("", "")


@index
def test_loading_is_told_as_it_goes(smollm2_path: Path) -> None:
    """Fractions rise to the whole."""
    fractions: list[float] = []
    LlamaEngine().open([smollm2_path], PLAN, fractions.append).close()
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


@linux
def test_the_engine_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, proxies and whatever else is set for other programs do not reach the process that reads a model."""
    secrets = {
        "HF_TOKEN": "s3cret",
        "HTTPS_PROXY": "s3cret",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "PIP_INDEX_URL": "s3cret",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    with LlamaSession() as session:
        environment = Path(f"/proc/{session.process_id}/environ").read_bytes()
    assert b"s3cret" not in environment
    assert b"PATH=" in environment


def test_the_engine_says_what_it_is() -> None:
    """Version of the binding and features of its build, without a model."""
    assert LlamaEngine().describe().engine.startswith("llama-cpp-python 0.3.36 (")


def broken(kind: str, whole: Path, folder: Path) -> Path:
    """A file that is no whole model, in one of several ways."""
    path = folder / f"{kind}.gguf"
    data = whole.read_bytes()
    contents = {
        "text": b"This is no model.\n" * 100,
        "empty": b"",
        "garbage header": b"GGUF\x03\x00\x00\x00" + bytes(range(256)) * 64,
        "cut header": data[:5000],
        "cut weights": data[: len(data) // 2],
    }
    path.write_bytes(contents[kind])
    return path


@index
@pytest.mark.parametrize("kind", ["text", "empty", "garbage header", "cut header", "cut weights"])
def test_a_broken_file_is_an_error_and_not_a_crash(kind: str, smollm2_path: Path, tmp_path: Path, opened: Open) -> None:
    """Given to the engine past every check, it costs at most the engine's process."""
    path = broken(kind, smollm2_path, tmp_path)
    with pytest.raises(EngineFailed, match="engine"):
        opened(path)
    with pytest.raises(EngineFailed, match="engine"):
        LlamaEngine().rehearse([path], PLAN)


def test_a_missing_file_is_an_error(tmp_path: Path, opened: Open) -> None:
    """Nothing waits for a file that is not there."""
    with pytest.raises(EngineFailed):
        opened(tmp_path / "nothing.gguf")


def test_words_of_a_strange_process_are_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that a bad model took over may say anything; it is told as a failed engine."""
    with LlamaSession() as session:
        monkeypatch.setattr(session._channel, "receive_raw", lambda *_: b"\xc1 nonsense")
        with pytest.raises(EngineFailed, match="cannot be understood"):
            session.rehearse((), PLAN)


def test_a_session_without_a_model_refuses(tmp_path: Path) -> None:
    """Asking before loading is told, and the process goes on."""
    with LlamaSession() as session:
        for _ in range(2):
            with pytest.raises(EngineFailed, match="No model is loaded"):
                list(session.generate(Generate(prompt="x")))


def test_an_oversize_prompt_is_refused_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine process does not die of it."""
    monkeypatch.setattr("deploy.engine.wire.FRAME_LIMIT_BYTES", 1000)
    with LlamaSession() as session:
        with pytest.raises(EngineFailed, match="too long for the engine"):
            list(session.generate(Generate(prompt="x" * 2000)))
        with pytest.raises(EngineFailed, match="No model is loaded"):
            list(session.generate(Generate(prompt="x")))


def test_a_process_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation of Python is an engine error with its cause."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineFailed, match="cannot be started: No such file"):
        LlamaEngine().describe()


def kinds(events: list[Event]) -> list[str]:
    """Names of the events, runs of one kind as one."""
    names = [type(event).__name__ for event in events]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before]


@index
def test_events_come_in_order(smollm2_path: Path, opened: Open) -> None:
    """Reading, text, done: the order that every user interface relies on."""
    assert kinds(list(opened(smollm2_path).generate(asked("Hello")))) == ["Reading", "Text", "Done"]


def test_words_that_are_no_request_end_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would notice the parent's end if only the listening ended."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(os, "_exit", sys.exit)
    with ours, theirs:
        ours.sendall(struct.pack("<I", 3) + b"\xc1\xff\x00")
        with pytest.raises(SystemExit) as caught:
            _listen(Channel(theirs), queue.SimpleQueue(), StopFlag())
    assert caught.value.code == 1
