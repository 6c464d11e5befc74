"""Machines as files: what probes read on one machine, to be read again by the same probes on any other."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeVar

import msgspec

from profiles.budget import BACKENDS
from profiles.machine import Fact, Machine, Provenance
from profiles.probe import probes_of, profile
from profiles.probes.engine import DeviceLister
from profiles.redaction import own_secrets, redact, redact_value
from profiles.world import CommandFailed, CommandMissing, CommandResult, NotRecorded, Platform, World

T = TypeVar("T")

SCHEMA: Final = "landfast.recording/1"
_STORE: Final = Path("models")
"""Stands for the model store of a machine that is not this one."""


class RecordedCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One command: what it printed and its exit status, or why it gave no answer."""

    stdout: str = ""
    status: int = 0
    stderr: str = ""
    failure: str = ""
    missing: bool = False
    """True where there is no such program."""


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Raw outputs of one machine. A file that it does not hold is not on the machine, unless it is in `unreadable`.

    Of a command or library that it does not hold nothing is known.
    """

    schema: Literal["landfast.recording/1"]
    title: str = ""
    source: tuple[str, ...] = ()
    """Where the outputs were published, with the licence of that place."""
    note: str = ""
    """What was changed or left out, if anything was."""
    platform: Platform = "linux"
    files: dict[str, str] = {}
    folders: dict[str, tuple[str, ...]] = {}
    """Only folders that cannot be told from `files`."""
    unreadable: dict[str, str] = {}
    commands: dict[str, RecordedCommand] = {}
    libraries: dict[str, Any] = {}
    failed_libraries: dict[str, str] = {}


class RecordingWorld:
    """A world that keeps what it is asked and what it answers."""

    def __init__(self, world: World) -> None:
        """Keep the answers of this world."""
        self._world = world
        self.files: dict[str, str] = {}
        self.folders: dict[str, tuple[str, ...]] = {}
        self.unreadable: dict[str, str] = {}
        self.commands: dict[str, RecordedCommand] = {}
        self.libraries: dict[str, Any] = {}
        self.failed_libraries: dict[str, str] = {}

    @property
    def platform(self) -> Platform:
        """The platform of the world behind."""
        return self._world.platform

    def read(self, path: str) -> str:
        """Read, and keep the text or why there is none. A missing file is kept by not being there."""
        try:
            text = self._world.read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            self.unreadable[path] = error.strerror or str(error)
            raise
        self.files[path] = text
        return text

    def entries(self, path: str) -> tuple[str, ...]:
        """List, and keep the names."""
        names = self._world.entries(path)
        if names:
            self.folders[path] = names
        return names

    def run(self, arguments: Sequence[str]) -> CommandResult:
        """Run, and keep the output or the failure."""
        key = shlex.join(arguments)
        try:
            done = self._world.run(arguments)
        except CommandFailed as error:
            self.commands[key] = RecordedCommand(failure=str(error), missing=isinstance(error, CommandMissing))
            raise
        self.commands[key] = RecordedCommand(stdout=done.stdout, status=done.status, stderr=done.stderr)
        return done

    def ask(self, name: str, gather: Callable[[], T], kind: type[T]) -> T:
        """Ask, and keep the answer as plain data."""
        try:
            answer = self._world.ask(name, gather, kind)
        except NotRecorded:
            raise
        except Exception as error:
            self.failed_libraries[name] = f"{type(error).__name__}: {error}"
            raise
        self.libraries[name] = msgspec.to_builtins(answer)
        return answer


class ReplayWorld:
    """A world that answers from a recording."""

    def __init__(self, recording: Recording) -> None:
        """Answer from this recording."""
        self._recording = recording
        self._below: dict[str, set[str]] = {}
        for path in (*recording.files, *recording.unreadable, *recording.folders):
            parts = [part for part in path.split("/") if part]
            for depth, part in enumerate(parts):
                self._below.setdefault("/" + "/".join(parts[:depth]), set()).add(part)

    @property
    def platform(self) -> Platform:
        """The platform of the recorded machine."""
        return self._recording.platform

    def read(self, path: str) -> str:
        """Give the recorded text."""
        if path in self._recording.unreadable:
            raise OSError(f"{path}: {self._recording.unreadable[path]}")
        if path not in self._recording.files:
            raise FileNotFoundError(path)
        return self._recording.files[path]

    def entries(self, path: str) -> tuple[str, ...]:
        """List what was listed, or else what the recorded paths tell."""
        return tuple(sorted({*self._recording.folders.get(path, ()), *self._below.get(path, ())}))

    def run(self, arguments: Sequence[str]) -> CommandResult:
        """Give the recorded output, or fail as the command did."""
        done = self._recording.commands.get(shlex.join(arguments))
        if done is None:
            _not_recorded(shlex.join(arguments[:1]))
        if done.failure:
            raise CommandMissing(done.failure) if done.missing else CommandFailed(done.failure)
        return CommandResult(done.stdout, done.status, done.stderr)

    def ask(self, name: str, gather: Callable[[], T], kind: type[T]) -> T:  # noqa: ARG002 - nothing is gathered here
        """Give the recorded answer."""
        if name in self._recording.failed_libraries:
            raise OSError(self._recording.failed_libraries[name])
        if name not in self._recording.libraries:
            _not_recorded(name)
        return msgspec.convert(self._recording.libraries[name], kind)


def _not_recorded(name: str) -> NoReturn:
    raise NotRecorded(f"the recording holds no answer of {name}")


def record(
    world: World,
    title: str = "",
    secrets: Sequence[str] | None = None,
    engine_devices: DeviceLister | None = None,
) -> Recording:
    """Run every probe on a world and keep what it answered, without what names a host, a user or a specimen."""
    kept = RecordingWorld(world)
    profile(_STORE, probes_of(kept, engine_devices))
    known = own_secrets() if secrets is None else tuple(secrets)
    whole = Recording(
        schema=SCHEMA,
        title=title,
        platform=kept.platform,
        files=kept.files,
        folders=kept.folders,
        unreadable=kept.unreadable,
        commands=kept.commands,
        libraries=kept.libraries,
        failed_libraries=kept.failed_libraries,
    )
    return _redacted(whole, known)


def _redacted(recording: Recording, secrets: Sequence[str]) -> Recording:
    """Take identities out of every text. Paths of the kernel and command lines stay."""
    return msgspec.structs.replace(
        recording,
        files={redact(path, secrets): _redacted_file(path, text, secrets) for path, text in recording.files.items()},
        folders={redact(path, secrets): _redacted_names(names, secrets) for path, names in recording.folders.items()},
        unreadable={redact(path, secrets): redact(text, secrets) for path, text in recording.unreadable.items()},
        commands={key: _redacted_command(done, secrets) for key, done in recording.commands.items()},
        libraries=redact_value(recording.libraries, secrets),
        failed_libraries=redact_value(recording.failed_libraries, secrets),
    )


def _redacted_file(path: str, text: str, secrets: Sequence[str]) -> str:
    """Take identities out of one file. Of the mounts only those are kept that a probe looks for: others name places."""
    if path == "/proc/self/mountinfo":
        text = "".join(line for line in text.splitlines(keepends=True) if re.search(r"cgroup|lxcfs", line))
    return redact(text, secrets)


def _redacted_names(names: Sequence[str], secrets: Sequence[str]) -> tuple[str, ...]:
    """Take identities out of a folder's names; several of them become one."""
    return tuple(dict.fromkeys(redact(name, secrets) for name in names))


