"""What goes with the next message: texts and images, chosen in a dialog, pasted, or dropped on the terminal."""

from pathlib import Path
from typing import Final

from textual import on

from deploy.commands.attach import as_text, with_attachments
from deploy.commands.looking import Shown, path_in, require_room, shown_from
from deploy.conversations import Attachment
from deploy.errors import UsageError
from deploy.results import Problem
from tui.jobs import Job, problem_of
from tui.screens.chat_base import ChatBase
from tui.screens.files import AttachScreen
from tui.text import harmless
from tui.widgets.files import Carried, Files
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Question

NOT_SAVED: Final = "Images are not saved with it, only their names, sizes and hashes."


class ChatFiles(ChatBase):
    """The actions of files."""

    def action_attach(self) -> None:
        """Attach a text or an image to the next message, or name the projector that images need."""
        self.app.push_screen(AttachScreen(self.refusal_of), self._attached)

    async def _attached(self, found: Carried | Path | None) -> None:
        if isinstance(found, Carried):
            self.carry(found)
        elif found is not None and self.require_free():
            await self.look_with(found)
        self.action_focus_prompt()

    async def look_with(self, projector: Path) -> None:
        """Load the model again, with a projector."""
        raise NotImplementedError

    def refusal_of(self, image: Shown) -> Problem | None:
        """Why an image cannot go with the next message; None where it can, as far as is known now."""
        blind = self.blindness()
        if blind is not None:
            return blind
        try:
            require_room(self.talk.seen, [one.data for one in self.query_one(Files).images], image.data)
        except UsageError as error:
            return problem_of(error)
        return None

    def blindness(self) -> Problem | None:
        """Why the model that is loaded cannot be shown any image; None where it can, or none is loaded."""
        opened = self.driver.opened
        if opened is None or self.driver.sees:
            return None
        return Problem(
            "usage",
            f"{harmless(opened.plan.name)} reads text only: to look at images it needs its projector (mmproj file).",
            "Attach that file like any other, and the model is loaded with it.",
        )

    def carry(self, carried: Carried) -> None:
        """Let a file go with the next message, and have it counted if nobody has."""
        self.query_one(Files).add(carried)
        self._files_changed()
        if carried.tokens is None:
            self.count(carried)

    def count(self, carried: Carried) -> None:
        """Have the tokens of a file counted. An image that the model cannot be shown does not stay."""
        file = carried.file
        blind = self.blindness()
        if blind is not None and isinstance(file, Shown):
            self._refuse(carried, blind)
            return

        def told(outcome: int | Problem) -> None:
            self.tell(lambda: self._counted(carried, outcome))

        self.driver.count(file.data if isinstance(file, Shown) else with_attachments("", (file,)), told)

    def _counted(self, carried: Carried, outcome: int | Problem) -> None:
        if isinstance(outcome, Problem) and isinstance(carried.file, Shown):
            self._refuse(carried, outcome)
            return
        carried.tokens = outcome if isinstance(outcome, int) else None
        self.query_one(Files).show()

    def _refuse(self, carried: Carried, problem: Problem) -> None:
        self.query_one(Files).drop(carried)
        self._files_changed()
        self._not_attached(problem)

    def _not_attached(self, problem: Problem) -> None:
        sentence = harmless(f"{problem.message} {problem.hint}")
        self.notify(sentence, title="Not attached", severity="warning", markup=False)

    def _files_changed(self) -> None:
        """A message may have no words where a file goes with it."""
        self.query_one(Prompt).has_files = bool(self.query_one(Files).carried)

    def leave_files(self) -> None:
        """Nothing goes with the next message."""
        self.query_one(Files).clear()
        self._files_changed()

    def into_prompt(self, question: Question) -> None:
        """Carry the files of a question with the next message; images only while they are in memory."""
        self.leave_files()
        here = self.talk.images
        images = [Shown(shown, here[shown.sha256]) for shown in question.images if shown.sha256 in here]
        texts = [Carried(attached) for attached in question.attachments]
        for carried in (*texts, *map(Carried, images)):
            self.carry(carried)

    @on(Prompt.Pasted)
    def _pasted(self, event: Prompt.Pasted) -> None:
        lines = event.text.count("\n") + 1
        size = f"{lines:,} lines" if lines > 1 else f"{len(event.text):,} characters"
        try:
            text = as_text(event.text.encode(errors="replace"), "The pasted text")
        except UsageError as error:
            self._not_attached(problem_of(error))
        else:
            self.carry(Carried(Attachment(f"pasted, {size}", text)))

    @on(Prompt.Dropped)
    def _dropped(self, event: Prompt.Dropped) -> None:
        """Read the image, if there is one of this path; else it was a text."""

        def over(outcome: Shown | Problem) -> None:
            self.tell(lambda: self._found(event.text, outcome))

        Job(self.app.context, lambda _: shown_from(path_in(event.text)), on_end=over).start()

    def _found(self, text: str, outcome: Shown | Problem) -> None:
        if isinstance(outcome, Shown):
            refusal = self.refusal_of(outcome)
            if refusal is None:
                self.carry(Carried(outcome))
            else:
                self._not_attached(refusal)
        elif outcome.code == "not-found":
            self.query_one(Prompt).insert(text)
        else:
            self._not_attached(outcome)

    @on(Prompt.Emptied)
    def _emptied(self) -> None:
        files = self.query_one(Files)
        for last in files.carried[-1:]:
            files.drop(last)
        self._files_changed()
