"""Computes the steps of a context with as many threads as there are cores for. For the engine process alone."""

from collections.abc import Callable
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.crew import Crew
from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import StopFlag

ABORTED: Final = 2
"""What llama_decode returns when the abort callback stopped it (llama.h)."""


class Computing:
    """The threads of one context."""

    def __init__(self, pointer: Any, plan: LoadPlan, stop: StopFlag) -> None:
        """Begin with those of the plan. A graphics processor waits for no thread."""
        self._pointer = pointer
        self._stop = stop
        self._threads = plan.threads
        self._crew = None if plan.gpu_layers else Crew(plan.threads, stop.interrupt)

    def decode(self, batch: Any, count: int, undo: Callable[[], None] | None) -> int:
        """Compute so many tokens, and give llama_decode's status.

        Where another program takes a core meanwhile the step is begun anew with fewer threads, after `undo` has put
        memory back to what it was before; None where that cannot be.
        """
        self._gather(count, at_once=False)
        while True:
            status, interrupted = self._compute(batch, count, watched=undo is not None)
            if not interrupted or undo is None:
                return status
            undo()
            self._gather(count, at_once=True)

    def _compute(self, batch: Any, count: int, *, watched: bool) -> tuple[int, bool]:
        """The status, and whether it says no more than that the step was interrupted."""
        if self._crew is None or not watched:
            return int(native.llama_decode(self._pointer, batch)), False
        with self._crew.watched(count):
            status = int(native.llama_decode(self._pointer, batch))
        return status, self._stop.resume() and status == ABORTED

    def _gather(self, count: int, *, at_once: bool) -> None:
        if self._crew is None:
            return
        threads = self._crew.look(count, at_once=at_once)
        if threads != self._threads:
            native.llama_set_n_threads(self._pointer, threads, threads)
            self._threads = threads
