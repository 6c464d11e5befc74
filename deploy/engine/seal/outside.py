"""What the system itself says of a sealed process, read from outside: not its own word."""

import os
from pathlib import Path
from typing import Final

import msgspec

FILTERED: Final = "2"
"""Seccomp in /proc: 0 none, 1 strict, 2 filter."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be seen."""

    name: str
    value: str
    ok: bool


def look(process_id: int) -> tuple[Finding, ...]:
    """Privileges, filters and limits of a process, of each of its threads. Linux."""
    place = Path("/proc", str(process_id))
    status = _status(place / "status")
    threads = [_status(thread / "status") for thread in sorted((place / "task").iterdir())]
    filters = {thread.get("Seccomp", "") for thread in threads}
    return (
        _finding("no new privileges", status.get("NoNewPrivs", "?"), "1"),
        _finding("capabilities in force", status.get("CapEff", "?"), "0" * 16),
        _finding("capabilities permitted", status.get("CapPrm", "?"), "0" * 16),
        Finding(name="threads under the filter", value=f"all {len(threads)}", ok=filters == {FILTERED}),
        Finding(name="filters", value=status.get("Seccomp_filters", "not told by this kernel"), ok=True),
        _limit(place, "Max core file size"),
        _limit(place, "Max file size"),
        _descriptors(place),
    )


def _status(path: Path) -> dict[str, str]:
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _finding(name: str, value: str, wanted: str) -> Finding:
    return Finding(name=name, value=value, ok=value == wanted)


def _limit(place: Path, name: str) -> Finding:
    """A limit that must be 0, soft and hard."""
    try:
        line = next(line for line in (place / "limits").read_text().splitlines() if line.startswith(name))
    except OSError as error:
        return Finding(name=name.lower(), value=f"not visible to this user ({error.strerror})", ok=True)
    soft, hard = line[len(name) :].split()[:2]
    return Finding(name=name.lower(), value=f"{soft}, at most {hard}", ok=(soft, hard) == ("0", "0"))


def _descriptors(place: Path) -> Finding:
    """Open files by kind. Others than root cannot see them: hiding them is a part of the seal."""
    try:
        targets = [os.readlink(entry) for entry in (place / "fd").iterdir()]  # noqa: PTH115 - no resolved paths
    except OSError as error:
        return Finding(name="open files", value=f"not visible to this user ({error.strerror})", ok=True)
    kinds = sorted(target.partition("[")[0] for target in targets)
    sockets = sum(kind.startswith("socket:") for kind in kinds)
    return Finding(name="open files", value=", ".join(kinds), ok=sockets == 1)
