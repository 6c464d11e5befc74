"""The chat in states that can be painted again: an engine that waits where it is told to, and figures that stand."""

import dataclasses
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from textual.events import Paste

from deploy.commands.context import Context
from deploy.commands.conversations import shelf
from deploy.commands.install import InstallRequest, install
from deploy.commands.looking import Shown
from deploy.commands.sessions import ListedSession
from deploy.conversations import Picture, Talk, Turn
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.files import Projector
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Event, Generate, Reading
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.support.world import TINY, FakeSource, artifact, model, world
from tests.tui.kit import GB, AppPilot, Scene, ask, chatting, exchange, looked, painted, until
from tui.app import LandfastApp
from tui.rate import Rate
from tui.screens.chat import ChatScreen
from tui.screens.files import AttachScreen
from tui.widgets.banner import Banner
from tui.widgets.files import Carried, Files
from tui.widgets.status import StatusLine, Vitals

ANSWER: Final = (
    "## What the committee decided\n\n"
    "Three points, and **one** of them is open:\n\n"
    "1. The budget stands.\n   - Travel is cut by a tenth.\n   - Training is not.\n"
    "2. The audit begins in *March*.\n\n"
    "| Item | Before | After |\n|---|---:|---:|\n| Travel | 40 | 36 |\n| Training | 12 | 12 |\n\n"
    "```python\ntotal = 36 + 12\nprint(total)\n```\n\n"
    "What is left is the date."
)
QUESTION: Final = "Summarise the attached minutes in three points."
HALF: Final = ANSWER[: ANSWER.index("print")].count(" ")
"""Words up to the middle of the fence."""
THOUGHTS: Final = "The minutes name three points. The third one has no date, so it is open."
IMAGE_TOKENS: Final = 256
PHOTO: Final = Shown(Picture("whiteboard.jpg", "0" * 64, 2_400_000, 4032, 3024), b"")
TOK_S: Final = 58.4
FIRST_S: Final = 0.41
ENGINE_BYTES: Final = 2_400_000_000
ROOM_BYTES: Final = 12_400_000_000
KEPT: Final = ListedSession(
    name="contract",
    size_bytes=240_000_000,
    model="captain:Q4_0",
    tokens=7420,
    created="2025-01-01T09:30:00+00:00",
    begins="Which terms end this contract?",
)
NEVER_KEPT: Final = Policy((parse('[require]\nconversations = "never"\n', Path("/etc/landfast/policy.toml")),))
MOMENT: Final = "2025-01-01T09:30:00Z"


class SteadyRate(Rate):
    """The same rate at any time."""

    def tok_s(self, now_s: float) -> float | None:
        """What stands in the pictures."""
        return TOK_S


class SteadyVitals(Vitals):
    """Vitals with the figures of the pictures in place of those of the run."""

    def asked(self, now_s: float) -> None:
        """Begin with the steady rate."""
        super().asked(now_s)
        self.rate = SteadyRate()

    def follow(self, event: Event, at_s: float) -> None:
        """Follow, and put the steady figures in."""
        super().follow(event, at_s)
        if self.first_s is not None:
            self.first_s = FIRST_S
        if isinstance(event, Done):
            seconds = event.stats.decode_tokens / TOK_S
            self.done = msgspec.structs.replace(event, stats=msgspec.structs.replace(event.stats, decode_s=seconds))
            self.engine_bytes = ENGINE_BYTES


class ScriptedEngine(FakeEngine):
    """Says the first part of its answer and waits there, until it is stopped or told to go on."""

    def __init__(
        self, answer: str = ANSWER, *, thinking: str = "", waits_after: int | None = None, dies_after: int | None = None
    ) -> None:
        """`waits_after` counts words, those of the thoughts too; None never waits."""
        super().__init__(answer, thinking=thinking, dies_after=dies_after)
        self.waits_after = waits_after
        self.reads_only = False
        self.load_share: float | None = None
        self.go = threading.Event()

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> FakeSession:
        """Load, or stop loading in the middle."""
        if self.load_share is not None:
            on_loading(self.load_share)
            while not self.go.wait(0.02):
                on_loading(self.load_share)
        self.opened.append((tuple(files), plan))
        session = ScriptedSession(self, plan)
        session.loaded = msgspec.structs.replace(session.loaded, memory_bytes=ENGINE_BYTES)
        return session


