"""What the UI costs: tokens a second through the chat beside the same request without a UI, and the reference answer.

    python -m scripts.bench.ui speed RECORD.jsonl MODEL.gguf PAIRS TOKENS
    python -m scripts.bench.ui answer RECORD.jsonl
    python -m scripts.bench.ui section RECORD.jsonl

`speed` starts one process after the other, with and without the UI in turn (A B B A ...), each with an engine of its
own. `answer` streams an answer of 1,429 tokens, with a list of 60 items and a fence of 80 lines, in 24 s through the
chat. Rounds are added to RECORD, so that they can be taken in pieces; the section is written from all
of them.
"""

import asyncio
import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.commands.context import real_context
from deploy.commands.session import open_model
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling
from deploy.fit.fit import Workload
from scripts.bench.quiet import LIMIT, Disturbance
from scripts.bench.report import table, write_section

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.app import LandfastApp
    from tui.screens.chat import ChatScreen
    from tui.widgets.transcript import Answer

PROMPT: Final = "Write a long story about the sea, with many chapters."
CONTEXT_TOKENS: Final = 2048
SIZE: Final = (30, 100)
ANSWERS: Final = 3
"""Measured in each process, after one that warms up."""
LOOK_S: Final = 0.02
ANSWER_TOKENS: Final = 1429
ANSWER_S: Final = 24.0


class Taken(msgspec.Struct, frozen=True):
    """What one process measured of its answers."""

    tok_s: float
    """By the engine's clock; the median of the answers."""
    threads: int
    own_share: float
    """Of one core, that the process beside the engine used while the answers came."""


class Pair(msgspec.Struct, frozen=True, tag=True):
    """One process without the UI and one with it."""

    model: str
    headless: Taken
    chat: Taken
    others: float
    """Share of a core that other programs used meanwhile."""


class Streamed(msgspec.Struct, frozen=True, tag=True):
    """The reference answer through the chat."""

    tokens: int
    wall_s: float
    cpu_s: float
    lag_prose_ms: float
    """How late the loop was, 95th percentile, while prose came."""
    lag_all_ms: float
    lag_most_ms: float
    others: float


def _asking(tokens: int) -> Generate:
    sampling = Sampling(temperature=0.0, seed=1)
    return Generate(messages=(ChatMessage("user", PROMPT),), max_tokens=tokens, sampling=sampling)


class Clock:
    """Collects the answers of one process."""

    def __init__(self) -> None:
        """Begin before the first answer that counts."""
        self._tok_s: list[float] = []
        self._began_s, self._cpu_s = time.monotonic(), time.process_time()

    def take(self, done: Done) -> None:
        """One answer more."""
        self._tok_s.append(done.stats.decode_tok_s)

    def end(self, threads: int) -> Taken:
        """All of it."""
        share = (time.process_time() - self._cpu_s) / (time.monotonic() - self._began_s)
        return Taken(statistics.median(self._tok_s), threads, share)


def headless(model: str, tokens: int) -> Taken:
    """As `landfast run` asks, without a screen."""
    opened = open_model(real_context(lambda _: None, offline=True), model, Workload(context_tokens=CONTEXT_TOKENS))
    clock = Clock()
    for number in range(ANSWERS + 1):
        clock = Clock() if number == 1 else clock
        *_, done = opened.session.generate(_asking(tokens))
        if isinstance(done, Done):
            clock.take(done)
    opened.session.close()
    return clock.end(opened.plan.plan.threads)


def through_the_chat(model: str, tokens: int) -> Taken:
    """In the real app in this terminal, typed into the prompt."""
    from tui.app import LandfastApp
    from tui.talk import Asking

    app = LandfastApp(real_context(lambda _: None, offline=True), Workload(context_tokens=CONTEXT_TOKENS))
    app.driver.asking = Asking(Sampling(temperature=0.0), 1, tokens)
    taken: list[Taken] = []

    async def drive() -> None:
        taken.append(await _drive(app, model))
        app.exit(0)

    app.call_later(lambda: app.run_worker(drive()))
    app.run()
    return taken[0]


