"""What happens around a command at the command line: streams, questions, errors, the end of the process."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec

from deploy.commands.context import Context, real_context
from deploy.errors import Interrupted, LandfastError, NotEnoughSpace, PipeClosed, UsageError, of_the_machine
from deploy.results import SIMULATED, Result, failure, simulation_warning
from deploy.terminal import Reporter, open_streams, say, say_messages, say_problem, to_null_device, write_bytes

if TYPE_CHECKING:
    from deploy.fit.fit import Workload

T = TypeVar("T")
FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


@dataclass(frozen=True, slots=True)
class Setting:
    """In what world a command works."""

    offline: bool = False
    unsealed: bool = False
    machine: str | None = None
    """Work as if on this machine of the library or of a file, and say so loudly."""
    replaced_policy: Path | None = None
    """A policy file that the command replaces, and that is not asked."""


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a process, and turn whatever ends it into a sentence and an exit code."""
    open_streams()
    for ending in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP, and nohup has it ignored
        if (number := getattr(signal, ending, None)) and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        code = work()
        sys.stdout.flush()
    except LandfastError as error:
        return report(failure("landfast", error))
    except KeyboardInterrupt:
        return report(failure("landfast", Interrupted("Stopped.")))
    except BrokenPipeError:
        return _without_reader()
    except OSError as error:
        return _without_room(error) if error.errno in FULL else report(failure("landfast", _told(error)))
    except Exception as error:  # noqa: BLE001 - the last door: a traceback shown to a user is a defect
        return report(failure("landfast", _told(error)))
    return code


def serve(
    name: str,
    work: Callable[[Context], Result[T]],
    show: Callable[[T], None] | None,
    setting: Setting,
) -> int:
    """Call a command and print its result: as prose by the function that shows it, or as JSON where there is none."""
    with Reporter() as report:
        try:
            result: Result[Any] = _in_setting(work, report, setting)
        except LandfastError as error:
            result = failure(name, error)
        except KeyboardInterrupt:
            result = failure(name, Interrupted("Stopped; nothing is half done."))
        except BrokenPipeError:  # told here: the argument parser would turn it into a plain failure
            return _without_reader()
    return emit(result, show)


def _in_setting(work: Callable[[Context], Result[T]], report: Reporter, setting: Setting) -> Result[T]:
    world = real_context(
        report, offline=setting.offline, unsealed=setting.unsealed, replaced_policy=setting.replaced_policy
    )
    if setting.machine is None:
        return work(world)
    from deploy.commands.machines import as_if_on

    result = work(as_if_on(world, setting.machine))
    return msgspec.structs.replace(result, messages=(simulation_warning(setting.machine), *result.messages))


def emit(result: Result[Any], show: Callable[[Any], None] | None) -> int:
    """Print a result and give its exit code."""
    try:
        return _emit(result, show)
    except (BrokenPipeError, SystemExit):  # rich ends the process where its reader has gone
        return _without_reader()


def _emit(result: Result[Any], show: Callable[[Any], None] | None) -> int:
    if show is None:
        print_json(result)
        return result.exit_code
    if result.data is not None:
        if any(message.text.startswith(SIMULATED) for message in result.messages):
            from deploy.render import banner

            banner(f"{SIMULATED} MACHINE")
        show(result.data)
        sys.stdout.flush()
    say_messages(result.messages)
    for problem in result.errors:
        say_problem(problem)
    return result.exit_code


def print_json(result: Result[Any]) -> None:
    """One envelope on standard output."""
    write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def confirm(question: str, *, interactive: bool = True) -> None:
    """Ask before something is done that cannot be undone. Raises UsageError where nobody can be asked."""
    if not interactive or not sys.stdin.isatty():
        raise UsageError("This must be confirmed, and there is no terminal to ask in.", hint="Add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Interrupted("Nothing was changed.")


def confirm_choice(world: Context, workload: "Workload") -> str | None:
    """Show the chosen model and ask, in a terminal. Gives its id, or None where the command is to choose."""
    if not sys.stdin.isatty():
        return None
    from deploy.commands.select import select
    from deploy.quantities import gigabytes

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


def report(result: Result[Any]) -> int:
    """Tell a failure that no command could tell, and give its exit code."""
    if "--json" in sys.argv:
        print_json(result)
    else:
        for problem in result.errors:
            say_problem(problem)
    return result.exit_code


def _told(error: Exception) -> LandfastError:
    if (told := of_the_machine(error)) is not None:
        return told
    if os.environ.get("LANDFAST_DEBUG"):
        raise error
    return LandfastError(
        f"An error inside Landfast: {type(error).__name__}: {error}.",
        hint="Please report it with the output of `landfast doctor`; LANDFAST_DEBUG=1 shows where it happened.",
    )


def _without_reader() -> int:
    """End quietly when the reader of our output has gone, as `head` does."""
    to_null_device(sys.stdout.fileno())
    return int(PipeClosed.exit_code)


def _without_room(error: OSError) -> int:
    """End with a sentence where the disk under our output is full: on standard error, whatever was asked for."""
    _without_reader()
    where = error.filename or "The output"
    full = NotEnoughSpace(f"{where} cannot be written: {error.strerror}.", hint="Free some space, or use another disk.")
    say_problem(failure("landfast", full).errors[0])
    return int(full.exit_code)


class Ended(KeyboardInterrupt):
    """Another program or a closed terminal ends this one: more than Ctrl+C, which may mean the present step alone."""


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise Ended
