"""The conversation that is open, and how its model is asked. It is in memory; keeping it is for others."""

import datetime as dt
import secrets
from dataclasses import dataclass, field

import msgspec

from deploy.commands.conversations import message_of
from deploy.conversations import Talk, Turn, title_of
from deploy.engine.protocol import ChatMessage, Sampling

SEEDS = 2**31


@dataclass(frozen=True, slots=True)
class Asking:
    """How answers are drawn; None is what the model's makers recommend."""

    sampling: Sampling = field(default_factory=Sampling)
    seed: int | None = None
    """None draws a new one for each answer."""
    max_tokens: int = 2048

    def drawn(self) -> Sampling:
        """How the next answer is drawn."""
        seed = secrets.randbelow(SEEDS) if self.seed is None else self.seed
        return msgspec.structs.replace(self.sampling, seed=seed)


@dataclass
class LiveTalk:
    """A conversation as it grows."""

    id: int | None = None
    """Its number among the saved ones; None while it is in memory alone."""
    kept: bool = False
    """Whether every answer is saved."""
    title: str = ""
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    left_out: int = 0
    """So many of the oldest turns are not sent any more."""
    created: str = ""

    def add(self, asked: Turn, answered: Turn) -> None:
        """One exchange more."""
        self.created = self.created or asked.time
        self.title = self.title or title_of(asked.text or asked.attachments[0].name)
        self.turns += [asked, answered]

    def cut(self, count: int) -> None:
        """Go back to the first turns."""
        del self.turns[count:]
        self.left_out = min(self.left_out, count)

    def fork(self, count: int) -> "LiveTalk":
        """Another conversation that begins with the first turns of this one. It is not saved."""
        return LiveTalk(
            title=self.title,
            system=self.system,
            turns=self.turns[:count],
            left_out=min(self.left_out, count),
            created=self.created,
        )

    def messages(self) -> tuple[ChatMessage, ...]:
        """What the model reads of it."""
        return tuple(message_of(turn) for turn in self.turns)

    def frozen(self) -> Talk:
        """As it is now, to be saved or exported."""
        return Talk(
            id=self.id,
            title=self.title or "Empty",
            created=self.created or now(),
            changed=self.turns[-1].time if self.turns else now(),
            system=self.system,
            turns=tuple(self.turns),
        )


def thawed(talk: Talk) -> LiveTalk:
    """A saved conversation, to go on with; it stays saved."""
    return LiveTalk(
        id=talk.id,
        kept=True,
        title=talk.title,
        system=talk.system,
        turns=list(talk.turns),
        created=talk.created,
    )


def now() -> str:
    """This moment, UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
