"""Writes the tables of docs/provisioning.md and the JSON Schemas of site and lock files from the types in the code.

python -m scripts.build_site_doc
"""

import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from deploy.provision.lock import Lock
from deploy.provision.site import SECTIONS, Site

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "provisioning.md"
SCHEMAS: Final[dict[str, type]] = {"site": Site, "lock": Lock}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TABLES: Final = re.compile(r"(<!-- keys: begin -->\n).*?(<!-- keys: end -->)", re.DOTALL)


def schema(name: str) -> bytes:
    """The schema of a file, as it is shipped."""
    found = {"$schema": DIALECT, "title": f"landfast.{name}/1"} | msgspec.json.schema(SCHEMAS[name])
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"


def schema_path(name: str) -> Path:
    """Where it is shipped."""
    return ROOT / "deploy" / "provision" / f"{name}.schema.json"


def tables() -> str:
    """One table for each section, as Markdown."""
    return "\n".join(line for section, kind in SECTIONS.items() for line in _table(section, kind)) + "\n"


def with_tables(text: str) -> str:
    """The document with the tables of today."""
    return _TABLES.sub(lambda found: f"{found[1]}{tables()}{found[2]}", text)


def _table(section: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    described = {field.name: field for field in msgspec.structs.fields(Site)}[section]
    name = f"[[{section}]]" if section == "models" else f"[{section}]"
    yield from (f"### `{name}`", "", f"{_meta(described.type).description}", "")
    yield from ("| Key | Meaning | Example | If left out |", "| --- | --- | --- | --- |")
    for field in msgspec.structs.fields(kind):
        found = _meta(field.type)
        meaning = f"{found.description}{_choices(field.type)}"
        yield f"| `{field.encode_name}` | {meaning} | `{json.dumps((found.examples or [''])[0])}` | {_default(field)} |"
    yield ""


def _meta(kind: Any) -> msgspec.Meta:
    """The description that hangs on a type."""
    return next(note for note in kind.__metadata__ if isinstance(note, msgspec.Meta) and note.description)


def _choices(kind: Any) -> str:
    words = list(_words(kind))
    return f" One of {', '.join(f'`{word}`' for word in words)}." if words else ""


def _words(kind: Any) -> Iterator[str]:
    """All words that a type allows, however deep they stand in it."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) is not None or isinstance(kind, types.UnionType) or hasattr(kind, "__metadata__"):
        for part in get_args(kind)[: 1 if hasattr(kind, "__metadata__") else None]:
            yield from _words(part)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "it must be there"
    return "" if field.default in (None, ()) else f"`{json.dumps(field.default)}`"


def main() -> None:
    """Write all of them."""
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
    for name in SCHEMAS:
        schema_path(name).write_bytes(schema(name))
    print(f"{PAGE} and {len(SCHEMAS)} schemas are up to date")


if __name__ == "__main__":
    main()
