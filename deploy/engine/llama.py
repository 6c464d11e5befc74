"""llama.cpp through its own C interface. Imported by the engine process alone.

The low-level calls are used rather than the `Llama` object: sampling stays native, no array of
n_batch x n_vocab logits is kept, and a prompt can be abandoned while it is being read.
"""

import ctypes
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import llama_cpp.llama_cpp as native

from deploy.engine.adapters import Adapters
from deploy.engine.context import Context
from deploy.engine.embedding import Embedder, answering, open_for_vectors, outputs_bytes
from deploy.engine.figures import Figures
from deploy.engine.load_plan import LoadPlan
from deploy.engine.memory import resident_bytes
from deploy.engine.native import LEAST_PRINTED_BYTES, Log, Refusal, StopFlag, context_params, open_model
from deploy.engine.prompting import Prompting
from deploy.engine.protocol import (
    Count,
    Counted,
    Done,
    Drawing,
    Embed,
    Embedded,
    Event,
    Generate,
    Load,
    Loaded,
    Reading,
    Rehearsed,
    Speculation,
)
from deploy.engine.recommended import metadata, recommended
from deploy.engine.shown import count_images, looking, text_length
from deploy.engine.speculate import EXACT, Guesser, Pace, costs_of
from deploy.engine.state import States
from deploy.engine.steps import Steps
from deploy.engine.vocabulary import Vocabulary
from deploy.engine.writer import Writer
from deploy.quantities import amount

if TYPE_CHECKING:
    from deploy.engine.vision import Eyes, SeenPrompt

LONGEST_TOKEN_BYTES: Final = 1024
"""Generously: the longest pieces of today's vocabularies have some hundred."""


def rehearse(log: Log, paths: tuple[str, ...], plan: LoadPlan) -> Rehearsed:
    """Ask the engine what a load would take, without loading weights (no_alloc)."""
    log.lines.clear()
    model = open_model(log, paths, plan, rehearsal=True, on_fraction=lambda _: None)
    try:
        if plan.vectors:  # first, since it may clear the log
            native.llama_free(open_for_vectors(log, model, plan)[0])
        context = native.llama_init_from_model(model, context_params(answering(plan)))
        if not context:
            raise Refusal(
                f"The engine cannot create a context of {plan.context_tokens} tokens: {log.cause()}.",
                "Ask for a shorter context.",
            )
        native.llama_free(context)
        weights_bytes = int(native.llama_model_size(model))
        vectors_bytes = outputs_bytes(model, plan)
        recurrent = native.llama_model_is_recurrent(model) or native.llama_model_is_hybrid(model)
    finally:
        native.llama_model_free(model)
    return Rehearsed(
        weights_bytes=weights_bytes,
        state_bytes=log.mebibytes(r"llama_(?:kv_cache|memory_recurrent)\w*: size = +([\d.]+) MiB"),
        compute_bytes=log.mebibytes(r"compute buffer size = +([\d.]+) MiB"),
        output_bytes=log.mebibytes(r"output buffer size = +([\d.]+) MiB") + vectors_bytes,
        recurrent_bytes=max(
            log.mebibytes(r"llama_memory_recurrent\w*: size = +([\d.]+) MiB"), LEAST_PRINTED_BYTES if recurrent else 0
        ),
        window_bytes=log.mebibytes(r"creating +SWA KV cache[\s\S]*?llama_kv_cache: size = +([\d.]+) MiB"),
    )


