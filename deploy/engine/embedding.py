"""Texts to vectors, in a context of their own beside the one that answers. For the engine process alone."""

import math
from typing import Any, Final

import llama_cpp.llama_cpp as native
import msgspec

from deploy.engine.adapters import Adapters
from deploy.engine.computing import Computing
from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import Log, Refusal, StopFlag, context_params
from deploy.engine.protocol import Embedded
from deploy.engine.vocabulary import Vocabulary

POOLINGS: Final = {
    native.LLAMA_POOLING_TYPE_MEAN: "mean",
    native.LLAMA_POOLING_TYPE_CLS: "cls",
    native.LLAMA_POOLING_TYPE_LAST: "last",
}
IDLE_TOKENS: Final = 32
"""Of a context that nobody asks anything."""
FLOAT_BYTES: Final = 4
LONGEST_TOKENS: Final = 8192
"""A text is read in one step, and what a step takes of memory grows with it."""

NO_CONTEXT: Final = "Ask for a shorter --context or free memory; if that does not help, choose another model."


class Embedder:
    """Makes vectors with a loaded model."""

    def __init__(self, log: Log, model: Any, plan: LoadPlan, adapters: Adapters, stop: StopFlag) -> None:
        """Make a context for it. Raises Refusal."""
        self._stop = stop
        self._room = room(model, plan)
        self._may_be_longer = self._room == plan.context_tokens < longest_text(model)
        self._pointer, self._made_for_it = open_for_vectors(log, model, plan, stop)
        self._computing = Computing(self._pointer, plan, stop)
        self._pooling = POOLINGS.get(native.llama_pooling_type(self._pointer))
        if self._pooling is None:
            self.close()
            raise Refusal("This model ranks texts; it makes no vectors.", "Choose a model for embeddings.")
        adapters.lay_over(self._pointer)
        self._width = int(native.llama_model_n_embd(model))
        self._count = 0
        """Of all texts so far: they are numbered through, in however many parts they come."""

    def close(self) -> None:
        """Give it back."""
        native.llama_free(self._pointer)

    def embed(self, texts: tuple[str, ...], vocabulary: Vocabulary) -> Embedded:
        """One vector of length 1 for each text. Raises Refusal."""
        read = [vocabulary.tokenize(text, add_special=True, parse_special=False) for text in texts]
        for number, tokens in enumerate(read, self._count + 1):
            if not 0 < len(tokens) <= self._room:
                longer = ", or ask for a longer --context" if self._may_be_longer else ""
                raise Refusal(
                    f"Text {number} has {len(tokens):,} tokens; from 1 to {self._room:,} can be made a vector.",
                    f"Cut it into pieces{longer}.",
                )
        self._count += len(read)
        return Embedded(
            vectors=tuple(self._vector(tokens) for tokens in read),
            tokens=sum(map(len, read)),
            pooling=self._pooling or "",
            made_for_it=self._made_for_it,
        )

    def _vector(self, tokens: list[int]) -> tuple[float, ...]:
        self._clear()
        held = (native.llama_token * len(tokens))(*tokens)  # the batch only points to it
        status = self._computing.decode(native.llama_batch_get_one(held, len(tokens)), len(tokens), self._clear)
        if status != 0:
            why = "It was stopped." if self._stop.raised else f"The engine could not read a text (status {status})."
            raise Refusal(why, "Run the command again.")
        raw = native.llama_get_embeddings_seq(self._pointer, 0)
        if not raw:
            raise Refusal("The engine gave no vector.", "Choose another model.")
        return _normalised(raw[: self._width])

    def _clear(self) -> None:
        memory = native.llama_get_memory(self._pointer)
        if memory:
            native.llama_memory_clear(memory, True)  # noqa: FBT003 - a C call


def answering(plan: LoadPlan) -> LoadPlan:
    """The plan of the context that answers: next to nothing beside one that makes vectors."""
    if not plan.vectors:
        return plan
    return msgspec.structs.replace(plan, context_tokens=IDLE_TOKENS, batch_tokens=IDLE_TOKENS, speculation_tokens=0)


def room(model: Any, plan: LoadPlan) -> int:
    """Most tokens of a text."""
    return min(plan.context_tokens, longest_text(model))


def longest_text(model: Any) -> int:
    """Most tokens with any context: positions beyond those that it was trained with do not exist in every model."""
    return min(LONGEST_TOKENS, int(native.llama_model_n_ctx_train(model)))


def outputs_bytes(model: Any, plan: LoadPlan) -> int:
    """What the engine takes when the longest text is read, and does not say before.

    A row of the vocabulary and a vector for every token of it (llama-context.cpp: output_reserve).
    """
    if not plan.vectors:
        return 0
    words = int(native.llama_vocab_n_tokens(native.llama_model_get_vocab(model)))
    return room(model, plan) * (words + int(native.llama_model_n_embd(model))) * FLOAT_BYTES


def open_for_vectors(log: Log, model: Any, plan: LoadPlan, stop: StopFlag | None = None) -> tuple[Any, bool]:
    """A context that makes vectors, pooled as the model says, and whether it says; else by the mean. Raises Refusal.

    A rehearsal opens the very same.
    """
    params = context_params(plan, stop)
    params.n_ctx = params.n_batch = params.n_ubatch = params.n_outputs_max = room(model, plan)
    params.embeddings = True
    pointer = native.llama_init_from_model(model, params)
    unsaid = bool(pointer) and native.llama_pooling_type(pointer) == native.LLAMA_POOLING_TYPE_NONE
    if unsaid:
        native.llama_free(pointer)
        log.lines.clear()
        params.pooling_type = native.LLAMA_POOLING_TYPE_MEAN
        pointer = native.llama_init_from_model(model, params)
    if not pointer:
        raise Refusal(f"The engine cannot make vectors with this model: {log.cause()}.", NO_CONTEXT)
    return pointer, not unsaid


def _normalised(vector: list[float]) -> tuple[float, ...]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length) or length == 0:
        raise Refusal("The engine gave a vector without a direction.", "Choose another model.")
    return tuple(value / length for value in vector)
