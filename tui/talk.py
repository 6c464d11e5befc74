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
    images: dict[str, bytes] = field(default_factory=dict)
    """What was shown, by its SHA-256. It is nowhere else, and never saved."""
    session: str = ""
    """The name under which the model's state of it is kept on the disk."""
    session_turns: int = 0
    """How many turns were kept so."""

    def add(self, asked: Turn, answered: Turn) -> None:
        """One exchange more."""
        self.created = self.created or asked.time
        self.title = self.title or title_of(asked.text or _first_name(asked))
        self.turns += [asked, answered]

    def cut(self, count: int) -> None:
        """Go back to the first turns."""
        del self.turns[count:]
        self.left_out = min(self.left_out, count)
        self.session_turns = min(self.session_turns, count)

    def fork(self, count: int) -> "LiveTalk":
        """Another conversation that begins with the first turns of this one. It is not saved."""
        return LiveTalk(
            title=self.title,
            system=self.system,
            turns=self.turns[:count],
            left_out=min(self.left_out, count),
            created=self.created,
            images=dict(self.images),
        )

    def messages(self, *, sees: bool) -> tuple[ChatMessage, ...]:
        """What a model reads of it; one that does not see reads that there was an image."""
        return tuple(self.message(turn, sees=sees) for turn in self.turns)

    def message(self, turn: Turn, *, sees: bool) -> ChatMessage:
        """The same of one turn."""
        return message_of(turn, self.images if sees else {})

    @property
    def seen(self) -> tuple[bytes, ...]:
        """The images that go to the model again with every message."""
        shown = [picture for turn in self.turns[self.left_out :] for picture in turn.images]
        return tuple(self.images[one.sha256] for one in shown if one.sha256 in self.images)

    @property
    def has_images(self) -> bool:
        """Whether an image was ever shown in it."""
        return any(turn.images for turn in self.turns)

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


def taken_up(messages: tuple[ChatMessage, ...], name: str, created: str, model: str) -> LiveTalk:
    """The conversation of a kept session, to go on with; it is in memory."""
    system = messages[0].content if messages and messages[0].role == "system" else ""
    turns = [
        Turn(role=said.role, text=said.content, time=created, thinking=said.thinking, model=_author(said, model))
        for said in messages
        if said.role != "system"
    ]
    title = title_of(turns[0].text) if turns else name
    return LiveTalk(title=title, system=system, turns=turns, created=created, session=name, session_turns=len(turns))


def _author(said: ChatMessage, model: str) -> str:
    return model if said.role == "assistant" else ""


def _first_name(turn: Turn) -> str:
    """Of what was asked about without a word."""
    return [*(text.name for text in turn.attachments), *(image.name for image in turn.images)][0]


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
