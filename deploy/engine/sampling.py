"""How the next token is drawn: a chain of llama.cpp's own samplers, so that no logits pass through Python."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.native import Refusal
from deploy.engine.protocol import Drawing
from deploy.engine.vocabulary import Vocabulary

PENALTY_WINDOW_TOKENS: Final = 64


@contextmanager
def sampler(drawing: Drawing, vocabulary: Vocabulary, grammar: bytes | None = None) -> Iterator[Any]:
    """A native chain that draws tokens as asked, freed at the end of the block. Raises Refusal."""
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    try:
        if grammar is not None:
            native.llama_sampler_chain_add(chain, _grammar(grammar, vocabulary))
        for stage in _stages(drawing, vocabulary.size):
            native.llama_sampler_chain_add(chain, stage)
        yield chain
    finally:
        native.llama_sampler_free(chain)


def _grammar(grammar: bytes, vocabulary: Vocabulary) -> Any:
    found = native.llama_sampler_init_grammar(vocabulary.pointer, grammar, b"root")
    if not found:
        raise Refusal("The engine refuses the grammar of this schema.", "Use a simpler schema.")
    return found


def _stages(drawing: Drawing, vocabulary_size: int) -> Iterator[Any]:
    if drawing.repeat_penalty != 1.0:
        yield native.llama_sampler_init_penalties(
            vocabulary_size, PENALTY_WINDOW_TOKENS, drawing.repeat_penalty, 0.0, 0.0
        )
    if drawing.temperature <= 0:
        yield native.llama_sampler_init_greedy()
        return
    yield native.llama_sampler_init_top_k(drawing.top_k)
    yield native.llama_sampler_init_top_p(drawing.top_p, 1)
    yield native.llama_sampler_init_min_p(drawing.min_p, 1)
    yield native.llama_sampler_init_temp(drawing.temperature)
    yield native.llama_sampler_init_dist(drawing.seed)
