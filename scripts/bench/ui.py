"""What the UI costs: tokens a second through the chat against the same request without a UI, and the reference answer.

    python -m scripts.bench.ui speed MODEL.gguf ROUNDS TOKENS
    python -m scripts.bench.ui answer

`speed` runs the app in a pseudo-terminal of 100 x 30, and asks the same through the chat and past it, in turn.
`answer` streams an answer of 1,429 tokens, with a list of 60 items and a fence of 80 lines, in 24 s through the chat.
Both print what they found.
"""

import asyncio
import fcntl
import json
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
from typing import Any, Final

from deploy.commands.context import real_context
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling
from deploy.fit.fit import Workload

PROMPT: Final = "Write a long story about the sea, with many chapters."
CONTEXT_TOKENS: Final = 2048
SIZE: Final = (30, 100)
LOOK_S: Final = 0.02
ANSWER_TOKENS: Final = 1429
ANSWER_S: Final = 24.0


def _asking(tokens: int) -> Generate:
    sampling = Sampling(temperature=0.0, seed=1)
    return Generate(messages=(ChatMessage("user", PROMPT),), max_tokens=tokens, sampling=sampling)


def in_the_app(model: str, rounds: int, tokens: int, out: str) -> None:
    """In the real app in this terminal: the request typed into the chat, and the same past the chat, in turn.

    Both go to one engine process, so that nothing differs but the screen that follows the answer.
    """
    from tui.app import LandfastApp
    from tui.screens.chat import ChatScreen
    from tui.talk import Asking
    from tui.widgets.prompt import Prompt

    app = LandfastApp(real_context(lambda _: None, offline=True), Workload(context_tokens=CONTEXT_TOKENS))
    found: dict[str, list[float]] = {"headless": [], "chat": []}

    def past_the_chat() -> None:
        assert app.driver.opened is not None  # noqa: S101
        events = app.driver.opened.session.generate(_asking(tokens))
        done = next(event for event in events if isinstance(event, Done))
        found["headless"].append(done.stats.decode_tok_s)

    async def through_the_chat(screen: ChatScreen) -> None:
        await screen.action_new()
        screen.query_one(Prompt).insert(PROMPT)
        screen.query_one(Prompt).action_send()
        while not screen.talk.turns:  # noqa: ASYNC110 - looked at rarely, so that looking costs nothing
            await asyncio.sleep(0.25)
        assert screen.vitals.done is not None  # noqa: S101
        found["chat"].append(screen.vitals.done.stats.decode_tok_s)

    async def drive() -> None:
        await app._enter_chat(model)  # noqa: SLF001 - as a row of the list does
        screen = app.screen_stack[0]
        assert isinstance(screen, ChatScreen)  # noqa: S101
        while app.driver.state != "ready":  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.1)
        app.driver.asking = Asking(Sampling(temperature=0.0), 1, tokens)
        for number in range(2 * rounds + 2):
            if number % 4 in {0, 3}:
                await asyncio.to_thread(past_the_chat)
            else:
                await through_the_chat(screen)
        app.exit(0)

    app.call_later(lambda: app.run_worker(drive()))
    app.run()
    Path(out).write_text(json.dumps({way: values[1:] for way, values in found.items()}))


def _in_terminal(words: list[str]) -> None:
    """Run a part of this script in a pseudo-terminal whose other end is read and thrown away."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    reader = threading.Thread(target=_drain, args=(master,), daemon=True)
    reader.start()
    if process.wait():
        raise SystemExit(f"{words} ended with {process.returncode}")


def _drain(master: int) -> None:
    try:
        while os.read(master, 1 << 16):
            pass
    except OSError:  # the other end is closed
        return


def speed(model: str, rounds: int, tokens: int) -> None:
    """Both ways in turn, the first of each for warming up; the ratio of each pair, and the medians."""
    with tempfile.NamedTemporaryFile() as out:
        words = [sys.executable, "-m", "scripts.bench.ui", "app", model, str(rounds), str(tokens), out.name]
        _in_terminal(words)
        taken: dict[str, list[float]] = json.loads(Path(out.name).read_text())
    ratios = [chat / alone for chat, alone in zip(taken["chat"], taken["headless"], strict=True)]
    medians = {way: round(statistics.median(values), 2) for way, values in taken.items()}
    print(json.dumps(taken))
    print(f"medians in tok/s: {medians}, ratio {medians['chat'] / medians['headless']:.4f}")
    print(f"ratios of pairs: {[round(ratio, 3) for ratio in ratios]}, median {statistics.median(ratios):.4f}")


def reference_answer() -> str:
    """Prose, a list of 60 items, a fence of 80 lines: as many words as the measured answer had tokens."""
    items = "\n".join(f"- item {index} has a few words" for index in range(60))
    code = "\n".join(f"value_{index} = compute({index}, other=True)" for index in range(80))
    rest = f"\n\n{items}\n\n```python\n{code}\n```\n\nThe end."
    words = ANSWER_TOKENS - rest.count(" ") - 1
    prose = " ".join(f"word{index}" + ("\n\n" if index % 60 == 59 else "") for index in range(words))  # noqa: PLR2004
    return prose + rest


async def answer() -> dict[str, Any]:
    """Stream it through the chat; processor time of this process, and how late the loop was."""
    from deploy.engine.fake import FakeEngine
    from tests.tui.kit import app_over, ask, chatting, last_answer, small_world, until
    from tui.widgets.transcript import Answer

    text = reference_answer()
    tokens = text.count(" ") + 1
    with tempfile.TemporaryDirectory() as home:
        app = app_over(small_world(Path(home), engine=FakeEngine(text, tok_s=tokens / ANSWER_S)))
        async with app.run_test(size=(SIZE[1], SIZE[0])) as pilot:
            screen = await chatting(pilot)
            await ask(pilot, "Tell me.")
            await until(pilot, lambda: screen.query(Answer))
            lags: dict[str, list[float]] = {"prose": [], "all": []}
            began_s, cpu_s = time.monotonic(), time.process_time()
            while not last_answer(screen).source:
                at_s = time.monotonic()
                await asyncio.sleep(LOOK_S)
                late_s = time.monotonic() - at_s - LOOK_S
                lags["all"].append(late_s)
                if "- item 0" not in last_answer(screen).text:
                    lags["prose"].append(late_s)
            took_s, used_s = time.monotonic() - began_s, time.process_time() - cpu_s
    late = {name: round(1000 * sorted(found)[int(len(found) * 0.95)], 1) for name, found in lags.items()}
    return {"tokens": tokens, "wall_s": round(took_s, 1), "cpu_s": round(used_s, 2), "lag_p95_ms": late,
            "lag_max_ms": round(1000 * max(lags["all"]), 1)}  # fmt: skip


def main(what: str, *words: str) -> None:
    """One of the parts."""
    if what == "answer":
        print(json.dumps(asyncio.run(answer())))
    elif what == "speed":
        speed(words[0], int(words[1]), int(words[2]))
    else:
        in_the_app(words[0], int(words[1]), int(words[2]), words[3])


if __name__ == "__main__":
    main(*sys.argv[1:])
