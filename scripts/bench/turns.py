"""The second turn of a long conversation: time to the first token beside the first turn's.

python -m scripts.bench.turns [MODEL.gguf ...]
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Reading, Sampling, Stats
from deploy.fit.loading import guessing, quickened_file
from scripts.bench.engine import prompt_of
from scripts.bench.report import table, write_section

PROMPT_TOKENS: Final = 4000
ANSWER_TOKENS: Final = 100


def ask(session: LlamaSession, messages: list[ChatMessage]) -> tuple[str, Stats]:
    """An answer and its figures."""
    request = Generate(messages=tuple(messages), max_tokens=ANSWER_TOKENS, sampling=Sampling(temperature=0))
    *texts, done = (event for event in session.generate(request) if not isinstance(event, Reading))
    if not isinstance(done, Done):
        raise TypeError(done)
    return "".join(getattr(event, "text", "") for event in texts), done.stats


def cancelled_s(session: LlamaSession, prompt: str) -> float:
    """How long a stop takes while a prompt is read."""
    events = session.generate(Generate(prompt=f"Again: {prompt}", max_tokens=1))
    while not (isinstance(event := next(events), Reading) and event.done > 0):
        pass
    time.sleep(0.1)  # in the middle of a batch
    started = time.perf_counter()
    session.cancel()
    for _ in events:
        pass
    return time.perf_counter() - started


def measure(model: Path) -> tuple[object, ...]:
    """One conversation, one cancelled prompt, one close."""
    engine = LlamaEngine()
    plan = guessing(LoadPlan(context_tokens=8192, threads=len(os.sched_getaffinity(0)), flash_attention=False))
    plan = quickened_file(plan, engine.rehearse([model], plan))
    session = engine.open([model], plan, lambda _: None)
    document = prompt_of(session, PROMPT_TOKENS)
    turns = [ChatMessage("user", document)]
    text, first = ask(session, turns)
    turns += [ChatMessage("assistant", text), ChatMessage("user", "And in one sentence?")]
    _, second = ask(session, turns)
    stopped = cancelled_s(session, document)
    started = time.perf_counter()
    session.close()
    closed = time.perf_counter() - started
    return (
        model.stem,
        f"{first.prompt_tokens:,}",
        f"{first.first_token_s:.2f}",
        f"{second.prompt_tokens - second.reused_tokens:,} of {second.prompt_tokens:,}",
        f"{second.first_token_s:.2f}",
        f"{second.first_token_s / first.first_token_s * 100:.1f}",
        f"{stopped * 1000:.0f}",
        f"{closed:.2f}",
    )


def main(models: list[Path]) -> None:
    """Write the section."""
    header = (
        *("File", "First turn, tokens", "First token, s", "Second turn read", "First token, s", "Share %"),
        *("Cancelled, ms", "Closed, s"),
    )
    intro = (
        "`python -m scripts.bench.turns MODEL.gguf ...`: a question with a long text, then a second one about it. "
        "Memory still has the first turn and its answer; sliding windows and recurrent layers go back to a copy of "
        "their state, as large as the plan allows it. Then another long prompt is cancelled while it is read, and the "
        "session is closed: the process has ended, and its memory with it."
    )
    shown = table(header, [measure(model) for model in models])
    write_section("turns", f"## From turn to turn\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
