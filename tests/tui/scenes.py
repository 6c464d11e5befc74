"""The places of the UI in states that can be painted again: fake data, no clock, no path of this machine."""

import dataclasses
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from deploy.catalog.model import Artifact
from deploy.commands.context import Context
from deploy.errors import Unreachable
from deploy.journal import Event, Journal
from deploy.paths import resolve
from deploy.policy.document import Document
from deploy.policy.policy import Policy
from deploy.sources.base import Progress, Report
from profiles.machine import Machine
from tests.support.world import FakeSource, artifact, blind_machine, model, sized, world
from tests.tui.chat_scenes import CHAT_SCENES
from tests.tui.kit import GB, AppPilot, Scene, looked, painted, small_world, until
from tui.app import LandfastApp
from tui.screens.jobs import JobsScreen
from tui.screens.policy import PolicyScreen, PolicyTable

NOWHERE: Final = resolve({"LANDFAST_HOME": "/home/person/landfast"})
"""Shown on the screen, and never written to."""
POLICY: Final = Policy((
    Document(
        file="/etc/landfast/policy.toml",
        name="house rules",
        rules={"allow.licence": ("MIT",)},
        doubts={},
    ),
))  # fmt: skip


class HeldSource(FakeSource):
    """A source that has brought a part and waits, or fails there."""

    def __init__(self, error: Exception | None = None) -> None:
        """Wait until `go` is set."""
        super().__init__()
        self.error = error
        self.go = threading.Event()

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Tell of a part, and stop there."""
        report(Progress(step="download", text="download tiny", done_bytes=GB, total_bytes=4 * GB))
        if self.error is not None:
            raise self.error
        while not self.go.wait(0.02):
            report(Progress(step="note", text="waiting for the shelf"))
        return super().fetch(artifact, staging, report)


def models_world(home: Path) -> Context:
    """Five models, one of each kind, in a store that is not there."""
    context = world(
        home,
        model("tiny", artifact("Q4_0")),
        model("middle", sized("Q5_K_M", 3 * GB), parameters=4 * GB),
        model("talker", sized("Q4_K_M", 5 * GB), parameters=8 * GB, chat=False),
        model("crawler", sized("Q8_0", 12 * GB), parameters=14 * GB),
        model("giant", sized("Q4_K_M", 900 * GB), parameters=1000 * GB),
        sources=(FakeSource(files={"tiny.gguf": b"", f"Q5_K_M-{3 * GB}.gguf": b""}),),
    )
    return dataclasses.replace(context, paths=NOWHERE)


def held_world(home: Path) -> Context:
    """The machine cannot be read yet."""
    held = threading.Event()

    def profile() -> Machine:
        held.wait(5)
        return blind_machine()

    return dataclasses.replace(models_world(home), profile=profile)


def forbidden_world(home: Path) -> Context:
    """A policy that admits another licence only."""
    return dataclasses.replace(models_world(home), policy=POLICY)


def blind_world(home: Path) -> Context:
    """Nothing is known of the machine."""
    return dataclasses.replace(models_world(home), profile=blind_machine)


def journal_world(home: Path) -> Context:
    """Rules, and a journal whose second line was changed."""
    context = dataclasses.replace(small_world(home), policy=POLICY)
    journal = Journal(context.paths)
    for outcome in ("stop", "cancelled"):
        journal.append(Event(kind="answer", model="tiny:Q4_0", outcome=outcome))
    file = context.paths.journal / "journal.jsonl"
    file.write_bytes(file.read_bytes().replace(b"stop", b"done"))
    return context


def keys(*presses: str, until_shown: str = "") -> Callable[[AppPilot], Awaitable[None]]:
    """Look, press these keys, and wait for a text."""

    async def play(pilot: AppPilot) -> None:
        await looked(pilot)
        await pilot.press(*presses)
        await until(pilot, lambda: until_shown in painted(pilot.app))

    return play


async def wait_only(pilot: AppPilot) -> None:
    """The first frame, before anything is known."""
    await until(pilot, lambda: "Looking at" in painted(pilot.app))


async def blind(pilot: AppPilot) -> None:
    """No list can be made."""
    await until(pilot, lambda: "✗" in painted(pilot.app))


async def simulate(pilot: AppPilot) -> None:
    """Plan for a laptop of the library."""
    app = await looked(pilot)
    await pilot.press("s")
    await until(pilot, lambda: " machines" in painted(app))
    await pilot.press(*"laptop-8gb", "enter")
    await until(pilot, lambda: app.look is not None and app.look.simulated)


async def jobs(pilot: AppPilot) -> None:
    """An install on the list of jobs."""
    app = await looked(pilot)
    await pilot.press("i")
    await until(pilot, lambda: app.installs.jobs and app.installs.jobs[0].steps.current > 0)
    await pilot.press("escape", "f4")
    await until(pilot, lambda: (isinstance(app.screen, JobsScreen) and "25%" in painted(app)) or settled(app))
    await pilot.pause(0.3)


def settled(app: LandfastApp) -> bool:
    """Whether no install is under way."""
    return app.installs.running_count == 0 and isinstance(app.screen, JobsScreen)


async def rules(pilot: AppPilot) -> None:
    """The rules, with the cursor on the first."""
    app = await looked(pilot)
    await pilot.press("f6")
    await until(pilot, lambda: isinstance(app.screen, PolicyScreen) and app.screen.query_one(PolicyTable).row_count)


async def broken_journal(pilot: AppPilot) -> None:
    """The line of the journal."""
    await rules(pilot)
    await pilot.press("v", *("j",) * 5)
    await until(pilot, lambda: "chain breaks" in painted(pilot.app))


SCENES: Final[dict[str, Scene]] = {
    "models-busy": Scene(held_world, wait_only),
    "models-empty": Scene(models_world, keys()),
    "models-error": Scene(blind_world, blind),
    "models-simulated": Scene(models_world, simulate),
    "models-policy": Scene(forbidden_world, keys()),
    "models-why": Scene(models_world, keys("j", "question_mark")),
    "models-all": Scene(models_world, keys("a")),
    "compare": Scene(models_world, keys("space", "j", "v", until_shown="Quality")),
    "wishes": Scene(models_world, keys("f", "down", "down", "right")),
    "machines": Scene(models_world, keys("s", until_shown=" machines")),
    "help": Scene(models_world, keys("f1")),
    "jobs-empty": Scene(models_world, keys("f4")),
    "jobs-busy": Scene(lambda home: small_world(home, sources=(HeldSource(),)), jobs),
    "jobs-error": Scene(
        lambda home: small_world(
            home, sources=(HeldSource(Unreachable("The shelf does not answer.", hint="Look behind it.")),)
        ),
        jobs,
    ),
    "policy-empty": Scene(models_world, rules),
    "policy-rules": Scene(forbidden_world, rules),
    "policy-error": Scene(journal_world, broken_journal),
    **CHAT_SCENES,
}
