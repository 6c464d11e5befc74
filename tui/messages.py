"""What the jobs of the app tell it, and the look at the machine that its screens show."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message as TextualMessage

if TYPE_CHECKING:
    from deploy.commands.profile import ProfileData
    from deploy.commands.select import SelectData
    from deploy.results import Message, Problem
    from deploy.store.records import Installed
    from deploy.store.store import Rubbish
    from tui.jobs import InstallJob


@dataclass(frozen=True, slots=True)
class Look:
    """One look at machine, catalogue, sources and store."""

    data: "SelectData"
    messages: "tuple[Message, ...]"
    problem: "Problem | None"
    """Why nothing is chosen."""
    installed: "tuple[Installed, ...]"
    interrupted: "tuple[Rubbish, ...]" = ()
    """Installs that were begun and not ended."""

    @property
    def simulated(self) -> str:
        """The machine that it was taken for; empty where that is this one."""
        return self.data.machine.origin if self.data.machine.simulated else ""


@dataclass
class MachineSeen(TextualMessage):
    """The machine was looked at; the rest is still to come."""

    data: "ProfileData"


@dataclass
class LookDone(TextualMessage):
    """The look is complete, or could not be taken."""

    outcome: "Look | Problem"


@dataclass
class InstallOver(TextualMessage):
    """An install of the app ended, well or not; its job knows how."""

    job: "InstallJob"