def _redacted_command(done: RecordedCommand, secrets: Sequence[str]) -> RecordedCommand:
    """Take identities out of one command's texts."""
    return msgspec.structs.replace(
        done,
        stdout=redact(done.stdout, secrets),
        stderr=redact(done.stderr, secrets),
        failure=redact(done.failure, secrets),
    )


def replay(recording: Recording, store_path: Path = _STORE) -> Machine:
    """Profile a recorded machine with the very probes that profile this one."""
    machine = profile(store_path, probes_of(ReplayWorld(recording)))
    origin = "; ".join(part for part in (recording.title, *recording.source) if part)
    if "engine files" not in recording.libraries:
        machine = with_assumed_engine(machine)
    return msgspec.structs.replace(machine, simulated=True, origin=origin)


def with_assumed_engine(machine: Machine) -> Machine:
    """Give a machine of which no engine is known the build that suits its devices: it is there to plan for."""
    vendors = dict.fromkeys(device.vendor for device in machine.accelerators.known or ())
    backends = tuple(sorted({"cpu", *(BACKENDS[vendor][0] for vendor in vendors)}))
    assumed = Fact(backends, "an engine build that suits this machine's devices", Provenance.ASSUMED)
    return msgspec.structs.replace(machine, engine_backends=assumed)


def recording_to_json(recording: Recording) -> bytes:
    """Serialise a recording, indented and with a final newline."""
    return msgspec.json.format(msgspec.json.encode(recording), indent=1) + b"\n"


def recording_from_json(raw: bytes) -> Recording:
    """Read a recording back. Raises msgspec.ValidationError or msgspec.DecodeError on anything else."""
    return msgspec.json.decode(raw, type=Recording)
