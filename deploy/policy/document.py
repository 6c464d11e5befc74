"""One policy file. Whatever is not understood in it is an error with its line: a policy never half holds."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from deploy.errors import NotFound, PolicyRefused
from deploy.policy.rules import PROPERTIES, REQUIREMENTS, RULES, Doubt, read_patterns

SECTIONS: Final = ("allow", "deny", "require", "unknown")
DEFAULT: Final = "default"
DOUBTFUL: Final = frozenset(
    {one.name for one in PROPERTIES} | {one.name for one in REQUIREMENTS if one.judge is not None} | {DEFAULT}
)
_READERS: Final = {
    **{f"{section}.{one.name}": read_patterns for section in ("allow", "deny") for one in PROPERTIES},
    **{f"require.{one.name}": one.read for one in REQUIREMENTS},
}
_LINE: Final = re.compile(r"at line (\d+)")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one file."""

    file: str
    name: str
    """How the file calls itself; its path where it does not."""
    rules: dict[str, Any]
    """By rule name: patterns, or what a requirement takes."""
    doubts: dict[str, Doubt]
    """By property or requirement: what happens where it is not known."""

    def doubt(self, name: str) -> Doubt:
        """What happens where this is not known. What nobody decided is denied."""
        return self.doubts.get(name) or self.doubts.get(DEFAULT) or "deny"


def read_document(path: Path) -> Document:
    """Read one file. Raises NotFound, or PolicyRefused naming file and line where it is not understood."""
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"There is no policy file {path}.", hint="Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _broken(path, 1, f"it cannot be read ({reason})") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Understand the text of one file. Raises PolicyRefused."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _LINE.search(str(error))
        raise _broken(path, int(line[1]) if line else text.count("\n") + 1, "this is not valid TOML") from error
    name = found.pop("name", str(path))
    if not isinstance(name, str):
        raise _broken(path, _line_of(text, "", "name"), "name must be a text")
    for section, contents in found.items():
        if section not in SECTIONS or not isinstance(contents, dict):
            raise _broken(path, _line_of(text, "", section), f"there is no section {section!r} in a policy")
    doubts = {key: _doubt(text, path, key, value) for key, value in found.pop("unknown", {}).items()}
    rules = {
        f"{section}.{key}": _rule(text, path, section, key, value)
        for section, contents in found.items()
        for key, value in contents.items()
    }
    return Document(file=str(path), name=name, rules=rules, doubts=doubts)


def _rule(text: str, path: Path, section: str, key: str, value: Any) -> Any:
    rule = f"{section}.{key}"
    if rule not in RULES:
        known = ", ".join(name.partition(".")[2] for name in RULES if name.startswith(f"{section}."))
        raise _broken(path, _line_of(text, section, key), f"there is no rule {rule}; in [{section}] there are {known}")
    try:
        return _READERS[rule](value)
    except ValueError as error:
        raise _broken(path, _line_of(text, section, key), f"{rule} cannot be understood: {error}") from error


def _doubt(text: str, path: Path, key: str, value: Any) -> Doubt:
    if key not in DOUBTFUL:
        raise _broken(path, _line_of(text, "unknown", key), f"nothing called {key!r} can be unknown")
    if value not in get_args(Doubt):
        raise _broken(path, _line_of(text, "unknown", key), f'unknown.{key} must be "deny" or "admit"')
    return value  # type: ignore[no-any-return]  # it is one of the words


def _line_of(text: str, section: str, key: str) -> int:
    """The line where a key stands, or its section where it stands on no line of its own."""
    inside, section_line = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([\w.-]+)", line)
        if header:
            inside = header[1]
            section_line = number if inside == section else section_line
            if not section and inside.partition(".")[0] == key:
                return number
        elif inside == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
    return section_line


def _broken(path: Path, line: int, why: str) -> PolicyRefused:
    return PolicyRefused(
        f"The policy file {path}, line {line}: {why}.",
        hint="Nothing is done until it is right. See docs/policy.md for all rules.",
    )
