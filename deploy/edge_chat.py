"""What happens around chat at the command line: messages come in line by line, answers stream out."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.commands import sessions
from deploy.commands.context import Context
from deploy.edge import Setting, serve
from deploy.edge_ask import Asking, Writer, ensure_installed
from deploy.engine.protocol import ChatMessage, Done, SealReport, Stats
from deploy.errors import EngineFailed, ExitCode, UsageError
from deploy.results import Message, Problem, Result, warning
from deploy.terminal import Reporter, cut_short, say, say_problem

if TYPE_CHECKING:
    from deploy.commands.chat import Conversation, Overflow
    from deploy.commands.session import Opened
    from deploy.engine.client import Session

QUOTED_CHARACTERS: Final = 40


class ChatData(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that is over."""

    model: str
    turns: tuple[ChatMessage, ...]
    stats: tuple[Stats, ...]
    """One for each answer."""
    seal: SealReport
    resumed: sessions.Resumed | None = None
    kept: sessions.Kept | None = None


def chat(model: str | None, options: Asking, *, yes: bool, as_json: bool) -> int:
    """Converse until the input ends."""

    def work(world: Context) -> Result[ChatData]:
        if options.resume is None:
            ensure_installed(world, model, options.workload, yes=yes)
        return _converse(world, model, options, quiet=as_json)

    return serve("chat", work, None if as_json else lambda _: lambda _data: None, Setting(unsealed=options.unsealed))


@dataclass(slots=True)
class _Talk:
    """A conversation at the command line, which goes on when its engine dies."""

    world: Context
    conversation: "Conversation"
    reopen: "Callable[[], Session]"
    quiet: bool
    show_thinking: bool
    stats: list[Stats] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)
    failures: list[Problem] = field(default_factory=list)


def _converse(world: Context, model: str | None, options: Asking, *, quiet: bool) -> Result[ChatData]:
    sessions.require_keepable(world, options.keep, options.resume)
    with sessions.resuming(world, options.resume) as kept:

        def opening() -> "Opened":
            return sessions.open_like(world, kept, model, options.workload, options.adapters)

        opened = opening()
        resumed = sessions.take_over(world, opened, kept)
        before = () if kept is None else kept.header.messages
    if isinstance(world.report, Reporter):
        world.report.clear()
    talk = _Talk(world, _conversation(opened, options, before), lambda: opening().session, quiet, options.show_thinking)
    for sentence in (*opened.warnings, *(note.text for note in sessions.notes_of(resumed, None))):
        say(f"Warning: {sentence}")
    written: sessions.Kept | None = None
    try:
        if not quiet:
            say(
                f"{opened.plan.name}. {opened.why} "
                "Type a message; /new begins a new conversation, /bye or Ctrl-D ends the chat."
            )
        _turns(talk)
        written = _keep(talk, opened, options.keep)
    finally:
        talk.conversation.session.close()
    return _result(talk, opened.plan.id, (resumed, written))


def _conversation(opened: "Opened", options: Asking, before: tuple[ChatMessage, ...]) -> "Conversation":
    from deploy.commands.chat import Conversation

    conversation = Conversation(
        opened.session,
        system=options.system,
        sampling=options.sampling,
        max_tokens=options.max_tokens,
        stop=options.stop,
    )
    if before:
        conversation.go_on_from(before)
    return conversation


def _keep(talk: _Talk, opened: "Opened", name: str | None) -> sessions.Kept | None:
    """Keep what was said where that was asked for, and there is something."""
    if name is None:
        return None
    if not talk.conversation.turns:
        talk.notes.append(warning("Nothing was said, so nothing is kept."))
        if not talk.quiet:
            say(f"Warning: {talk.notes[-1].text}")
        return None
    now = replace(opened, session=talk.conversation.session)
    written, problem = sessions.try_keep(talk.world, now, name, talk.conversation.said)
    if problem is not None:
        talk.failures.append(Problem(problem.code, problem.message, problem.hint))
        if not talk.quiet:
            say_problem(talk.failures[-1])
    return written


