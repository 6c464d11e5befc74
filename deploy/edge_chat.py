"""What happens around chat at the command line: messages come in line by line, answers stream out."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.commands import sessions
from deploy.commands.context import Context, UsedProjector
from deploy.conversations import Picture
from deploy.edge import Ended, Setting, serve
from deploy.edge_ask import Asking, Writer, ensure_installed
from deploy.engine.protocol import ChatMessage, Done, SealReport, Stats
from deploy.errors import EngineFailed, ExitCode, LandfastError, UsageError
from deploy.results import Message, Problem, Result, warning
from deploy.terminal import Reporter, cut_short, say, say_problem

if TYPE_CHECKING:
    from deploy.commands.chat import Conversation, Overflow
    from deploy.commands.looking import Shown
    from deploy.commands.session import Opened
    from deploy.engine.base import Session
    from deploy.engine.state_file import StateFile

QUOTED_CHARACTERS: Final = 40
PROMPT: Final = "You: "
COMMAND: Final = re.compile(r"/[a-z?]+")
"""A line that is nothing but such a word is no message to the model."""


class ChatData(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that is over."""

    model: str
    turns: tuple[ChatMessage, ...]
    """Without the images themselves."""
    images: tuple[Picture, ...] = ()
    """What was shown, in order."""
    stats: tuple[Stats, ...]
    """One for each answer."""
    seal: SealReport
    projector: UsedProjector | None = None
    """What images were looked at with; None for text alone."""
    resumed: sessions.Resumed | None = None
    kept: sessions.Kept | None = None


def chat(model: str | None, options: Asking, *, yes: bool, as_json: bool) -> int:
    """Converse until the input ends."""

    def work(world: Context) -> Result[ChatData]:
        if options.resume is None:
            ensure_installed(world, model, options.workload, yes=yes)
        return _converse(world, model, options, quiet=as_json)

    return serve("chat", work, None if as_json else lambda _: None, Setting(unsealed=options.unsealed))


@dataclass(slots=True)
class _Talk:
    """A conversation at the command line, which goes on when its engine dies."""

    world: Context
    conversation: "Conversation"
    reopen: "Callable[[], Session]"
    quiet: bool
    show_thinking: bool
    kept: str | None = None
    """As what the session is to be kept, or was kept."""
    waiting: "list[Shown]" = field(default_factory=list)
    """Images that go with the next message."""
    pictures: list[Picture] = field(default_factory=list)
    stats: list[Stats] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)
    failures: list[Problem] = field(default_factory=list)
    exit_code: int = ExitCode.DONE
    """That of the first failure."""

    def fail(self, error: LandfastError) -> None:
        """Tell what went wrong, now or at the end."""
        problem = Problem(error.code, error.message, error.hint)
        self.exit_code = self.exit_code or int(error.exit_code)
        self.failures.append(problem)
        if not self.quiet:
            say_problem(problem)

    def warn(self, sentence: str) -> None:
        """Tell what there is to know, now or at the end."""
        self.notes.append(warning(sentence))
        if not self.quiet:
            say(f"Warning: {sentence}")


def _converse(world: Context, model: str | None, options: Asking, *, quiet: bool) -> Result[ChatData]:
    sessions.require_keepable(world, options.keep, options.resume)
    if options.projector is not None and (options.keep or options.resume):
        raise _no_images(options.keep or options.resume)
    with sessions.resuming(world, options.resume) as kept:

        def opening() -> "Opened":
            return _open(world, kept, model, options)

        opened = opening()
        resumed = sessions.take_over(world, opened, kept)
        before = () if kept is None else kept.header.messages
    if isinstance(world.report, Reporter):
        world.report.clear()
    talk = _Talk(
        world=world,
        conversation=_conversation(opened, options, before),
        reopen=lambda: opening().session,
        quiet=quiet,
        show_thinking=options.show_thinking,
        kept=options.keep or options.resume,
    )
    try:
        _greet(opened, resumed, quiet=quiet)
        _turns(talk)
        for sentence in replace(opened, session=talk.conversation.session).late_warnings:
            talk.warn(sentence)
        written = _keep(talk, opened, options.keep, kept)
    finally:
        talk.conversation.session.close()
    return _result(talk, opened, (resumed, written))


