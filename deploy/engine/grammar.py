"""Answers that follow a JSON Schema: the schema as the engine's own grammar. For the engine process alone."""

import json
from typing import Any, Final

from deploy.engine.native import Refusal
from deploy.engine.references import targets_of

GRAMMAR_LIMIT_BYTES: Final = 256 << 10
"""The engine checks every token of its vocabulary against the grammar, at every step."""
WHY_LIMIT: Final = 200
"""Characters: a reason may hold the whole schema."""


def grammar_of(schema: str) -> bytes:
    """The grammar of a schema whose size and depth were bounded before. Raises Refusal."""
    try:
        grammar = _converted(json.loads(schema)).encode()
    except Exception as error:  # foreign code: it asserts, and indexes what is not there
        telling = str(error) if isinstance(error, (AssertionError, ValueError)) else ""
        why = telling[:WHY_LIMIT] if telling else "it has a rule that the engine does not know"
        raise Refusal(f"The engine cannot turn this schema into a grammar: {why}.", "Use a simpler schema.") from error
    if len(grammar) > GRAMMAR_LIMIT_BYTES:
        raise Refusal(
            f"The schema needs a grammar of {len(grammar):,} bytes, which is too large.", "Use a simpler schema."
        )
    return grammar


def _converted(schema: Any) -> str:
    from llama_cpp.llama_grammar import SchemaConverter

    converter = SchemaConverter(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    converter._format_literal = _literal  # noqa: SLF001 - see there
    converter._refs = targets_of(schema)  # noqa: SLF001 - its own way passes over some of them
    converter._resolve_ref = lambda reference: _rule_of(converter, reference)  # noqa: SLF001 - see there
    converter.visit(schema, "")
    return str(converter.format_grammar())


def _literal(text: str) -> str:
    """A JSON text as the grammar's own literal.

    The binding leaves backslashes to be read as the grammar's: quotes and line ends in a text would become others, and
    what lies beyond 16 bits of Unicode nothing that a model can write.
    """
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rule_of(converter: Any, reference: str) -> str:
    """The rule of what is referred to, by the whole reference: its last word may be the name of a field as well."""
    name = f"reference--{list(converter._refs).index(reference)}"  # noqa: SLF001
    if name in converter._rules or reference in converter._refs_being_resolved:  # noqa: SLF001
        return name
    converter._refs_being_resolved.add(reference)  # noqa: SLF001
    found: str = converter.visit(converter._refs[reference], name)  # noqa: SLF001
    converter._refs_being_resolved.remove(reference)  # noqa: SLF001
    return found
