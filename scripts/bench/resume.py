"""A kept session beside reading its document again: time to the first token, size and words.

python -m scripts.bench.resume [MODEL.gguf ...]
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage
from deploy.engine.state_file import Header, Origin, opened, write
from scripts.bench.engine import prompt_of
from scripts.bench.report import table, write_section
from scripts.bench.turns import PROMPT_TOKENS, ask

KEY: Final = bytes(32)
COPY_LIMIT_BYTES: Final = 256 << 20
SECOND: Final = ChatMessage("user", "And in one sentence?")


def keep(session: LlamaSession, plan: LoadPlan, path: Path) -> float:
    """Write the session's file, and say how long that took."""
    started = time.perf_counter()
    shape = session.describe_state()
    origin = Origin(model="", sha256=(), engine=session.ready.engine)
    header = Header(
        name="bench",
        created="",
        origin=origin,
        plan_id="",
        plan=plan,
        peak_bytes=0,
        hard_bytes=0,
        messages=(),
        shape=shape,
        salt=bytes(16),
    )
    with path.open("wb") as file:
        write(file, KEY, header, session.save_state(shape))
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def resume(session: LlamaSession, path: Path) -> float:
    """Prove the file and hand it over, and say how long that took."""
    started = time.perf_counter()
    with opened(path, KEY, "bench") as kept:
        session.restore_state(kept.header.shape, kept.pieces())
    return time.perf_counter() - started


def measure(model: Path) -> tuple[object, ...]:
    """One document read, kept, resumed in another process, and read again in a third."""
    plan = LoadPlan(
        context_tokens=8192,
        threads=len(os.sched_getaffinity(0)),
        flash_attention=False,
        checkpoint_bytes=COPY_LIMIT_BYTES,
    )
    engine = LlamaEngine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.session"
        with engine.open([model], plan, lambda _: None) as session:
            turns = [ChatMessage("user", prompt_of(session, PROMPT_TOKENS))]
            text, first = ask(session, turns)
            kept_s = keep(session, plan, path)
            turns += [ChatMessage("assistant", text), SECOND]
            live, _ = ask(session, turns)
        size = path.stat().st_size
        with engine.open([model], plan, lambda _: None) as session:
            restored_s = resume(session, path)
            resumed, second = ask(session, turns)
    with engine.open([model], plan, lambda _: None) as session:
        again, read = ask(session, turns)
    there = restored_s + second.first_token_s
    return (
        model.stem,
        f"{first.prompt_tokens:,}",
        f"{size / 1e6:.0f}",
        f"{kept_s:.2f}",
        f"{restored_s:.2f}",
        f"{there:.2f}",
        f"{read.first_token_s:.2f}",
        f"{there / read.first_token_s * 100:.1f}",
        "same" if resumed == live else "other",
        "same" if resumed == again else "other",
    )


def main(models: list[Path]) -> None:
    """Write the section."""
    header = (
        *("File", "Tokens", "Size, MB", "Kept, s", "Proved and loaded, s", "First token, s", "Read again, s"),
        *("Share %", "Words of the live session", "Words of a new reading"),
    )
    intro = (
        "`python -m scripts.bench.resume MODEL.gguf ...`: a question with a long text is answered and the session is "
        "kept (`--keep`). Another process proves the file, takes it over and is asked a second question; a third one "
        "reads everything again. The first token's time of the resumed session includes proving and loading. Greedy "
        "answers of 100 tokens are compared with those of the session that was never closed, and with those of the "
        "new reading, whose batches are cut elsewhere and round differently."
    )
    shown = table(header, [measure(model) for model in models])
    write_section("resume", f"## A session that was kept\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