def _greet(opened: "Opened", resumed: sessions.Resumed | None, *, quiet: bool) -> None:
    """Which model answers and why, what there is to know of that, and what can be typed."""
    for sentence in (*opened.warnings, *(note.text for note in sessions.notes_of(resumed, None))):
        say(f"Warning: {sentence}")
    if not quiet:
        say(f"{opened.plan.name}. {opened.why} {_what_to_type(sees=opened.session.loaded.sees)}")


def _what_to_type(*, sees: bool) -> str:
    image = " /image FILE shows an image with it," if sees else ""
    return f"Type a message;{image} /new begins a new conversation, /bye or Ctrl+D ends the chat."


def _open(world: Context, kept: "StateFile | None", model: str | None, options: Asking) -> "Opened":
    """Open the model, with its projector where it has one and the session is not for the disk."""
    from deploy.commands.looking import open_to_look

    world = replace(world, repeatable=options.repeatable)

    def opening(context: Context) -> "Opened":
        return sessions.open_like(context, kept, model, options.workload, options.adapters)

    if options.keep or options.resume:
        return opening(world)
    return open_to_look(world, model, options.workload, options.projector, opening)


def _no_images(kept: str | None) -> UsageError:
    """Why no image can be shown."""
    if kept is not None:
        return UsageError("A session with images cannot be kept.", hint="Leave out --keep and --resume, or the images.")
    return UsageError(
        "To read an image, the model needs its projector.",
        hint="Start the chat with its mmproj file: --projector FILE. Models made for images are published with one.",
    )


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


def _keep(talk: _Talk, opened: "Opened", name: str | None, resumed: "StateFile | None") -> sessions.Kept | None:
    """Keep what was said where that was asked for, and there is something."""
    if name is None:
        return None
    if not talk.conversation.turns:
        talk.warn("Nothing was said, so nothing is kept.")
        return None
    now = replace(opened, session=talk.conversation.session)
    written, problem = sessions.try_keep(talk.world, now, name, talk.conversation.said, resumed)
    if problem is not None:
        talk.fail(problem)
    return written


def _result(
    talk: _Talk, opened: "Opened", moved: tuple[sessions.Resumed | None, sessions.Kept | None]
) -> Result[ChatData]:
    resumed, kept = moved
    conversation = talk.conversation
    data = ChatData(
        model=opened.plan.id,
        turns=tuple(msgspec.structs.replace(turn, images=()) for turn in conversation.turns),
        images=tuple(talk.pictures),
        projector=opened.sight,
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
        exit_code=talk.exit_code,
    )


def _turns(talk: _Talk) -> None:
    while (line := _next_line()) is not None:
        if line in {"/bye", "/exit", "/quit"}:
            return
        if line == "/new":
            talk.conversation.forget()
            talk.waiting.clear()
            say("A new conversation.")
        elif line == "/image" or line.startswith("/image "):
            _show(talk, line.removeprefix("/image").strip())
        elif line == "/drop":
            _drop(talk)
        elif COMMAND.fullmatch(line):
            _help(talk, line)
        elif line:
            _one_turn(talk, line)


def _help(talk: _Talk, word: str) -> None:
    """Say what can be typed, to who asks for it or means a command that there is not."""
    known = _what_to_type(sees=talk.conversation.session.loaded.sees)
    if word in {"/help", "/?"}:
        say(known)
    else:
        talk.fail(UsageError(f"There is no command {word}.", hint=known))


