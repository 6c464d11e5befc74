"""What happens around a command at the command line: streams, questions, errors, the end of the process."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from deploy.commands.context import Context, real_context
from deploy.engine.protocol import ChatMessage, Done, Event, Sampling, SealReport, Stats, Text
from deploy.errors import EngineFailed, ExitCode, Interrupted, LandfastError, NotFound, PipeClosed, UsageError
from deploy.fit.fit import Workload, gigabytes
from deploy.results import SIMULATED, Problem, Result, failure, simulation_warning
from deploy.terminal import Reporter, say, say_messages, say_problem

if TYPE_CHECKING:
    from deploy.commands.chat import Conversation
    from deploy.engine.client import Session

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is to be asked."""

    system: str | None
    max_tokens: int
    sampling: Sampling
    workload: Workload
    unsealed: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """In what world a command works."""

    offline: bool = False
    unsealed: bool = False
    machine: str | None = None
    """Work as if on this machine of the library or of a file, and say so loudly."""


class ChatData(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that is over."""

    model: str
    turns: tuple[ChatMessage, ...]
    stats: tuple[Stats, ...]
    """One for each answer."""
    seal: SealReport


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a process, and turn whatever ends it into a sentence and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = work()
        sys.stdout.flush()
    except LandfastError as error:
        return _report(failure("landfast", error))
    except KeyboardInterrupt:
        return _report(failure("landfast", Interrupted("Stopped.")))
    except BrokenPipeError:
        return _without_reader()
    except Exception as error:  # noqa: BLE001 - the last door: a traceback shown to a user is a defect
        return _report(failure("landfast", _internal(error)))
    return code


def serve(
    name: str,
    work: Callable[[Context], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]] | None,
    setting: Setting,
) -> int:
    """Call a command and print its result: as prose by a function of `render`, or as JSON where there is none."""
    with Reporter() as report:
        try:
            result: Result[Any] = _in_setting(work, report, setting)
        except LandfastError as error:
            result = failure(name, error)
        except KeyboardInterrupt:
            result = failure(name, Interrupted("Stopped; nothing is half done."))
        except BrokenPipeError:  # told here: the argument parser would turn it into a plain failure
            return _without_reader()
    return emit(result, renderer)


def _in_setting(work: Callable[[Context], Result[T]], report: Reporter, setting: Setting) -> Result[T]:
    world = real_context(report, offline=setting.offline, unsealed=setting.unsealed)
    if setting.machine is None:
        return work(world)
    from deploy.commands.machines import as_if_on

    result = work(as_if_on(world, setting.machine))
    return msgspec.structs.replace(result, messages=(simulation_warning(setting.machine), *result.messages))


def emit(result: Result[Any], renderer: Callable[[Any], Callable[[Any], None]] | None) -> int:
    """Print a result and give its exit code."""
    try:
        return _emit(result, renderer)
    except (BrokenPipeError, SystemExit):  # rich ends the process where its reader has gone
        return _without_reader()


def _emit(result: Result[Any], renderer: Callable[[Any], Callable[[Any], None]] | None) -> int:
    if renderer is None:
        print_json(result)
        return result.exit_code
    if result.data is not None:
        from deploy import render

        if any(message.text.startswith(SIMULATED) for message in result.messages):
            render.banner(f"{SIMULATED} MACHINE")
        renderer(render)(result.data)
        sys.stdout.flush()
    say_messages(result.messages)
    for problem in result.errors:
        say_problem(problem)
    return result.exit_code


def print_json(result: Result[Any]) -> None:
    """One envelope on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")
    sys.stdout.flush()


def confirm(question: str, *, interactive: bool = True) -> None:
    """Ask before something is done that cannot be undone. Raises UsageError where nobody can be asked."""
    if not interactive or not sys.stdin.isatty():
        raise UsageError("This needs a yes, and there is no terminal to ask.", hint="Add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Interrupted("Nothing was changed.")


def confirm_choice(world: Context, workload: Workload) -> str | None:
    """Show the chosen model and ask, in a terminal. Gives its id, or None where the command is to choose."""
    if not sys.stdin.isatty():
        return None
    from deploy.commands.select import select

    chosen = select(world, workload)
    if chosen.data is None or chosen.data.ranking.chosen is None:
        return None
    best = chosen.data.ranking.chosen
    say_messages(chosen.messages)
    say(f"{best.fit.name} {best.fit.quant}, {gigabytes(best.fit.size_bytes)}, licence {best.fit.licence}")
    say(f"  {best.why}")
    if best.obtain != "installed":
        confirm("Install it?")
    return best.fit.id


def run(words: list[str], options: Asking, *, yes: bool, as_json: bool) -> int:
    """Answer one prompt. Only the answer goes to standard output."""
    from deploy.commands.run import RunData, RunRequest
    from deploy.commands.run import run as command

    model, prompt = _model_and_prompt(words)
    wrote = _Writer(None if as_json else sys.stdout.write)

    def work(world: Context) -> Result[RunData]:
        _ensure_installed(world, model, options.workload, yes=yes)
        request = RunRequest(
            prompt=prompt,
            model=model,
            system=options.system,
            workload=options.workload,
            max_tokens=options.max_tokens,
            sampling=options.sampling,
        )
        return command(world, request, lambda event: wrote(event, world))

    code = serve(
        "run",
        work,
        None if as_json else lambda _: lambda data: _after_answer(wrote, data),
        Setting(unsealed=options.unsealed),
    )
    wrote.end_line()
    return code


def chat(model: str | None, options: Asking, *, yes: bool, as_json: bool) -> int:
    """Converse until the input ends."""

    def work(world: Context) -> Result[ChatData]:
        _ensure_installed(world, model, options.workload, yes=yes)
        return _converse(world, model, options, quiet=as_json)

    return serve("chat", work, None if as_json else lambda _: lambda _data: None, Setting(unsealed=options.unsealed))


class _Writer:
    """Streams an answer, and remembers whether its last line has ended."""

    def __init__(self, write: Callable[[str], object] | None) -> None:
        self._write = write
        self._open = False

    def __call__(self, event: Event, world: Context) -> None:
        if isinstance(world.report, Reporter):
            world.report.clear()
        if self._write is None or not isinstance(event, Text):
            return
        self._write(event.text)
        sys.stdout.flush()
        self._open = not event.text.endswith("\n")

    def end_line(self) -> None:
        if self._open and self._write is not None:
            self._write("\n")
            sys.stdout.flush()
        self._open = False


def _after_answer(wrote: _Writer, data: Any) -> None:
    from deploy.render import run_summary

    wrote.end_line()
    say(run_summary(data))


def _model_and_prompt(words: list[str]) -> tuple[str | None, str]:
    """MODEL PROMPT, or PROMPT alone; text from a pipe or file is added to it."""
    if len(words) > 2:  # noqa: PLR2004 - MODEL and PROMPT
        raise UsageError("More than a model and a prompt were given.", hint='Put the prompt in quotes: run "...".')
    piped = _piped_text()
    model = words[0] if len(words) == 2 else None  # noqa: PLR2004
    prompt = words[-1] if words else ""
    if len(words) == 1 and _names_model(words[0]):
        model, prompt = words[0], ""
    return model, "\n\n".join(part for part in (prompt, piped) if part.strip())


def _names_model(word: str) -> bool:
    """Whether a single argument is a model rather than a prompt: a known name, or a GGUF file."""
    from deploy.catalog.loader import load
    from deploy.catalog.search import find
    from deploy.paths import current
    from deploy.store.store import Store

    if any(character.isspace() for character in word):
        return False
    if word.lower().endswith(".gguf"):
        return True
    if any(word.lower() in {record.id.lower(), record.model_id} for record in Store(current().store).installed()):
        return True
    try:
        find(load(), word)
    except LandfastError:
        return False
    return True


def _piped_text() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            "The text that is piped in is not UTF-8.", hint="Convert it first, e.g. with iconv."
        ) from error


def _ensure_installed(world: Context, model: str | None, workload: Workload, *, yes: bool) -> None:
    """Install what is missing when the user says so, or has said so with --yes."""
    from deploy.commands.install import InstallRequest, install
    from deploy.commands.targets import CatalogueTarget, resolve

    if model is None:
        if world.store.installed():
            return
    elif not isinstance(resolve(world, model, workload), CatalogueTarget):
        return
    selecting = msgspec.structs.replace(workload, min_decode_tok_s=Workload().min_decode_tok_s)
    if not yes and not sys.stdin.isatty():
        what = f"{model} is not installed." if model else "No model is installed."
        raise NotFound(what, hint="Add --yes to install it first, or run `landfast install`.")
    wanted = model
    if not yes:
        if model is None:
            wanted = confirm_choice(world, selecting)
        else:
            confirm(f"{model} is not installed. Install it?")
    result = install(world, InstallRequest(model=wanted, workload=selecting))
    if isinstance(world.report, Reporter):
        world.report.clear()
    if result.data is not None:
        say(f"Installed {result.data.installed.id}. {result.data.reason}")


@dataclass(slots=True)
class _Talk:
    """A conversation at the command line, which goes on when its engine dies."""

    world: Context
    conversation: "Conversation"
    reopen: "Callable[[], Session]"
    quiet: bool
    stats: list[Stats] = field(default_factory=list)
    failures: list[Problem] = field(default_factory=list)


def _converse(world: Context, model: str | None, options: Asking, *, quiet: bool) -> Result[ChatData]:
    from deploy.commands.chat import Conversation
    from deploy.commands.session import open_model

    opened = open_model(world, model, options.workload)
    if isinstance(world.report, Reporter):
        world.report.clear()
    conversation = Conversation(
        opened.session, system=options.system, sampling=options.sampling, max_tokens=options.max_tokens
    )
    talk = _Talk(world, conversation, lambda: open_model(world, model, options.workload).session, quiet)
    for sentence in opened.warnings:
        say(f"Warning: {sentence}")
    try:
        if not quiet:
            say(f"{opened.plan.name}. {opened.why} Type a message; /new begins anew, /bye or Ctrl-D ends.")
        _turns(talk)
    finally:
        conversation.session.close()
    data = ChatData(
        model=opened.plan.id,
        turns=conversation.turns,
        stats=tuple(talk.stats),
        seal=conversation.session.ready.seal,
    )
    return Result(
        command="chat",
        status="partial" if talk.failures else "success",
        data=data,
        errors=tuple(talk.failures) if quiet else (),  # else they were told when they happened
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
    wrote = _Writer(None if talk.quiet else sys.stdout.write)
    try:
        for event in talk.conversation.say(line):
            wrote(event, talk.world)
            if isinstance(event, Done):
                talk.stats.append(event.stats)
                wrote.end_line()
                if not talk.quiet:
                    say(f"({event.stats.answer_tokens} tokens, ✓ {event.stats.decode_tok_s:.0f} tok/s)")
    except KeyboardInterrupt:
        wrote.end_line()
        say("Stopped. Ctrl-D ends the chat.")
    except EngineFailed as error:
        wrote.end_line()
        _go_on(talk, error)


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
    except KeyboardInterrupt:
        say("")
        return None
    return line.strip() if line else None


def _report(result: Result[Any]) -> int:
    if "--json" in sys.argv:
        print_json(result)
    else:
        for problem in result.errors:
            say_problem(problem)
    return result.exit_code


def _internal(error: Exception) -> LandfastError:
    if os.environ.get("LANDFAST_DEBUG"):
        raise error
    return LandfastError(
        f"An error inside Landfast: {type(error).__name__}: {error}.",
        hint="Please report it with the output of `landfast doctor`; LANDFAST_DEBUG=1 shows where it happened.",
    )


def _without_reader() -> int:
    """End quietly when the reader of our output has gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(PipeClosed.exit_code)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
