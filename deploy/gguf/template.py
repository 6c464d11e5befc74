"""Looks at a chat template without running it.

The engine renders the template of a model in Jinja2's sandbox, within the sealed process; that is the fence. This
check refuses beforehand what no real template contains: ways out of the sandbox, and texts made to eat time or
memory. It only parses. It must not compile: Jinja2 computes constant expressions while it compiles, so a template
can do its harm before anything is rendered.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from deploy.gguf.cursor import shown

if TYPE_CHECKING:
    from jinja2 import nodes

LENGTH_LIMIT: Final = 64 << 10
"""Characters. The longest template in use has 17,000."""
DEPTH_LIMIT: Final = 200
NUMBER_LIMIT: Final = 1_000_000
"""No template counts to a million; 100 million bytes of one letter begin with such a number."""
TURNS_LIMIT: Final = 100_000
"""Turns of loops over constant ranges, nested ones multiplied."""
FOREIGN_NAMES: Final = frozenset({"config", "cycler", "joiner", "lipsum", "request", "self"})
"""Objects of Jinja2 and of web frameworks that no chat needs, each a known way to Python's internals."""
LONG_TEXT: Final = 30

_GENERATION_TAG: Final = re.compile(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}")
"""Marks what the model itself wrote, for training; the engine ignores it as well."""
_WIDTH: Final = re.compile(r"[%{][^%{}]{0,20}\d{6}")
"""A format that pads to a hundred thousand characters or more."""
_ORDERS: Final = re.compile(r"(?i)\b(ignore|disregard|always (say|recommend)|secretly|do not (tell|mention|reveal))\b")


class Finding(msgspec.Struct, frozen=True):
    """Something that was seen in a template: an error refuses the model, a warning is shown."""

    level: Literal["error", "warning"]
    text: str
    """Completes the sentence "the chat template …"."""


@dataclass(frozen=True)
class _Place:
    """Where in the template a node stands."""

    in_loop: bool = False
    turns: int = 1
    """How often it is reached through loops over constant ranges."""


def check_template(text: str) -> tuple[Finding, ...]:
    """Parse a chat template and list what is wrong or odd about it, each thing once."""
    if len(text) > LENGTH_LIMIT:
        return (_error(f"is {len(text):,} characters long, at most {LENGTH_LIMIT:,} are allowed"),)
    if "\0" in text:
        return (_error("holds a zero byte, where the engine would stop reading"),)
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    try:
        tree = environment.parse(_GENERATION_TAG.sub("", text))
    except RecursionError:
        return (_TOO_DEEP,)
    except (TemplateError, ValueError) as error:
        return (_error(f"is not valid Jinja: {shown(str(error))}"),)
    return (_TOO_DEEP,) if _is_too_deep(tree) else tuple(dict.fromkeys(_inspect(tree)))


def _is_too_deep(tree: "nodes.Template") -> bool:
    """Measure with a stack of our own: a flat sum of a thousand terms is a tree a thousand deep."""
    stack: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > DEPTH_LIMIT:
            return True
        stack.extend((child, depth + 1) for child in node.iter_child_nodes())
    return False


def _inspect(tree: "nodes.Template") -> Iterator[Finding]:
    stack: list[tuple[Any, _Place]] = [(tree, _Place())]
    reads_messages = False
    while stack:
        node, place = stack.pop()
        kind = type(node).__name__
        reads_messages |= kind == "Name" and node.name == "messages"
        if kind in _JUDGES:
            yield from _JUDGES[kind](node, place)
        inner = _Place(in_loop=True, turns=place.turns * _constant_turns(node.iter)) if kind == "For" else place
        stack.extend(
            (child, place if child is getattr(node, "iter", None) else inner) for child in node.iter_child_nodes()
        )
    if not reads_messages:
        yield _warning("never looks at the conversation")


def _constant_turns(loop: Any) -> int:
    if type(loop).__name__ != "Call" or getattr(loop.node, "name", "") != "range":
        return 1
    bounds = [_constant(bound) for bound in loop.args]
    return max(1, abs(max(bounds, default=1, key=abs)))


