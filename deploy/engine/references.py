"""Where the references of a JSON Schema lead, within the schema itself."""

from typing import Any, Final

REFERENCE: Final = "$ref"


def target_of(reference: str, schema: dict[str, Any]) -> Any:
    """What a reference leads to. Raises ValueError for one that leads out of the schema, or nowhere."""
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"the reference {reference[:80]!r} leads out of the file")
    target: Any = schema
    for step in reference.removeprefix("#").split("/")[1:]:
        step_name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or step_name not in target:
            raise ValueError(f"the reference {reference[:80]!r} leads nowhere")
        target = target[step_name]
    return target


def targets_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Every reference in a schema, with what it leads to. Raises ValueError."""
    found: dict[str, Any] = {}
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(reference := part.get(REFERENCE), str):
                found[reference] = target_of(reference, schema)
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found
