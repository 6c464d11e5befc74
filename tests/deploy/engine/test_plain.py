"""Nothing that the engine process says steers a terminal."""

import socket
from typing import Final

import pytest

from deploy.engine.client import LlamaSession
from deploy.engine.plain import plain
from deploy.engine.protocol import Done, Event, Failed, Generate, Ready, Text, Thinking
from deploy.engine.wire import Channel
from deploy.errors import EngineFailed

CLIPBOARD: Final = "\x1b]52;c;ZXZpbA==\x07\x9b2J"
SHOWN: Final = "]52;c;ZXZpbA==2J"


class Puppet:
    """A process that has said what it will say."""

    id = 0

    def __init__(self, events: tuple[Event, ...]) -> None:
        """Say all of it now."""
        self.connection, self._theirs = socket.socketpair()
        self.killed = False
        for event in (Ready(engine="puppet", sealed=True), *events):
            Channel(self._theirs).send(event)

    @property
    def ended(self) -> bool:
        """Whether it was killed."""
        return self.killed

    def kill(self) -> None:
        """Be killed."""
        self.killed = True

    def end(self) -> None:
        """Let go."""
        self._theirs.close()


def session_of(monkeypatch: pytest.MonkeyPatch, *events: Event) -> tuple[LlamaSession, Puppet]:
    """A session whose process says these events."""
    puppet = Puppet(events)
    monkeypatch.setattr("deploy.engine.client.EngineProcess", lambda _start: puppet)
    return LlamaSession(), puppet


def test_line_ends_and_letters_stay() -> None:
    """Of every script."""
    assert plain("a\tb\r\nc é 漢 🙂\u2028") == "a\tb\r\nc é 漢 🙂\u2028"


def test_an_answer_cannot_fill_the_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor can what is thought, or the words of a refusal."""
    session, _ = session_of(monkeypatch, Thinking(CLIPBOARD), Text(CLIPBOARD), Failed(CLIPBOARD, CLIPBOARD))
    with session:
        said = session.generate(Generate(prompt="Hello"))
        assert [next(said), next(said)] == [Thinking(SHOWN), Text(SHOWN)]
        with pytest.raises(EngineFailed) as caught:
            next(said)
    assert (caught.value.message, caught.value.hint) == (SHOWN, SHOWN)


def test_who_stops_twice_gets_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine still says of an answer that nobody waited for must not be taken for the next one."""
    session, puppet = session_of(monkeypatch, Text("One"))

    def interrupt() -> Done:
        raise KeyboardInterrupt

    with session:
        said = session.generate(Generate(prompt="Hello"))
        next(said)
        monkeypatch.setattr(session, "_receive_or_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(said)
        assert puppet.killed


def test_a_text_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument of the command line that is not UTF-8."""
    session, puppet = session_of(monkeypatch)
    with session:
        with pytest.raises(EngineFailed, match="not UTF-8"):
            session.count("\udcff")
        assert not puppet.killed
