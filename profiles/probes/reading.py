"""What every probe uses to read: a file that may not be there, a command that may fail, facts that are missing."""

import re
from collections.abc import Sequence
from typing import Any, Final

from profiles.machine import Fact, Unknown
from profiles.world import CommandFailed, World

MOST_LISTED: Final = 100_000
"""A list like "0-4294967295" is garbage: no machine has as many processors."""


def read_if_there(world: World, path: str) -> str | None:
    """Read a small file, or give None where this kernel has no such file. Other failures are raised."""
    try:
        return world.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def line_of(world: World, path: str) -> str:
    """Read a one-line file, empty where it is not there or does not let itself be read."""
    try:
        return world.read(path).strip()
    except OSError:
        return ""


def number_of(world: World, path: str) -> int | None:
    """Read a file that holds one number, or give None."""
    text = line_of(world, path)
    return int(text) if text.isdecimal() else None


def output_of(world: World, arguments: Sequence[str]) -> str:
    """Give what a command prints. Raises CommandFailed with the command's own words when it fails."""
    done = world.run(arguments)
    if done.status:
        words = " ".join((done.stderr.strip() or done.stdout.strip()).split())[:200]
        raise CommandFailed(f"{arguments[0]} ended with status {done.status}: {words or 'it printed nothing'}")
    return done.stdout


def parse_cpu_list(text: str) -> frozenset[int]:
    """Read the kernel's lists of processors: "0-3,8" names five. Anything else in it is left out."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        span = range(int(first), int(last or first) + 1)
        if len(span) <= MOST_LISTED:
            found.update(span)
    return frozenset(found)


def unknown_fact(reason: str, source: str) -> Fact[Any]:
    """Give a fact whose value could not be had, with the reason."""
    return Fact(Unknown(reason), source)


def fact_or_unknown(value: object | None, source: str, reason: str) -> Fact[Any]:
    """Give the value as a fact, or Unknown with the reason where there is none."""
    return unknown_fact(reason, source) if value is None else Fact(value, source)
