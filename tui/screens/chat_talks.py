"""Conversations as wholes: keep, list, open, export; and the settings of the next message."""

from deploy.commands.conversations import write, written_as
from deploy.commands.sessions import ListedSession
from deploy.conversations import Summary, Talk
from deploy.results import Problem
from tui.jobs import Job
from tui.rows import rows_of
from tui.screens.asking import AskingScreen
from tui.screens.chat_files import NOT_SAVED
from tui.screens.chat_sessions import ChatSessions
from tui.screens.confirm import ConfirmScreen
from tui.screens.files import ExportScreen, unused
from tui.screens.switch import SwitchScreen
from tui.screens.talks import DELETED_BY, Entry, TalksScreen
from tui.talk import Asking, thawed
from tui.text import harmless


class ChatTalks(ChatSessions):
    """The actions of conversations."""

    def action_keep(self) -> None:
        """Save this conversation from now on, or delete what was saved of it."""
        if self.talk.kept:
            question = "Delete what was saved of this conversation? It stays here until you leave Landfast."
            self.app.push_screen(ConfirmScreen(question, "deletes it", DELETED_BY), self._unkeep)
        elif self.keeper.forbidden:
            self.notify(self.keeper.forbidden, title="Not saved", severity="warning", markup=False)
        else:
            self.talk.kept = True
            if self.talk.has_images:
                self.notify(NOT_SAVED, title="This conversation is saved")
            if self.talk in self.shelf:
                self.shelf.remove(self.talk)
            self.save()
            self.show_head()

    def _unkeep(self, yes: bool | None) -> None:  # noqa: FBT001 - the toolkit's signature
        if yes:
            self.keeper.forget(self.talk, lambda outcome: self.tell(lambda: self._say_if_wrong(outcome, "Not deleted")))
            self.show_head()

    def save(self) -> None:
        """Save the conversation on the screen, if it is to be kept and holds something."""
        talk = self.talk
        if not talk.kept or not talk.turns:
            return

        def saved(outcome: int | Problem) -> None:
            def then() -> None:
                if isinstance(outcome, Problem):
                    talk.kept = False
                    self.show_head()
                self._say_if_wrong(outcome, "Not saved")

            self.tell(then)

        self.keeper.save(talk, saved)

    def _say_if_wrong(self, outcome: object, title: str) -> None:
        if isinstance(outcome, Problem):
            self.notify(f"{outcome.message} {outcome.hint}", title=title, severity="error", markup=False)

    def action_talks(self) -> None:
        """Show all conversations, and go on with another one."""
        if not self.require_free():
            return
        here = [self.talk] if self.talk.turns and not self.talk.kept else []
        dialog = TalksScreen(self.keeper, [*here, *self.shelf], self.talk)

        async def chosen(entry: Entry | None) -> None:
            self.shelf = [talk for talk in self.shelf if talk in dialog.here]
            self.show_head()
            if entry is not None:
                await self._go_on_with(entry)

        self.app.push_screen(dialog, chosen)

    async def _go_on_with(self, entry: Entry) -> None:
        if isinstance(entry, Summary):
            if entry.id != self.talk.id:
                self.keeper.get(entry.id, lambda outcome: self.tell(lambda: self._got(outcome)))
        elif isinstance(entry, ListedSession):
            await self.resume(entry)
        elif entry is not self.talk:
            self.shelf.remove(entry)
            self.shelve()
            await self.show_talk(entry)

    async def _got(self, outcome: Talk | Problem) -> None:
        if isinstance(outcome, Problem):
            self._say_if_wrong(outcome, "Not opened")
        elif self.require_free():
            self.shelve()
            await self.show_talk(thawed(outcome))

    def action_export(self) -> None:
        """Write the conversation to a file."""
        if not self.talk.turns:
            self.notify("Nothing was said yet.")
        elif self.keeper.forbidden:
            self.notify(self.keeper.forbidden, title="Not written", severity="warning", markup=False)
        else:
            self.app.push_screen(ExportScreen(unused("conversation.md")), self._export)

    def _export(self, name: str | None) -> None:
        if name is None:
            return
        text = written_as(self.talk.frozen(), "json" if name.endswith(".json") else "markdown")

        def over(outcome: str | Problem) -> None:
            self.tell(lambda: self._exported(outcome))

        Job(self.app.context, lambda context: str(write(context, text, name)), on_end=over).start()

    def _exported(self, outcome: str | Problem) -> None:
        if isinstance(outcome, Problem):
            self._say_if_wrong(outcome, "Not written")
        else:
            self.notify(f"Written to {harmless(outcome)}, which you alone can read.", markup=False)

    def action_model(self) -> None:
        """Choose another installed model for this conversation."""
        look = self.app.look
        if not self.require_free():
            return
        if look is None:
            self.notify("The machine is still being looked at.")
            return
        rows = [row for row in rows_of(look.data.ranking, look.installed) if row.installed and not row.forbidden]
        opened = self.driver.opened
        self.app.push_screen(SwitchScreen(rows, opened.plan.id if opened is not None else None), self._switched)

    async def _switched(self, name: str | None) -> None:
        if name is not None and self.require_free():
            await self.open_model(name)

    async def open_model(self, name: str | None) -> None:
        """Load a model, in place of the one before."""
        raise NotImplementedError

    def action_settings(self, on_system: bool) -> None:  # noqa: FBT001 - the toolkit calls it with what stands in the binding
        """Say how the model is asked."""
        opened = self.driver.opened
        recommended = opened.session.loaded.sampling if opened is not None else None
        dialog = AskingScreen(self.talk.system, self.driver.asking, recommended, on_system=on_system)
        self.app.push_screen(dialog, self._asking_set)

    def _asking_set(self, found: tuple[str, Asking] | None) -> None:
        if found is not None:
            self.talk.system, self.driver.asking = found
            self.driver.system = self.talk.system
            self.save()
            self.show_head()