class LlamaModel:
    """One loaded model with one sequence of tokens in its memory."""

    def __init__(self, log: Log, stop: StopFlag, load: Load, on_fraction: Callable[[float], None]) -> None:
        """Load the weights and make a context exactly as planned. Raises Refusal."""
        started = time.perf_counter()
        log.lines.clear()
        self._log = log
        self._stop = stop
        self._plan = load.plan
        self._embedder: Embedder | None = None
        self._eyes: Eyes | None = None
        self._model = open_model(log, load.paths, load.plan, rehearsal=False, on_fraction=on_fraction)
        try:
            self._adapters = Adapters(log, self._model, load.adapters)
            self._context = Context(log, self._model, answering(load.plan), stop)
            self._adapters.lay_over(self._context.pointer)
            self._eyes = self._opened_eyes(load)
            if load.plan.vectors:
                self._embedder = Embedder(log, self._model, load.plan, self._adapters, stop)
        except Refusal:
            native.llama_model_free(self._model)
            raise
        self._pace = Pace(self._step_costs())
        self._vocabulary = Vocabulary(self._model)
        self.states = States(self._context, self._vocabulary.size)
        self._prompting = Prompting(self._model, self._vocabulary, self._eyes)
        self.loaded = Loaded(
            description=self._description(),
            context_tokens=self._context.size,
            has_chat_template=self._prompting.has_template,
            load_s=time.perf_counter() - started,
            memory_bytes=resident_bytes(),
            thinks=self._prompting.thinks,
            sampling=recommended(self._model),
            sees=self._eyes is not None,
        )

    def close(self) -> None:
        """Give everything back."""
        if self._embedder is not None:
            self._embedder.close()
        if self._eyes is not None:
            self._eyes.close()
        self._context.close()
        native.llama_model_free(self._model)

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer one request, event by event. Raises Refusal before the first one when it cannot be."""
        figures = Figures()
        self._require_writing()
        self._check_length(request)
        asked = self._prompting.prompt(request)
        self._check_room(asked.tokens)
        drawing = request.sampling.decided(self.loaded.sampling)
        writer = Writer(self._context, self._vocabulary, request, drawing, asked.splitter)
        prompt = self._context.keep_common(asked.tokens, self._vocabulary.letters)
        figures.begin(len(prompt), len(self._context.tokens))
        figures.image_tokens = count_images(prompt)
        with looking(asked.seen, prompt[len(self._context.tokens) :]):
            read_whole = yield from self._read(prompt, figures, asked.seen)
        if read_whole:
            guesser, figures.speculation = self._guesser(drawing)
            yield from writer.write(Steps(self._context, guesser), figures)
            if guesser is not None:
                figures.speculation = guesser.report()
        yield Done(reason=writer.reason, stats=figures.stats(writer.count))

    def count(self, request: Count) -> Counted:
        """How many tokens a text has, or a conversation. Raises Refusal."""
        if request.messages:
            self._check_length(request)
            return Counted(self._prompting.count(request.messages))
        return Counted(len(self._vocabulary.tokenize(request.text, add_special=False, parse_special=False)))

    def embed(self, request: Embed) -> Embedded:
        """One vector for each text. Raises Refusal."""
        if self._embedder is None:
            self._embedder = Embedder(self._log, self._model, self._plan, self._adapters, self._stop)
        return self._embedder.embed(request.texts, self._vocabulary)

    def _read(self, prompt: list[int], figures: Figures, seen: "SeenPrompt | None") -> Generator[Event, None, bool]:
        reused, end = figures.reused_tokens, len(prompt)
        pause = self._context.pause_before(end)
        yield Reading(reused, end, reused)
        while (start := len(self._context.tokens)) < end:
            stop = min(start + self._plan.batch_tokens, pause if pause is not None and start < pause else end)
            if self._context.stopped or not self._read_some(prompt[start:stop], seen):
                return False
            stop = len(self._context.tokens)
            if stop == pause:
                self._context.remember()
            figures.read(stop - start)
            yield Reading(stop, end, reused)
        return True

    def _read_some(self, tokens: list[int], seen: "SeenPrompt | None") -> bool:
        """Compute the piece of an image that these tokens begin with, or them up to the next image."""
        if tokens[0] < 0 and seen is not None:
            return seen.read(self._context, tokens[0])
        return self._context.decode(tokens[: text_length(tokens)])

    def _opened_eyes(self, load: Load) -> "Eyes | None":
        if load.projector is None:
            return None
        from deploy.engine.vision import Eyes

        return Eyes(self._log, self._model, load.projector, load.plan, self._stop)

    def _guesser(self, drawing: Drawing) -> tuple[Guesser | None, Speculation]:
        """What guesses along the tokens in memory, or why nothing does."""
        if why_not := self._why_no_guesser(drawing):
            return None, Speculation(why_not=why_not)
        return Guesser(self._context.tokens, self._plan.speculation_tokens, self._pace), Speculation()

    def _why_no_guesser(self, drawing: Drawing) -> str:
        if not self._context.can_go_back:
            return "this model's memory cannot go back to an earlier token"
        if self._context.has_seen:
            return "there are images in memory"
        if self._plan.gpu_layers and not self._plan.speculation_tokens:
            return "it was measured on processors only"
        if not self._plan.speculation_tokens:
            return "the plan has no memory for it"
        return EXACT if drawing.temperature <= 0 else ""

    def _require_writing(self) -> None:
        if not self._context.can_write:
            raise Refusal(
                "This model makes vectors of texts and writes no answers.",
                "Use it with `landfast embed`, or choose another model.",
            )

    def _check_length(self, request: Generate | Count) -> None:
        """Refuse what has more tokens than the context, whatever they are, before memory is spent on finding them."""
        text = sum(len(message.content.encode()) for message in request.messages)
        if text > self._context.size * LONGEST_TOKEN_BYTES:
            raise Refusal(
                f"The prompt has {amount(text)} of text and the context holds {self._context.size:,} tokens.",
                "Shorten the prompt, or ask for a longer context with --context.",
            )

    def _check_room(self, prompt: list[int]) -> None:
        if not prompt:
            raise Refusal("The prompt is empty.", "Say what the model should answer.")
        if len(prompt) >= self._context.size:
            images = count_images(prompt)
            of_them = f", {images:,} of them for images," if images else ""
            raise Refusal(
                f"The prompt has {len(prompt):,} tokens{of_them} and the context holds {self._context.size:,}.",
                "Shorten the prompt, or ask for a longer context with --context.",
            )

    def _step_costs(self) -> Mapping[int, float]:
        file_type = native.llama_ftype_name(native.llama_model_ftype(self._model)) or b""
        experts = metadata(self._model, f"{metadata(self._model, 'general.architecture')}.expert_count")
        width = int(native.llama_model_n_embd(self._model))
        return costs_of(file_type.decode(), width, experts=experts not in {"", "0"}, repacked=self._plan.repack)

    def _description(self) -> str:
        buffer = ctypes.create_string_buffer(128)
        native.llama_model_desc(self._model, buffer, 128)
        return buffer.value.decode("utf-8", "replace")
