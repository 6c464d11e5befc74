"""Times single steps of the engine on a model: how long it takes to read or write tokens at a depth of context.

Imported by the engine process alone, which is sealed when it does this like whenever it reads a model.
"""

import re
import time
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.measure_protocol import Measure, Measured, Step, Timing
from deploy.engine.native import Log, Refusal, context_params, open_model

NODES: Final = re.compile(r"graph nodes *= *(\d+)|graph.*?: nodes = (\d+)(?: / (\d+))?")
"""How the engine logs the size of its graph; where it gives two, the second is that of a single token."""
CREEP_TOKENS: Final = 32
"""So far a depth may drift before the context is rolled back: depth is rounded up to 256 by the engine."""


def measure(log: Log, request: Measure) -> Measured:
    """Load a model, time every step in order, and give its memory back. Raises Refusal."""
    log.lines.clear()
    started = time.perf_counter()
    model = open_model(log, request.paths, request.plan, rehearsal=False, on_fraction=lambda _: None)
    try:
        load_s = time.perf_counter() - started
        context = native.llama_init_from_model(model, context_params(request.plan))
        if not context:
            raise Refusal(
                f"The engine cannot create a context of {request.plan.context_tokens} tokens: {log.cause()}.",
                "Free memory, then try again.",
            )
        try:
            bench = Bench(model, context, request.plan.batch_tokens)
            timings = tuple(Timing(step=step, seconds=bench.time(step)) for step in request.steps)
        finally:
            native.llama_free(context)
    finally:
        native.llama_model_free(model)
    return Measured(load_s=load_s, graph_nodes=_graph_nodes(log), timings=timings)


def _graph_nodes(log: Log) -> int:
    found = [match for _, line in log.lines if (match := NODES.search(line))]
    return int(next(number for number in reversed(found[-1].groups()) if number)) if found else 0


class Bench:
    """One context that is filled and rolled back as the steps want it."""

    def __init__(self, model: Any, context: Any, batch_tokens: int) -> None:
        """Begin with nothing in memory."""
        self._context = context
        self._memory = native.llama_get_memory(context)
        self._tokens = native.llama_vocab_n_tokens(native.llama_model_get_vocab(model))
        self._batch_tokens = batch_tokens
        self._depth = 0
        self._drawn = 0

    def time(self, step: Step) -> tuple[float, ...]:
        """Seconds of each repetition. A first token that is written is a rehearsal, and left out."""
        native.llama_set_n_threads(self._context, step.threads, step.threads)
        self._reach(step.depth_tokens)
        if step.tokens == 1:
            self._decode(1)
        found: list[float] = []
        started = time.perf_counter()
        while len(found) < step.repeats and (len(found) < step.least or time.perf_counter() - started < step.limit_s):
            self._reach(step.depth_tokens, creep=CREEP_TOKENS if step.tokens == 1 else 0)
            found.append(self._decode(step.tokens))
        return tuple(found)

    def _reach(self, depth: int, creep: int = 0) -> None:
        """Have exactly so many tokens in memory, or a few more."""
        if depth <= self._depth <= depth + creep:
            return
        if self._depth > depth:
            self._return_to(depth)
        while self._depth < depth:
            self._decode(min(self._batch_tokens, depth - self._depth))

    def _return_to(self, depth: int) -> None:
        if depth and native.llama_memory_seq_rm(self._memory, 0, depth, -1):
            self._depth = depth
        else:  # a recurrent state cannot be rolled back in part
            native.llama_memory_clear(self._memory, False)  # noqa: FBT003 - a C call
            self._depth = 0

    def _decode(self, count: int) -> float:
        """Compute so many tokens, each another one than before, and say how long it took."""
        drawn = ((self._drawn + number) * 7919 % self._tokens for number in range(count))
        batch = (native.llama_token * count)(*drawn)
        started = time.perf_counter()
        status = native.llama_decode(self._context, native.llama_batch_get_one(batch, count))
        native.llama_synchronize(self._context)
        taken = time.perf_counter() - started
        if status:
            raise Refusal(f"The engine could not compute {count} tokens (status {status}).", "Try again.")
        self._depth += count
        self._drawn += count
        return taken