async def _drive(app: "LandfastApp", model: str) -> Taken:
    from tui.screens.chat import ChatScreen

    await app._enter_chat(model)  # noqa: SLF001 - as a row of the list does
    screen = app.screen_stack[0]
    if not isinstance(screen, ChatScreen):
        raise TypeError(screen)
    while app.driver.state != "ready":  # noqa: ASYNC110 - looked at rarely, so that looking costs nothing
        await asyncio.sleep(0.1)
    clock = Clock()
    for number in range(ANSWERS + 1):
        clock = Clock() if number == 1 else clock
        clock.take(await _ask(screen))
    opened = app.driver.opened
    return clock.end(opened.plan.plan.threads if opened is not None else 0)


async def _ask(screen: "ChatScreen") -> Done:
    """One answer in a conversation of its own."""
    from tui.widgets.prompt import Prompt

    await screen.action_new()
    screen.query_one(Prompt).insert(PROMPT)
    screen.query_one(Prompt).action_send()
    while not screen.talk.turns:  # noqa: ASYNC110 - likewise
        await asyncio.sleep(0.25)
    if screen.vitals.done is None:
        raise RuntimeError("the answer did not end")
    return screen.vitals.done


def _in_terminal(way: str, model: str, tokens: int) -> Taken:
    """Run one way in a process of its own, with an empty home, in a pseudo-terminal that is read and thrown away."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    with tempfile.TemporaryDirectory() as home:
        out = Path(home, "taken.json")
        environment = {**os.environ, "TERM": "xterm-256color", "LANDFAST_HOME": f"{home}/landfast"}
        words = [sys.executable, "-m", "scripts.bench.ui", way, model, str(tokens), str(out)]
        process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        threading.Thread(target=_drain, args=(master,), daemon=True).start()
        if process.wait():
            raise SystemExit(f"{words} ended with {process.returncode}")
        return msgspec.json.decode(out.read_bytes(), type=Taken)


def _drain(master: int) -> None:
    try:
        while os.read(master, 1 << 16):
            pass
    except OSError:  # the other end is closed
        return


def pair(model: str, tokens: int, *, chat_first: bool) -> Pair:
    """One process of each way."""
    disturbance = Disturbance()
    order = ("chat", "headless") if chat_first else ("headless", "chat")
    taken = {way: _in_terminal(way, model, tokens) for way in order}
    return Pair(Path(model).stem, taken["headless"], taken["chat"], disturbance.share())


def reference_answer() -> str:
    """Prose, a list of 60 items, a fence of 80 lines: as many words as the measured answer had tokens."""
    items = "\n".join(f"- item {index} has a few words" for index in range(60))
    code = "\n".join(f"value_{index} = compute({index}, other=True)" for index in range(80))
    rest = f"\n\n{items}\n\n```python\n{code}\n```\n\nThe end."
    words = ANSWER_TOKENS - rest.count(" ") - 1
    prose = " ".join(f"word{index}" + ("\n\n" if index % 60 == 59 else "") for index in range(words))  # noqa: PLR2004
    return prose + rest


async def answer() -> Streamed:
    """Stream it through the chat; processor time of this process, and how late the loop was."""
    from deploy.engine.fake import FakeEngine
    from tests.tui.kit import app_over, ask, chatting, last_answer, small_world, until
    from tui.widgets.transcript import Answer

    text, disturbance = reference_answer(), Disturbance()
    tokens = text.count(" ") + 1
    with tempfile.TemporaryDirectory() as home:
        app = app_over(small_world(Path(home), engine=FakeEngine(text, tok_s=tokens / ANSWER_S)))
        async with app.run_test(size=(SIZE[1], SIZE[0])) as pilot:
            screen = await chatting(pilot)
            await ask(pilot, "Tell me.")
            await until(pilot, lambda: screen.query(Answer))
            began_s, cpu_s = time.monotonic(), time.process_time()
            prose, rest = await _lags(lambda: last_answer(screen))
            took_s, used_s = time.monotonic() - began_s, time.process_time() - cpu_s
    every = [*prose, *rest]
    in_prose, in_all = (round(1000 * sorted(found)[int(len(found) * 0.95)], 1) for found in (prose, every))
    return Streamed(tokens, took_s, used_s, in_prose, in_all, 1000 * max(every), disturbance.share())


async def _lags(newest: "Callable[[], Answer]") -> tuple[list[float], list[float]]:
    """How late the loop was at each look: while prose came, and afterwards."""
    prose: list[float] = []
    rest: list[float] = []
    while not newest().source:
        at_s = time.monotonic()
        await asyncio.sleep(LOOK_S)
        (rest if "- item 0" in newest().text else prose).append(time.monotonic() - at_s - LOOK_S)
    return prose, rest


def speeds(pairs: list[Pair]) -> str:
    """A line for every model."""
    rows = []
    for model in dict.fromkeys(one.model for one in pairs):
        these = [one for one in pairs if one.model == model]
        cost = [100 * (1 - one.chat.tok_s / one.headless.tok_s) for one in these]
        rows.append((
            model,
            len(these),
            these[0].chat.threads,
            f"{statistics.median(one.headless.tok_s for one in these):.1f}",
            f"{statistics.median(one.chat.tok_s for one in these):.1f}",
            f"{statistics.median(cost):+.1f}",
            f"{min(cost):+.1f} to {max(cost):+.1f}",
            f"{100 * statistics.median(one.chat.own_share for one in these):.0f}",
        ))  # fmt: skip
    header = ("File", "Pairs", "Threads", "Without UI, tok/s", "Chat", "Cost: median, %", "Range", "UI, % of a core")
    return table(header, rows)


def answers(streamed: list[Streamed]) -> str:
    """One line."""
    header = ("Runs", "Tokens", "Wall, s", "CPU, s", "Loop late in prose: p95, ms", "In all: p95", "Most")
    names = ("wall_s", "cpu_s", "lag_prose_ms", "lag_all_ms", "lag_most_ms")
    figures = [f"{statistics.median(getattr(one, name) for one in streamed):.1f}" for name in names]
    return table(header, [(len(streamed), streamed[0].tokens, *figures)])


def section(found: list[Pair | Streamed]) -> str:
    """All that was measured while the machine was quiet."""
    quiet = [one for one in found if one.others <= LIMIT]
    pairs = [one for one in quiet if isinstance(one, Pair)]
    streamed = [one for one in quiet if isinstance(one, Streamed)]
    how_speed = (
        "`python -m scripts.bench.ui speed RECORD.jsonl MODEL.gguf PAIRS TOKENS`: the same request without a UI and "
        "through the chat, each in a process and with an engine of its own, in turn (A B B A ...), by the engine's "
        f"clock. Each process counts the median of {ANSWERS} answers after one that warms up; the cost is the median "
        f"of the pairs' own. What was taken while other programs used more than {LIMIT:.0%} of a core is left out."
    )
    how_answer = (
        "`python -m scripts.bench.ui answer RECORD.jsonl`: an answer with a list of 60 items and a fence of 80 lines "
        f"that comes in {ANSWER_S:.0f} s. Processor time of the UI, and how late its loop was; medians of the runs."
    )
    parts = ["## What the UI costs", how_speed, speeds(pairs)]
    return "\n\n".join([*parts, how_answer, answers(streamed)] if streamed else parts)


def record(file: Path, found: list[Pair | Streamed]) -> None:
    """Add to the record, and write the section from all of it."""
    with file.open("ab") as out:
        for one in found:
            print(one, flush=True)
            out.write(msgspec.json.encode(one) + b"\n")
    lines = file.read_bytes().splitlines()
    write_section("ui", section([msgspec.json.decode(line, type=Pair | Streamed) for line in lines]))


def main(what: str, *words: str) -> None:
    """One of the parts."""
    if what == "answer":
        record(Path(words[0]), [asyncio.run(answer())])
    elif what == "speed":
        for number in range(int(words[2])):
            record(Path(words[0]), [pair(words[1], int(words[3]), chat_first=bool(number % 2))])
    elif what == "section":
        record(Path(words[0]), [])
    else:
        way = through_the_chat if what == "chat" else headless
        Path(words[2]).write_bytes(msgspec.json.encode(way(words[0], int(words[1]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