class ScriptedSession(FakeSession):
    """The session of that engine."""

    def count_conversation(self, messages: Sequence[ChatMessage]) -> int:
        """The words of all messages, and so many for each image."""
        images = sum(len(message.images) for message in messages)
        return super().count_conversation(messages) + IMAGE_TOKENS * images

    def generate(self, request: Generate) -> Iterator[Event]:
        """The events of the fake engine, with a stop among them."""
        engine = self._engine
        assert isinstance(engine, ScriptedEngine)
        for count, event in enumerate(super().generate(request)):
            if isinstance(event, Reading) and engine.reads_only:
                yield Reading(1800, 3500, 512)
                self._wait_for(engine)
                continue
            if count and count - 1 == engine.waits_after:
                self._wait_for(engine)
            yield event

    def _wait_for(self, engine: ScriptedEngine) -> None:
        while not (engine.go.wait(0.02) or self._cancelled.is_set() or self.closed):
            pass


def chat_world(home: Path, engine: FakeEngine, *, policy: Policy | None = None, both: bool = False) -> Context:
    """Two models, of which one is to be installed; with `both`, the other one is there already."""
    context = world(
        home,
        model("captain", artifact("Q4_0"), parameters=2 * GB),
        model("sailor", artifact("Q4_0", name="sailor.gguf"), parameters=GB),
        sources=(FakeSource(files={"tiny.gguf": TINY, "sailor.gguf": TINY}),),
        engine=engine,
    )
    if both:
        for name in ("sailor:Q4_0", "captain:Q4_0"):
            install(context, InstallRequest(model=name))
    return context if policy is None else dataclasses.replace(context, policy=policy)


def chat(engine: Callable[[], FakeEngine] = ScriptedEngine, **options: Any) -> Callable[[Path], Context]:
    """A world with a fresh engine."""
    return lambda home: chat_world(home, engine(), **options)


def shelf_world(home: Path) -> Context:
    """Two conversations were saved before."""
    context = chat_world(home, ScriptedEngine())
    turns = (Turn(role="user", text=QUESTION, time=MOMENT), Turn(role="assistant", text=ANSWER, time=MOMENT))
    for title, count in (("Minutes of the committee", 2), ("A title that is much longer than the room for it " * 3, 1)):
        shelf(context).save(Talk(title=title, created=MOMENT, changed=MOMENT, turns=turns * count))
    return context


def held(home: Path) -> Context:
    """A load that stands at 42 %."""
    engine = ScriptedEngine()
    engine.load_share = 0.42
    return chat_world(home, engine)


def reading() -> ScriptedEngine:
    """Stops while it reads."""
    engine = ScriptedEngine()
    engine.reads_only = True
    return engine


async def opened(pilot: AppPilot) -> ChatScreen:
    """In the chat, with figures that stand."""
    screen = await chatting(pilot)
    held_now = {field.name: getattr(screen.vitals, field.name) for field in dataclasses.fields(Vitals)}
    screen.vitals = SteadyVitals(**held_now)
    screen.vitals.room_bytes = ROOM_BYTES
    screen._show_status()
    return screen


async def greeted(pilot: AppPilot) -> None:
    """A model, and nothing said yet."""
    await opened(pilot)


async def loading(pilot: AppPilot) -> None:
    """A load under way."""
    app = await looked(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: app.current_mode == "chat" and "42%" in status(app))


async def no_model(pilot: AppPilot) -> None:
    """F3 where nothing is installed."""
    await looked(pilot)
    await pilot.press("f3")
    await until(pilot, lambda: pilot.app.screen.query_one(Banner).display)


def status(app: object) -> str:
    """The line under the prompt."""
    assert isinstance(app, LandfastApp)
    return str(app.screen_stack[0].query_one(StatusLine).content)


async def asked(pilot: AppPilot) -> ChatScreen:
    """One question, as far as the engine goes by itself."""
    screen = await opened(pilot)
    await ask(pilot, QUESTION)
    return screen


def waiting(words: int, *, thinking: str = "") -> Callable[[], FakeEngine]:
    """An engine that waits after so many words."""
    return lambda: ScriptedEngine(thinking=thinking, waits_after=words)


async def midway(pilot: AppPilot) -> None:
    """It waits in the middle of its answer, or of its thoughts."""
    screen = await asked(pilot)
    engine = pilot.app.driver.opened.session.inner._engine  # type: ignore[attr-defined]
    await until(pilot, lambda: screen.vitals.rate.count == engine.waits_after)
    screen._show_status()


async def reads(pilot: AppPilot) -> None:
    """It reads the prompt."""
    await asked(pilot)
    await until(pilot, lambda: "1,800" in status(pilot.app))


async def answered(pilot: AppPilot) -> ChatScreen:
    """One question and its whole answer."""
    screen = await asked(pilot)
    await until(pilot, lambda: len(screen.talk.turns) == 2)
    return screen


def after(*presses: str, until_shown: str = "") -> Callable[[AppPilot], Awaitable[None]]:
    """These keys after an answer, and then a text on the screen."""

    async def play(pilot: AppPilot) -> None:
        await answered(pilot)
        await pilot.press(*presses)
        await until(
            pilot,
            lambda: until_shown in "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips()),
        )
        pilot.app.clear_notifications()

    return play


