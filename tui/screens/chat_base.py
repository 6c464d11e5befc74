"""What all parts of the chat share: the conversation on the screen, its driver, and how the screen says things."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from textual import on
from textual.message import Message as TextualMessage
from textual.screen import Screen
from textual.widgets import Static

from deploy.commands.chat import Overflow
from tui.driver import ChatDriver
from tui.keeping import Keeper
from tui.talk import LiveTalk
from tui.text import harmless
from tui.widgets.banner import Banner
from tui.widgets.files import Files
from tui.widgets.head import Head
from tui.widgets.prompt import Prompt
from tui.widgets.status import Vitals
from tui.widgets.transcript import Answer, Message, Question, Transcript

if TYPE_CHECKING:
    from tui.app import LandfastApp

GREETING: Final = (
    "The model runs on this machine, and nothing leaves it. The conversation is not saved unless you press F9."
)
FORBIDDEN_GREETING: Final = "The model runs on this machine, and nothing leaves it."
UNSEEN: Final = "The model no longer sees what is above this line."


class ChatBase(Screen[None]):
    """State and small helpers. The other parts build on it."""

    app: "LandfastApp"

    class Told(TextualMessage):
        """Something that was done in a thread is over."""

        def __init__(self, then: Callable[[], Awaitable[None] | None]) -> None:
            """`then` is for the UI's thread."""
            super().__init__()
            self.then = then

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__()
        self.vitals = Vitals()
        self.talk = LiveTalk()
        self.shelf: list[LiveTalk] = []
        """Conversations that were left and are in memory alone."""
        self._answer: Answer | None = None
        self._open_question: Question | None = None
        """A question that has no answer yet."""
        self._held: Overflow | None = None
        """Why it was not sent; None where it was, or still will be."""
        self._waiting = False
        self._editing: int | None = None
        """Which turn is being written anew."""
        self._keeper: Keeper | None = None

    @property
    def driver(self) -> ChatDriver:
        """The app's one conversation."""
        return self.app.driver

    @property
    def keeper(self) -> Keeper:
        """The saved conversations."""
        if self._keeper is None:
            self._keeper = Keeper(self.app.context)
        return self._keeper

    @property
    def is_free(self) -> bool:
        """Whether no answer is under way or waited for."""
        return self.driver.state != "busy" and not self._waiting

    @on(Told)
    async def _told(self, event: Told) -> None:
        done = event.then()
        if done is not None:
            await done

    def tell(self, then: Callable[[], Awaitable[None] | None]) -> None:
        """From a thread: have this done by the screen."""
        self.post_message(self.Told(then))

    def require_free(self) -> bool:
        """Whether the conversation may be changed now; if not, it is said."""
        if not self.is_free:
            self.notify("Esc stops the answer first.", title="An answer is being written")
        return self.is_free

    def action_focus_prompt(self) -> None:
        """Go back to writing."""
        self.query_one(Prompt).focus()

    def show_head(self) -> None:
        """Say which model, which conversation, and whether it is saved."""
        self.query_one(Head).tell(harmless(self._model_words()), self.talk, forbidden=bool(self.keeper.forbidden))

    def _model_words(self) -> str:
        if self.driver.opened is not None:
            return f"{self.driver.opened.plan.name} · sees images" if self.driver.sees else self.driver.opened.plan.name
        if self.driver.name is None:
            return "the best installed model" if self.driver.state == "loading" else "no model"
        return self._names().get(self.driver.name, self.driver.name)

    def _names(self) -> dict[str, str]:
        """What the installed models are called, by id."""
        installed = self.app.look.installed if self.app.look is not None else ()
        return {one.id: f"{one.name} {one.quant}" for one in installed}

    async def remark(self, sentence: str) -> None:
        """A line of our own between the messages."""
        await self.query_one(Transcript).add(Static(sentence, classes="remark", markup=False))

    async def show_talk(self, talk: LiveTalk) -> None:
        """Put another conversation on the screen, and let the model go on from it."""
        self.talk = talk
        self._answer = self._open_question = self._held = None
        self._waiting = False
        self._editing = None
        self.query_one(Banner).clear()
        self.query_one(Files).clear()
        self.query_one(Prompt).has_files = False
        self.query_one(Prompt).end_edit()
        transcript = self.query_one(Transcript)
        async with self.batch():
            await transcript.empty()
            if talk.turns:
                await transcript.restore(talk.turns, self._names(), talk.images)
                await self.mark_unseen()
            else:
                await self.remark(FORBIDDEN_GREETING if self.keeper.forbidden else GREETING)
        self.tell_driver()
        if self.driver.state == "ready":
            self.vitals.rested()
        self.vitals.used_tokens = 0
        self.show_head()
        self.action_focus_prompt()

    def tell_driver(self) -> None:
        """Let the model's side hold the same turns as the screen."""
        self.driver.system = self.talk.system
        self.driver.take(self.talk.messages(sees=self.driver.sees), left_out=self.talk.left_out)

    async def mark_unseen(self) -> None:
        """Draw the line below what is not sent any more."""
        await self.query("#unseen").remove()
        last = next((m for m in self.messages() if m.place == self.talk.left_out - 1), None)
        for message in self.messages():
            message.set_class(message.place is not None and message.place < self.talk.left_out, "-unseen")
        if last is not None:
            line = Static(UNSEEN, id="unseen", classes="remark", markup=False)
            await self.query_one(Transcript).mount(line, after=last)

    def messages(self) -> list[Message]:
        """All messages on the screen, oldest first."""
        return self.query_one(Transcript).messages()

    def shelve(self) -> None:
        """Leave the conversation on the screen; in memory it stays, unless it is saved or empty."""
        if self.talk.turns and not self.talk.kept and self.talk not in self.shelf:
            self.shelf.insert(0, self.talk)
