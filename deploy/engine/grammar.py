"""Answers that follow a JSON Schema: the schema as the engine's own grammar. For the engine process alone."""

from typing import Final

from deploy.engine.native import Refusal

GRAMMAR_LIMIT_BYTES: Final = 256 << 10
"""The engine checks every token of its vocabulary against the grammar, at every step."""


def grammar_of(schema: str) -> bytes:
    """The grammar of a schema whose size and depth were bounded before. Raises Refusal."""
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        grammar: bytes = json_schema_to_gbnf(schema).encode()
    except Exception as error:  # foreign code: it asserts, and indexes what is not there
        why = str(error) or type(error).__name__
        raise Refusal(f"The engine cannot turn this schema into a grammar: {why}.", "Use a simpler schema.") from error
    if len(grammar) > GRAMMAR_LIMIT_BYTES:
        raise Refusal(
            f"The schema needs a grammar of {len(grammar):,} bytes, which is too large.", "Use a simpler schema."
        )
    return grammar