async def stopped(pilot: AppPilot) -> None:
    """Escape in the middle."""
    await midway(pilot)
    await pilot.press("escape")
    await until(pilot, lambda: pilot.app.driver.state == "ready")  # type: ignore[attr-defined]


async def broken(pilot: AppPilot) -> None:
    """The engine dies in the middle."""
    screen = await asked(pilot)
    await until(pilot, lambda: screen.query_one(Banner).display)


async def overflowing(pilot: AppPilot) -> None:
    """The context does not hold the next message."""
    screen = await answered(pilot)
    await ask(pilot, "more " * 8200)
    await until(pilot, lambda: screen.query_one(Banner).display)


async def carrying(pilot: AppPilot) -> None:
    """A long text was pasted."""
    screen = await answered(pilot)
    pilot.app.post_message(Paste("line\n" * 240))
    await until(pilot, lambda: any(one.tokens for one in screen.query_one(Files).carried))


def sighted() -> ScriptedEngine:
    """An engine with a projector."""
    engine = ScriptedEngine("Three points, and one of them is open.")
    engine.projector = Projector(Path("mmproj.gguf"), "")
    return engine


async def showing(pilot: AppPilot) -> None:
    """An image was shown and asked about, and another one goes with the next message."""
    screen = await opened(pilot)
    screen.carry(Carried(PHOTO))
    await until(pilot, lambda: any(one.tokens for one in screen.query_one(Files).carried))
    await exchange(pilot, screen, "What stands on it?")
    screen.carry(Carried(dataclasses.replace(PHOTO, picture=msgspec.structs.replace(PHOTO.picture, name="door.png"))))
    await until(pilot, lambda: any(one.tokens for one in screen.query_one(Files).carried))


async def blind(pilot: AppPilot) -> None:
    """An image was named, and the model has no projector."""
    screen = await answered(pilot)
    await pilot.press("ctrl+t")
    dialog = pilot.app.screen
    assert isinstance(dialog, AttachScreen)
    problem = screen.refusal_of(PHOTO)
    assert problem is not None
    dialog._refuse(problem)


async def sessions_listed(pilot: AppPilot) -> None:
    """One is kept, and another one was."""
    screen = await answered(pilot)
    screen.keeper.listed = lambda words, tell: tell((KEPT,))  # type: ignore[method-assign]
    await pilot.press("ctrl+l")
    await until(pilot, lambda: "contract" in painted(pilot.app))


async def nearly_full(pilot: AppPilot) -> None:
    """The next message would be the last one that fits."""
    screen = await answered(pilot)
    screen.vitals.used_tokens = 7100
    screen._show_status()


CHAT_SCENES: Final[dict[str, Scene]] = {
    "chat-empty": Scene(chat(), greeted),
    "chat-no-model": Scene(chat(), no_model),
    "chat-loading": Scene(held, loading),
    "chat-reading": Scene(chat(reading), reads),
    "chat-thinking": Scene(chat(waiting(9, thinking=THOUGHTS)), midway),
    "chat-streaming": Scene(chat(waiting(HALF)), midway),
    "chat-stopped": Scene(chat(waiting(HALF)), stopped),
    "chat-answer": Scene(chat(lambda: ScriptedEngine(thinking=THOUGHTS)), after()),
    "chat-thoughts": Scene(chat(lambda: ScriptedEngine("Two.", thinking=THOUGHTS)), after("alt+up", "space")),
    "chat-error": Scene(chat(lambda: ScriptedEngine(dies_after=8)), broken),
    "chat-too-long": Scene(chat(), overflowing),
    "chat-full": Scene(chat(), nearly_full),
    "chat-files": Scene(chat(), carrying),
    "chat-images": Scene(chat(sighted), showing),
    "chat-blind": Scene(chat(), blind),
    "chat-keep": Scene(chat(), after("shift+f9", until_shown="tokens, about")),
    "chat-sessions": Scene(chat(), sessions_listed),
    "chat-saved": Scene(chat(), after("f9", "f8", *"Rhyme", "enter", until_shown="system prompt")),
    "chat-policy": Scene(chat(policy=NEVER_KEPT), after("alt+up")),
    "chat-find": Scene(chat(), after("ctrl+f", *"three", until_shown="1 of 2")),
    "chat-settings": Scene(chat(), after("f7")),
    "chat-attach": Scene(chat(), after("ctrl+t")),
    "chat-export": Scene(chat(), after("ctrl+g")),
    "chat-model": Scene(chat(both=True), after("f12", until_shown="Sailor")),
    "chat-list": Scene(shelf_world, after("ctrl+l", until_shown="Minutes of")),
    "chat-confirm": Scene(shelf_world, after("ctrl+l", "down", "d", until_shown="cannot be undone")),
}
