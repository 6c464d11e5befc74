"""What the jobs of the app tell it, and the look at the machine that its screens show."""

from dataclasses import dataclass

from textual.message import Message as TextualMessage

from deploy.commands.profile import ProfileData
from deploy.commands.select import SelectData
from deploy.results import Message, Problem
from deploy.store.records import Installed


@dataclass(frozen=True, slots=True)
class Look:
    """One look at machine, catalogue, sources and store."""

    data: SelectData
    messages: tuple[Message, ...]
    problem: Problem | None
    """Why nothing is chosen."""
    installed: tuple[Installed, ...]


@dataclass
class MachineSeen(TextualMessage):
    """The machine was looked at; the rest is still to come."""

    data: ProfileData


@dataclass
class LookDone(TextualMessage):
    """The look is complete, or could not be taken."""

    outcome: Look | Problem


class InstallOver(TextualMessage):
    """The install of the app ended, well or not; its job knows how."""
