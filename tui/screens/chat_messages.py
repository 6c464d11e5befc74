"""What can be done with the messages of a conversation: reach, copy, search, write anew, fork."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from textual import on

from deploy.commands.conversations import written_as
from deploy.conversations import Turn
from tui.screens.chat_files import ChatFiles
from tui.talk import now
from tui.widgets.findbar import FindBar
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Answer, Message, Question, Transcript

CODE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(.*?)^ {0,3}\1[`~]*[ \t]*$", re.DOTALL | re.MULTILINE)

ON_A_MESSAGE: Final = {
    f"message.{what}": action
    for what, action in (
        ("copy", "copy_message"),
        ("code", "copy_code"),
        ("again", "again"),
        ("edit", "edit"),
        ("fork", "fork"),
        ("fold", "fold"),
        ("all", "copy_all"),
    )
}


class ChatMessages(ChatFiles):
    """The messages, and their actions."""

    def add_exchange(self, question: Question, answer: Answer, *, stopped: bool) -> None:
        """A question and its answer are part of the conversation from now on."""
        moment = now()
        opened = self.driver.opened
        question.place, answer.place = len(self.talk.turns), len(self.talk.turns) + 1
        self.talk.add(
            question.turn(moment),
            Turn(
                role="assistant",
                text=answer.text,
                time=moment,
                model=opened.plan.id if opened is not None else "",
                thinking=answer.thoughts,
                stopped=stopped,
                seed=self.driver.seed,
            ),
        )

    def action_message(self, step: int) -> None:
        """Go to the newest message, or one up or down; below the last one is the prompt."""
        messages = self.messages()
        if not messages:
            return
        at = messages.index(self.focused) if isinstance(self.focused, Message) else len(messages)
        to = len(messages) - 1 if step == 0 else at + step
        if to >= len(messages):
            self.action_focus_prompt()
        else:
            messages[max(0, to)].focus()

    def more_commands(self) -> Iterable[tuple[str, Callable[[], object]]]:
        """For the palette: what can be done with the newest message while another widget has the focus."""
        messages = self.messages()
        if not messages or isinstance(self.focused, Message):
            return
        for identifier, action in ON_A_MESSAGE.items():
            wanted = Question if identifier == "message.edit" else Message
            message = next((one for one in reversed(messages) if isinstance(one, wanted)), None)
            if message is not None:
                yield identifier, partial(self.call_later, self._on, message, action)

    async def _on(self, message: Message, action: str) -> None:
        self.set_focus(message, scroll_visible=False)
        await self.run_action(action)

    def action_page(self, step: int) -> None:
        """Scroll the conversation by a page."""
        transcript = self.query_one(Transcript)
        if step < 0:
            transcript.scroll_page_up(animate=False)
        else:
            transcript.scroll_page_down(animate=False)

    def action_end(self) -> None:
        """Go to the end, and stay there while text comes."""
        transcript = self.query_one(Transcript)
        transcript.scroll_end(animate=False)
        transcript.anchor()

    def action_copy_message(self) -> None:
        """Copy the message that has the focus, as it was written."""
        if isinstance(self.focused, Message) and self.focused.text:
            self._copy(self.focused.text, "The message")

    def action_copy_code(self) -> None:
        """Copy the code in the message that has the focus."""
        if isinstance(self.focused, Message):
            blocks = [found[2] for found in CODE.finditer(self.focused.text)]
            if blocks:
                self._copy("\n".join(blocks), "The code" if len(blocks) == 1 else f"The code of {len(blocks)} blocks")
            else:
                self.notify("There is no code in this message.")

    def action_copy_all(self) -> None:
        """Copy the whole conversation as Markdown."""
        if self.talk.turns:
            self._copy(written_as(self.talk.frozen(), "markdown"), "The conversation")

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"{what} was copied, if this terminal allows it.")

    def action_fold(self) -> None:
        """Unfold what the model thought, or a long question; or fold it."""
        if isinstance(self.focused, Message):
            self.focused.fold()

    async def action_again(self) -> None:
        """Have the newest answer written anew."""
        message = self.focused
        if not isinstance(message, Answer) or not self.require_free():
            return
        if message is not self.messages()[-1]:
            self.notify(
                "Only the newest answer can be written again. f continues from here in a conversation of its own."
            )
            return
        question = self.messages()[-2]
        if isinstance(question, Question):
            await message.remove()
            self._answer = None
            self._forget_last(question)
            await self.ask_again(question)

    async def ask_again(self, question: Question) -> None:
        """Ask a question that stands on the screen already."""
        raise NotImplementedError

    def _forget_last(self, question: Question) -> None:
        """Take the newest exchange out of the conversation, if the question is part of it."""
        if question.place is not None:
            self.talk.cut(question.place)
            question.place = None
            self.tell_driver()

    def action_edit(self) -> None:
        """Take a question back into the prompt, to write it anew."""
        message = self.focused
        if isinstance(message, Question) and self.require_free():
            self._editing = self.messages().index(message)
            self.into_prompt(message)
            self.query_one(Prompt).begin_edit(message.source)
            self.action_focus_prompt()

    async def begin_edited(self) -> None:
        """An edited message is sent: go back to before it. More than its answer is not lost: that stays in the list."""
        at, self._editing = self._editing, None
        self.query_one(Prompt).end_edit()
        if at is None:
            return
        messages = self.messages()
        question = messages[at]
        if question.place is not None and question.place < len(self.talk.turns) - 2:
            await self._fork_at(question.place)
            return
        if isinstance(question, Question):
            self._forget_last(question)
        for message in messages[at:]:
            await message.remove()

    async def action_fork(self) -> None:
        """Go on from a message in a conversation of its own; this one stays in the list."""
        message = self.focused
        if not isinstance(message, Message) or not self.require_free():
            return
        if message.place is None:
            self.notify("This message is not part of the conversation.")
            return
        if isinstance(message, Question):
            await self._fork_at(message.place)
            self.into_prompt(message)
            self.query_one(Prompt).put(message.source)
        else:
            await self._fork_at(message.place + 1)
        self.notify("A conversation of its own. The other one is in the list (Ctrl+L).")

    async def _fork_at(self, count: int) -> None:
        fork = self.talk.fork(count)
        self.shelve()
        await self.show_talk(fork)

    @on(Prompt.Left)
    def _edit_left(self) -> None:
        self._editing = None
        self.leave_files()

    def action_find(self) -> None:
        """Search in the conversation."""
        self.query_one(FindBar).open()

    @on(FindBar.Left)
    def _find_left(self) -> None:
        current = self.query_one(FindBar).current
        if current is not None:
            current.focus()
        else:
            self.action_focus_prompt()
