"""Machines that are not this one: from the library, from a recording, or from a machine file. To plan for."""

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from profiles.machine import Machine, machine_from_json
from profiles.recording import SCHEMA, recording_from_json, replay


class UnknownMachine(LookupError):
    """There is neither a file nor a machine in the library by this name. The text lists near names."""


class UnreadableMachine(ValueError):
    """The file is there and is no machine that can be understood. The text says why."""


def _library() -> Traversable:
    """Find the folder of machines that is shipped."""
    return files("profiles").joinpath("library")


def list_machines() -> tuple[str, ...]:
    """Name the machines of the library, in alphabetical order."""
    return tuple(
        sorted(entry.name.removesuffix(".json") for entry in _library().iterdir() if entry.name != "README.md")
    )


def library() -> dict[str, Machine]:
    """Read all machines of the library, by name."""
    return {name: load_machine(name) for name in list_machines()}


def load_machine(name_or_path: str) -> Machine:
    """Read a machine by its name in the library or by the path of a file. It is always marked as simulated.

    A file may be a recording, a machine, or what `profile --json` prints. Raises UnknownMachine or UnreadableMachine.
    """
    if name_or_path in list_machines():
        raw = _library().joinpath(f"{name_or_path}.json").read_bytes()
    else:
        raw = _read_file(name_or_path)
    machine = _parse(raw, name_or_path)
    return msgspec.structs.replace(machine, simulated=True, origin=machine.origin or name_or_path)


def _read_file(path: str) -> bytes:
    """Read a file, with the reason where there is none."""
    try:
        return Path(path).expanduser().read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise UnknownMachine(f"There is no machine {path}: neither a file nor a name in the library.") from None
    except OSError as error:
        raise UnreadableMachine(f"{path} cannot be read: {error.strerror}.") from error


def _parse(raw: bytes, name: str) -> Machine:
    """Read any of the three forms."""
    try:
        content = json.loads(raw)
        if isinstance(content, dict) and content.get("schema") == SCHEMA:
            return replay(recording_from_json(raw))
        return machine_from_json(json.dumps(_machine_in(content)).encode())
    except (ValueError, msgspec.DecodeError) as error:
        raise UnreadableMachine(f"{name} is not a machine that this version understands: {error}.") from error


def _machine_in(content: Any) -> Any:
    """Find the machine in the envelope that commands print, or take the whole for one."""
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        return content
    return data.get("machine", data)
