"""What a person sets for the UI in `interface.toml`, beside the keys of the signature: other keys, and the colours.

theme = "ansi-dark"

[keys]
"models.filter" = "ctrl+f"
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tui.keymap import KEYMAP

FILE_NAME: Final = "interface.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds, and a sentence for each line that cannot."""

    theme: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys by the id of what they do."""
    remarks: tuple[str, ...] = ()


def read_settings(folder: Path) -> Settings:
    """Read the file in this folder; none is no settings, and a broken one is a remark and no settings."""
    file = folder / FILE_NAME
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        return Settings(remarks=(f"{file} cannot be read: {error}.",))
    import tomllib

    try:
        return _settings(tomllib.loads(text), file)
    except tomllib.TOMLDecodeError as error:
        return Settings(remarks=(f"{file} cannot be understood, so nothing in it is used: {error}.",))


def _settings(content: dict[str, Any], file: Path) -> Settings:
    remarks = [f"{file}: there is no setting {name!r}." for name in content if name not in {"theme", "keys"}]
    wanted = content.get("keys", {})
    if not isinstance(wanted, dict):
        return Settings(remarks=(*remarks, f"{file}: [keys] is not a table."))
    keys: dict[str, str] = {}
    for identifier, key in wanted.items():
        problem = _problem(identifier, key, keys)
        if problem:
            remarks.append(f"{file}: {problem}")
        else:
            keys[identifier] = key
    theme = content.get("theme")
    return Settings(theme=theme if isinstance(theme, str) else None, keys=keys, remarks=tuple(remarks))


def _problem(identifier: str, key: object, taken: Mapping[str, str]) -> str:
    """Why a line of [keys] cannot hold; empty where it can."""
    if identifier not in KEYMAP:
        return f"there is no key named {identifier!r}; F1 shows the names."
    if not isinstance(key, str) or not key.strip():
        return f'{identifier!r} needs a key such as "f" or "ctrl+f".'
    place = identifier.partition(".")[0]
    used = Counter(
        name
        for other, entry in KEYMAP.items()
        if other != identifier and other.partition(".")[0] in {place, "app"}
        for name in taken.get(other, entry.keys).split(",")
    )
    clash = next((name for name in key.split(",") if used[name.strip()]), None)
    return f"{clash!r} already means something else in {place}; {identifier!r} keeps its key." if clash else ""
