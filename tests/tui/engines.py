"""Engines that tests of the chat look into."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.load_plan import LoadPlan
from tests.tui.kit import LIMIT_S


class KeepingEngine(FakeEngine):
    """An engine that remembers its sessions."""

    def __init__(self, answer: str, *, tok_s: float = 0.0) -> None:
        """Remember none yet."""
        super().__init__(answer, tok_s=tok_s)
        self.sessions: list[FakeSession] = []

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> FakeSession:
        """Open a session and remember it."""
        session = super().open(files, plan, on_loading)
        self.sessions.append(session)
        return session


class GatedEngine(KeepingEngine):
    """An engine whose load stands until the gate is opened."""

    def __init__(self, answer: str) -> None:
        """Begin with the gate closed."""
        super().__init__(answer)
        self.gate = threading.Event()
        self.reached = threading.Event()

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> FakeSession:
        """Say that the load was reached, and stand."""
        self.reached.set()
        self.gate.wait(LIMIT_S)
        return super().open(files, plan, lambda _: None)