def _result(talk: _Talk, model: str, moved: tuple[sessions.Resumed | None, sessions.Kept | None]) -> Result[ChatData]:
    resumed, kept = moved
    conversation = talk.conversation
    data = ChatData(
        model=model,
        turns=conversation.turns,
        stats=tuple(talk.stats),
        seal=conversation.session.ready.seal,
        resumed=resumed,
        kept=kept,
    )
    return Result(
        command="chat",
        status="partial" if talk.failures else "success",
        changed=kept is not None,
        data=data,
        messages=(*talk.notes, *sessions.notes_of(resumed, kept)) if talk.quiet else sessions.notes_of(None, kept),
        errors=tuple(talk.failures) if talk.quiet else (),  # else all was told when it happened
        exit_code=EngineFailed.exit_code if talk.failures else ExitCode.DONE,
    )


def _turns(talk: _Talk) -> None:
    while (line := _next_line()) is not None:
        if line in {"/bye", "/exit", "/quit"}:
            return
        if line == "/new":
            talk.conversation.forget()
            say("A new conversation.")
        elif line:
            _one_turn(talk, line)


def _one_turn(talk: _Talk, line: str) -> None:
    wrote = Writer(quiet=talk.quiet, show_thinking=talk.show_thinking)
    try:
        _make_room(talk, line)
        for event in talk.conversation.say(line):
            wrote(event, talk.world)
            if isinstance(event, Done):
                talk.stats.append(event.stats)
                wrote.end_line()
                if not talk.quiet:
                    figures = f"{event.stats.answer_tokens} tokens, ✓ {event.stats.decode_tok_s:.0f} tok/s"
                    say(f"({figures}{cut_short(event.reason)})")
    except KeyboardInterrupt:
        wrote.end_line()
        say("Stopped. Ctrl-D ends the chat.")
    except EngineFailed as error:
        wrote.end_line()
        _go_on(talk, error)


def _make_room(talk: _Talk, line: str) -> None:
    """Say what the model will not see any more, before it is asked. Raises EngineFailed where that does not help."""
    over = talk.conversation.overflow(line)
    if over is None:
        return
    if over.leave_out == 0:
        raise EngineFailed(
            f"The message has {over.tokens:,} tokens with all that goes with it, and {over.room_tokens:,} fit.",
            hint="Shorten it, or start the chat with a longer --context.",
        )
    sentence = _left_out(talk.conversation, over)
    talk.notes.append(warning(sentence))
    if not talk.quiet:
        say(f"Warning: {sentence}")
    talk.conversation.left_out = over.leave_out


def _left_out(conversation: "Conversation", over: "Overflow") -> str:
    """What will be dropped, by its first words."""
    first = conversation.turns[conversation.left_out].content
    quoted = first if len(first) <= QUOTED_CHARACTERS else first[:QUOTED_CHARACTERS].rstrip() + "…"
    count = over.leave_out - conversation.left_out
    return (
        f"The conversation has {over.tokens:,} tokens and {over.room_tokens:,} fit: from here on the model does not "
        f"see the {count} oldest messages, from {quoted!r} on. /new begins a new one."
    )


def _go_on(talk: _Talk, error: EngineFailed) -> None:
    """Tell what happened; where the engine died, load the model again, with all that was said before."""
    problem = Problem(error.code, error.message, error.hint)
    talk.failures.append(problem)
    if not talk.quiet:
        say_problem(problem)
    if talk.conversation.session.ended:
        talk.conversation.session.close()
        talk.conversation.continue_with(talk.reopen())
        say("The model is loaded again. The last message was not kept.")


def _next_line() -> str | None:
    """The next message; None when the input ends. In a terminal a prompt is shown on standard error."""
    try:
        if sys.stdin.isatty():
            import readline  # noqa: F401 - gives input() its line editing

            sys.stderr.write("You: ")
            sys.stderr.flush()
            return input().strip()
        line = sys.stdin.readline()
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError("A message is not UTF-8.", hint="Convert it first, such as with iconv.") from error
    except KeyboardInterrupt:
        say("")
        return None
    return line.strip() if line else None