def _constant(node: Any) -> int:
    """Give the size of a product of constants; 1 for everything else."""
    kind = type(node).__name__
    if kind == "Const":
        return node.value if isinstance(node.value, int) else 1
    if kind in {"Neg", "Pos"}:
        return _constant(node.node)
    return _constant(node.left) * _constant(node.right) if kind == "Mul" else 1


def _judge_access(node: Any, _: _Place) -> Iterator[Finding]:
    if node.attr.startswith("_"):
        yield _error(f"reaches for the inside of Python: {shown(node.attr)}")


def _judge_inclusion(_node: Any, _: _Place) -> Iterator[Finding]:
    yield _error("wants to load another template")


def _judge_name(node: Any, _: _Place) -> Iterator[Finding]:
    if node.name in FOREIGN_NAMES or node.name.startswith("__"):
        yield _error(f"uses {shown(node.name)}, which a chat does not need")


def _judge_filter(node: Any, _: _Place) -> Iterator[Finding]:
    if node.name == "attr":
        yield _error("reaches for attributes by computed names")


def _judge_constant(node: Any, _: _Place) -> Iterator[Finding]:
    value = node.value
    if isinstance(value, int | float) and abs(value) > NUMBER_LIMIT:
        yield _error("uses a number beyond a million")
    if isinstance(value, str) and value.startswith("__"):
        yield _error(f"reaches for the inside of Python: {shown(value)}")
    if isinstance(value, str) and _WIDTH.search(value):
        yield _error("pads text to an enormous width")


def _judge_power(_node: Any, _: _Place) -> Iterator[Finding]:
    yield _error("raises a number to a power")


def _judge_product(node: Any, _: _Place) -> Iterator[Finding]:
    if abs(_constant(node)) > NUMBER_LIMIT:
        yield _error("multiplies up to an enormous size")


def _judge_call(node: Any, place: _Place) -> Iterator[Finding]:
    if place.turns * _constant_turns(node) > TURNS_LIMIT:
        yield _error("repeats itself more than a hundred thousand times")


def _judge_assignment(node: Any, place: _Place) -> Iterator[Finding]:
    target = getattr(node.target, "attr", None) or getattr(node.target, "name", None)
    if place.in_loop and target and any(_mentions(grown, target) > 1 for grown in _growths(node)):
        yield _error(f"doubles {shown(target)} in a loop")


def _growths(assignment: Any) -> Iterator[Any]:
    """Give the outermost sums, products and joins that an assignment sets its target to."""
    if type(assignment).__name__ == "AssignBlock":
        yield from assignment.body
        return
    stack = [assignment.node]
    while stack:
        node = stack.pop()
        if type(node).__name__ in {"Add", "Concat", "Mul"}:
            yield node
        else:
            stack.extend(node.iter_child_nodes())


def _mentions(node: Any, name: str) -> int:
    """Count how often a name is read; comparisons do not count, since they give true or false."""
    count, stack = 0, [node]
    while stack:
        node = stack.pop()
        if type(node).__name__ in {"Compare", "Test"}:
            continue
        count += (getattr(node, "attr", None) or getattr(node, "name", None)) == name
        stack.extend(node.iter_child_nodes())
    return count


def _judge_literal(node: Any, _: _Place) -> Iterator[Finding]:
    text = node.data.strip()
    if len(text) > LONG_TEXT and _ORDERS.search(text):
        yield _warning(f"gives orders of its own: {shown(text)}")


def _error(text: str) -> Finding:
    return Finding("error", text)


def _warning(text: str) -> Finding:
    return Finding("warning", text)


_TOO_DEEP: Final = _error("is nested too deeply")
_JUDGES: Final[Mapping[str, Callable[[Any, _Place], Iterator[Finding]]]] = {
    "Assign": _judge_assignment,
    "AssignBlock": _judge_assignment,
    "Call": _judge_call,
    "Const": _judge_constant,
    "Extends": _judge_inclusion,
    "Filter": _judge_filter,
    "FromImport": _judge_inclusion,
    "Getattr": _judge_access,
    "Import": _judge_inclusion,
    "Include": _judge_inclusion,
    "Mul": _judge_product,
    "Name": _judge_name,
    "Pow": _judge_power,
    "TemplateData": _judge_literal,
}
"""By the name of the node's class, so that Jinja2 is imported only where a template is looked at."""
