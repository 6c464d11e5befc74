"""Reads a site file. Whatever is not understood in it is refused with its line: a wish never half holds."""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.errors import NotFound, UsageError
from deploy.policy.document import parse as parse_policy
from deploy.provision.site import SECTIONS, Site

_LINE: Final = re.compile(r"at line (\d+)")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`")
_PLACE: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_NEAR: Final = 0.5
"""difflib's ratio below which a key is no help to somebody who mistyped another one."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A site file that was understood."""

    path: Path
    sha256: str
    site: Site
    policy: bytes | None
    """Text of the policy that it puts in force; None where it says nothing of a policy."""

    def beside(self, name: str) -> Path:
        """A path that the file names: what is relative stands beside it."""
        return self.path.parent / Path(name).expanduser()


def read_site(path: Path) -> SiteFile:
    """Read and check a site file. Raises NotFound, UsageError with the line, PolicyRefused for its policy."""
    path = path.expanduser().absolute()
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except FileNotFoundError as error:
        raise NotFound(f"There is no site file {path}.", hint="Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _broken(path, 1, f"it cannot be read ({reason})") from error
    found = _toml(text, path)
    site = _converted(found, text, path)
    return SiteFile(
        path=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        site=site,
        policy=None if site.policy is None else _policy(site.policy, text, path),
    )


def line_of(text: str, place: Place) -> int:
    """The line where a key stands, else that of its section, else 1."""
    best, best_line = 0, 1
    for at, line in _places(text):
        shared = next((n for n, (a, b) in enumerate(zip(at, place, strict=False)) if a != b), min(len(at), len(place)))
        if shared == len(at) and shared > best:
            best, best_line = shared, line
    return best_line


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        raise _broken(path, int(line[1]) if line else text.count("\n") + 1, "this is not valid TOML") from error


def _converted(found: dict[str, Any], text: str, path: Path) -> Site:
    try:
        return msgspec.convert(found, Site)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        place: Place = tuple(int(n) if n else key for key, n in _PLACE.findall(where.rstrip("`")))
        unknown = _UNKNOWN.fullmatch(message)
        if unknown:
            raise _unknown(path, text, place, unknown[1]) from error
        key = ".".join(str(part) for part in place if isinstance(part, str))
        said = f"{message[:1].lower()}{message[1:]}"
        raise _broken(path, line_of(text, place), f"{key}: {said}" if key else said) from error


def _unknown(path: Path, text: str, place: Place, key: str) -> UsageError:
    section = str(place[0]) if place else ""
    kind = SECTIONS[section] if section else Site
    near = difflib.get_close_matches(key, kind.__struct_encode_fields__, n=1, cutoff=_NEAR)
    known = ", ".join(kind.__struct_encode_fields__)
    hint = f"Did you mean {near[0]}?" if near else f"There are {known}."
    where = f" in [{section}]" if section else ""
    return UsageError(
        f"The site file {path}, line {line_of(text, (*place, key))}: there is no {key}{where}.", hint=hint
    )


def _policy(section: dict[str, Any], text: str, path: Path) -> bytes:
    """The text of the policy: of the file that is named, or the sections that stand in the site file."""
    if "file" not in section:
        return _inline_policy(section, text, path)
    line = line_of(text, ("policy", "file"))
    if not isinstance(section["file"], str) or len(section) > 1:
        raise _broken(path, line, "[policy] has either file, with the path of a policy, or the policy's sections")
    named = path.parent / Path(section["file"]).expanduser()
    try:
        raw = named.read_bytes()
        parse_policy(raw.decode(), named)
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, line, f"the policy file {named} cannot be read") from error
    return raw


def _inline_policy(section: dict[str, Any], text: str, path: Path) -> bytes:
    """The lines of [policy] and its sections as a file of their own, comments and all."""
    lines = list(_policy_lines(text))
    body = "\n".join(lines)
    try:
        same = tomllib.loads(body) == section
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise _broken(path, line_of(text, ("policy",)), "write the policy as sections: [policy.allow], [policy.deny]")
    parse_policy(body, path)
    return (body.strip("\n") + "\n").encode()


def _policy_lines(text: str) -> Iterator[str]:
    """One line for each line of the site file, empty outside of the policy, so that lines keep their numbers."""
    inside = False
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is None:
            yield line if inside else ""
            continue
        first, _, rest = header[2].partition(".")
        inside = first.strip() == "policy"
        yield f"[{rest}]" if inside and rest else ""


def _places(text: str) -> Iterator[tuple[Place, int]]:
    """Every section and key with its line, as far as they stand on lines of their own."""
    section: Place = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header is None:
            key = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*[.=]", line)
            if key:
                yield (*section, key[1]), number
            continue
        section = tuple(part.strip().strip("\"'") for part in header[2].split("."))
        if header[1] == "[[":
            counts[header[2]] = counts.get(header[2], -1) + 1
            section = (*section, counts[header[2]])
        yield section, number


def _broken(path: Path, line: int, why: str) -> UsageError:
    return UsageError(
        f"The site file {path}, line {line}: {why}.",
        hint="Nothing is done until it is right. See docs/provisioning.md for all keys.",
    )
