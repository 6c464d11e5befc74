"""Kept sessions: what a model has read, written to the disk by wish, and taken up again without reading it anew."""

from deploy.commands import sessions
from deploy.engine.state_protocol import StateShape
from deploy.errors import LandfastError
from deploy.quantities import gigabytes
from deploy.results import Problem
from tui.driver import TakenUp
from tui.jobs import problem_of
from tui.screens.chat_base import ChatBase
from tui.screens.keep import KeepScreen
from tui.talk import taken_up
from tui.text import harmless


class ChatSessions(ChatBase):
    """The actions of sessions."""

    def action_session(self) -> None:
        """Keep on the disk what the model has read of this conversation, under a name that is asked for."""
        if not self.require_free():
            return
        why_not = self._why_not_kept()
        if why_not:
            self.notify(why_not, title="Not kept", severity="warning", markup=False)
            return
        dialog = KeepScreen(self.talk.session, self._problem_of_name)
        self.app.push_screen(dialog, self._keep_session)
        self.driver.weigh(lambda outcome: self.tell(lambda: self._weighed(dialog, outcome)))

    def _why_not_kept(self) -> str:
        """Empty where the session can be kept."""
        refusal = self.app.context.policy.refusal_of_sessions()
        if refusal is not None:
            return refusal.sentence
        if not self.talk.turns:
            return "Nothing was said yet."
        if not self.driver.is_read:
            return "The model has not read this conversation as it is now. Ask something first."
        return ""

    def _problem_of_name(self, name: str) -> Problem | None:
        """Why the session cannot be kept under this name; its own is kept anew."""
        try:
            sessions.require_keepable(self.app.context, name, self.talk.session or None)
        except LandfastError as error:
            return problem_of(error)
        return None

    def _weighed(self, dialog: KeepScreen, outcome: StateShape | Problem) -> None:
        if not dialog.is_attached:
            return
        if isinstance(outcome, Problem):
            dialog.refuse(f"{outcome.message} {outcome.hint}".strip())
        else:
            dialog.tell(f"{len(outcome.tokens):,} tokens, about {gigabytes(outcome.total_bytes)}.")

    def _keep_session(self, name: str | None) -> None:
        talk = self.talk
        if name is None or not self.require_free() or not self.driver.is_read:
            return
        count = len(talk.turns)

        def told(outcome: sessions.Kept | Problem) -> None:
            def then() -> None:
                if isinstance(outcome, sessions.Kept):
                    talk.session, talk.session_turns = outcome.name, count
                self._say_kept(outcome)
                self.show_head()

            self.tell(then)

        self.driver.keep(name, told)

    def _say_kept(self, outcome: sessions.Kept | Problem) -> None:
        if isinstance(outcome, Problem):
            self.notify(f"{outcome.message} {outcome.hint}", title="Not kept", severity="error", markup=False)
            return
        size = f"{outcome.tokens:,} tokens, {gigabytes(outcome.size_bytes)} in {harmless(outcome.file)}"
        self.notify(f"{size}. It is not encrypted. Ctrl+L resumes or deletes it.", title="Kept", markup=False)

    async def resume(self, listed: sessions.ListedSession) -> None:
        """Leave this conversation, and load the model of a kept session with what it had in memory."""
        if not self.require_free():
            return
        if listed.problem and not listed.model:
            self.notify(listed.problem, title="Not resumed", severity="error", markup=False)
            return
        await self.begin_load()
        self.driver.take_up(listed.name, listed.model)
        self.show_head()
        self.begin_following()

    async def taken_up(self, taken: TakenUp) -> None:
        """The session is there: show what was said."""
        self.shelve()
        model = taken.opened.plan.id
        await self.show_talk(taken_up(taken.messages, taken.resumed.name, taken.created, model))
        if taken.resumed.why_not:
            await self.remark(f"! The kept state is not used: {taken.resumed.why_not}. All is read again.")
        else:
            self.vitals.used_tokens = taken.resumed.tokens

    async def begin_load(self) -> None:
        """Make the screen ready for a load."""
        raise NotImplementedError

    def begin_following(self) -> None:
        """Look at what the driver tells, until it rests."""
        raise NotImplementedError
