"""Answers that follow a JSON Schema: the schema is bounded before the engine sees it, the answer checked after."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.engine.references import REFERENCE, target_of
from deploy.errors import EngineFailed, LandfastError, NotFound, UsageError

SIZE_LIMIT_BYTES: Final = 64 << 10
DEPTH_LIMIT: Final = 24
PARTS_LIMIT: Final = 2000
"""Objects and lists of the schema together."""
COUNT_LIMIT: Final = 2000
"""Letters of a text or items of a list that a schema may ask for; the engine's grammar repeats no rule more often."""
COUNTS_LIMIT: Final = 8000
"""Of all such numbers together."""
PATTERN_LIMIT: Final = 200
NUMBER_LIMIT: Final = 10**15
COUNTING: Final = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
BOUNDING: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
REFERENCES: Final = (REFERENCE, "$dynamicRef", "$recursiveRef")
HINT: Final = "Use a simpler schema."


def read_schema(path: Path) -> str:
    """Read a schema from a file and bound what it can cost. Raises NotFound and UsageError."""
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise NotFound(
            f"The schema {path} cannot be read: {error.strerror}.", hint="Check the path and its permissions."
        ) from error
    if len(raw) > SIZE_LIMIT_BYTES:
        raise UsageError(f"The schema {path.name} has more than the allowed {SIZE_LIMIT_BYTES:,} bytes.", hint=HINT)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name} is not JSON: {error}.", hint="Give a file with a JSON Schema.") from error
    if not isinstance(found, dict):
        raise UsageError(
            f"{path.name} is not a JSON Schema: it is not an object.", hint="Give a file with a JSON Schema."
        )
    try:
        _require_bounded(found)
        _require_sound(found)
    except ValueError as error:
        raise UsageError(f"The schema {path.name} cannot be used: {error}.", hint=HINT) from error
    return json.dumps(found)


def problem_of(answer: str, ended: str, schema: str) -> LandfastError | None:
    """What is wrong with an answer that should follow a schema; None where it does."""
    import jsonschema
    import referencing

    if ended in {"length", "context", "cancelled"}:
        return EngineFailed(
            f"The answer ended too early ({ended}) and is incomplete.", hint="Allow a longer one with --max-tokens."
        )
    try:
        value = json.loads(answer)
        validator = jsonschema.validators.validator_for(rules := json.loads(schema), jsonschema.Draft202012Validator)
        offline = validator(rules, registry=referencing.Registry())  # the default one would ask the network
        fault = jsonschema.exceptions.best_match(offline.iter_errors(value))
    except (ValueError, RecursionError) as error:
        return EngineFailed(f"The answer is not JSON: {error}.", hint="Ask again with another --seed.")
    except referencing.exceptions.Unresolvable as error:
        return EngineFailed(f"The answer cannot be checked: the schema refers to nothing ({error}).", hint=HINT)
    if fault is None:
        return None
    where = fault.json_path.removeprefix("$.") if fault.json_path != "$" else "the whole"
    return EngineFailed(
        f"The answer breaks the schema at {where}: {fault.message}.",
        hint="The engine cannot keep to this rule by itself; ask again with another --seed, or leave out the rule.",
    )


def _require_bounded(schema: dict[str, Any]) -> None:
    """Raises ValueError where its grammar could become too large, or where it leads elsewhere."""
    counts = 0
    for number, (depth, part) in enumerate(_parts(schema), 1):
        if depth > DEPTH_LIMIT:
            raise ValueError(f"it is nested more than {DEPTH_LIMIT} deep")
        if number > PARTS_LIMIT:
            raise ValueError(f"it has more than {PARTS_LIMIT:,} parts")
        if isinstance(part, dict):
            counts += _counted(part)
            _require_plain(part, schema)
    if counts > COUNTS_LIMIT:
        raise ValueError(f"its lengths add up to {counts:,}, more than {COUNTS_LIMIT:,}")


def _parts(schema: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any] | list[Any]]]:
    waiting: list[tuple[int, Any]] = [(1, schema)]
    while waiting:
        depth, part = waiting.pop()
        if isinstance(part, (dict, list)):
            yield depth, part
            waiting += [(depth + 1, inner) for inner in (part.values() if isinstance(part, dict) else part)]


def _counted(part: dict[str, Any]) -> int:
    """What the grammar repeats for one part."""
    asked = [part[name] for name in COUNTING & part.keys() if isinstance(part[name], int)]
    if max(asked, default=0) > COUNT_LIMIT:
        raise ValueError(f"it asks for {max(asked):,} characters or items; {COUNT_LIMIT:,} are possible")
    return max(asked, default=0)


def _require_plain(part: dict[str, Any], schema: dict[str, Any]) -> None:
    pattern = part.get("pattern")
    if isinstance(pattern, str) and (len(pattern) > PATTERN_LIMIT or _largest_repeat(pattern) > COUNT_LIMIT):
        raise ValueError("a pattern in it is too long, or repeats too often")
    for name in BOUNDING & part.keys():
        if isinstance(part[name], (int, float)) and abs(part[name]) > NUMBER_LIMIT:
            raise ValueError(f"{name} is {part[name]:g}, beyond {NUMBER_LIMIT:g}")
    for reference in map(part.get, REFERENCES):
        if isinstance(reference, str):
            _require_leads_somewhere(reference, schema)


def _largest_repeat(pattern: str) -> int:
    return max(
        (int(number) for braces in re.findall(r"{([\d,]*)}", pattern) for number in braces.split(",") if number),
        default=0,
    )


def _require_leads_somewhere(reference: str, schema: dict[str, Any]) -> None:
    """Raises ValueError for a reference to another file or host, to nothing, or to one that refers on for ever."""
    seen: set[str] = set()
    while True:
        if reference in seen:
            raise ValueError(f"the reference {reference!r} leads to itself")
        seen.add(reference)
        target = target_of(reference, schema)
        onward = target.get(REFERENCE) if isinstance(target, dict) else None
        if not isinstance(onward, str):
            return
        reference = onward


def _require_sound(schema: dict[str, Any]) -> None:
    """Raises ValueError for what is JSON and no JSON Schema."""
    import jsonschema

    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"{error.json_path}: {error.message[:200]}") from error