def _show(talk: _Talk, name: str) -> None:
    """Have an image go with the next message, and say what it takes; or say why not."""
    from deploy.commands.looking import image_tokens, path_in, require_room, shown_from

    session = talk.conversation.session
    try:
        if talk.kept or not session.loaded.sees:
            raise _no_images(talk.kept)
        if not name:
            raise UsageError("There is no file to show.", hint="Write its path: `/image FILE`.")
        image = shown_from(path_in(name))
        require_room(talk.conversation.images, [one.data for one in talk.waiting], image.data)
        tokens = image_tokens(session, image.data)
    except EngineFailed as error:
        _go_on(talk, error)
    except LandfastError as error:
        talk.fail(error)
    else:
        talk.waiting.append(image)
        if not talk.quiet:
            say(f"{image.words} · {tokens:,} tokens. It goes with the next message; /drop leaves it out.")


def _drop(talk: _Talk) -> None:
    """Leave out the image that was chosen last."""
    if talk.waiting:
        say(f"{talk.waiting.pop().picture.name} is left out.")
    else:
        say("No image goes with the next message.")


def _one_turn(talk: _Talk, line: str) -> None:
    wrote = Writer(quiet=talk.quiet, show_thinking=talk.show_thinking)
    images = tuple(image.data for image in talk.waiting)
    try:
        _make_room(talk, line, images)
        for event in talk.conversation.say(line, images):
            wrote(event, talk.world)
            if isinstance(event, Done):
                talk.stats.append(event.stats)
                wrote.end_line()
                _was_shown(talk)
                if not talk.quiet:
                    figures = f"{event.stats.answer_tokens} tokens, ✓ {event.stats.decode_tok_s:.0f} tok/s"
                    say(f"({figures}{cut_short(event.reason)})")
    except KeyboardInterrupt as stop:
        wrote.end_line()
        _was_shown(talk)
        if isinstance(stop, Ended):
            raise
        say("Stopped. Ctrl+D ends the chat.")
    except EngineFailed as error:
        wrote.end_line()
        _go_on(talk, error)


def _was_shown(talk: _Talk) -> None:
    """The images of this message are part of the conversation now."""
    talk.pictures += [image.picture for image in talk.waiting]
    talk.waiting.clear()


def _make_room(talk: _Talk, line: str, images: tuple[bytes, ...] = ()) -> None:
    """Say what the model will not see any more, before it is asked. Raises EngineFailed where that does not help."""
    over = talk.conversation.overflow(line, images)
    if over is None:
        return
    if over.leave_out == 0:
        raise EngineFailed(
            f"The message has {over.tokens:,} tokens with all that goes with it, and {over.room_tokens:,} fit.",
            hint="Shorten it, or start the chat with a longer --context.",
        )
    talk.warn(_left_out(talk.conversation, over))
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
    talk.fail(error)
    if talk.conversation.session.ended:
        talk.conversation.session.close()
        talk.conversation.continue_with(talk.reopen())
        say("The model is loaded again. The last message was not kept.")
    if talk.waiting and not talk.quiet:
        say("Its images go with the next message; /drop leaves out the last one.")


def _next_line() -> str | None:
    """The next message; None when the input ends.

    In a terminal Ctrl+C drops what is typed; on an empty line, twice in a row, it ends the chat.
    """
    dropped = False
    while True:
        try:
            return _read_line()
        except EOFError:
            return None
        except UnicodeDecodeError as error:
            raise UsageError("A message is not UTF-8.", hint="Convert it first, such as with iconv.") from error
        except KeyboardInterrupt as stop:
            say("")
            if isinstance(stop, Ended) or not sys.stdin.isatty():
                return None
            if _typed():
                dropped = False
                continue
            if dropped:
                return None
            dropped = True
            say("Ctrl+D ends the chat, and so does Ctrl+C once more.")


def _read_line() -> str | None:
    """A line of the input. In a terminal a prompt is shown, on standard error where standard output goes elsewhere."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip() if line else None
    _take_pastes_whole()
    if sys.stdout.isatty():
        return input(PROMPT).strip()  # the line editor has to know it, or it is overwritten
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    return input().strip()


def _take_pastes_whole() -> None:
    """Let a text of several lines that is pasted be one message, where the line editor can."""
    import readline

    readline.parse_and_bind("set enable-bracketed-paste on")  # others pass over what they do not know


def _typed() -> str:
    import readline

    return readline.get_line_buffer()
