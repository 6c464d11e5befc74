"""llama.cpp through its own C interface. Imported by the engine process alone.

The low-level calls are used rather than the `Llama` object: sampling stays native, no array of
n_batch x n_vocab logits is kept, and a prompt can be abandoned while it is being read.
"""

import ctypes
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, Literal

import llama_cpp.llama_cpp as native

from deploy.engine.memory import peak_resident_bytes, resident_bytes
from deploy.engine.native import Log, Refusal, StopFlag, context_params, open_model
from deploy.engine.protocol import (
    ChatMessage,
    Done,
    Event,
    Generate,
    Loaded,
    LoadPlan,
    Reading,
    Rehearsed,
    Sampling,
    Stats,
    Text,
)
from deploy.engine.text import TextAssembler

ABORTED: Final = 2
"""What llama_decode returns when the abort callback stopped it (llama.h)."""
PENALTY_WINDOW_TOKENS: Final = 64


def rehearse(log: Log, paths: tuple[str, ...], plan: LoadPlan) -> Rehearsed:
    """Ask the engine what a load would take, without loading weights (no_alloc)."""
    log.lines.clear()
    model = open_model(log, paths, plan, rehearsal=True, on_fraction=lambda _: None)
    try:
        context = native.llama_init_from_model(model, context_params(plan))
        if not context:
            raise Refusal(f"The engine cannot make a context of {plan.context_tokens} tokens: {log.cause()}.")
        native.llama_free(context)
        weights_bytes = int(native.llama_model_size(model))
    finally:
        native.llama_model_free(model)
    return Rehearsed(
        weights_bytes=weights_bytes,
        state_bytes=log.mebibytes(r"llama_(?:kv_cache|memory_recurrent)\w*: size = +([\d.]+) MiB"),
        compute_bytes=log.mebibytes(r"compute buffer size = +([\d.]+) MiB"),
        output_bytes=log.mebibytes(r"output buffer size = +([\d.]+) MiB"),
    )


class LlamaModel:
    """One loaded model with one sequence of tokens in its memory."""

    def __init__(
        self, log: Log, stop: StopFlag, paths: tuple[str, ...], plan: LoadPlan, on_fraction: Callable[[float], None]
    ) -> None:
        """Load the weights and make a context exactly as planned. Raises Refusal."""
        started = time.perf_counter()
        log.lines.clear()
        self._stop = stop
        self._plan = plan
        self._model = open_model(log, paths, plan, rehearsal=False, on_fraction=on_fraction)
        self._context = native.llama_init_from_model(self._model, context_params(plan, stop))
        if not self._context:
            native.llama_model_free(self._model)
            raise Refusal(
                f"The engine cannot make a context of {plan.context_tokens} tokens: {log.cause()}.",
                "Ask for a shorter context.",
            )
        self._vocabulary = native.llama_model_get_vocab(self._model)
        self._memory = native.llama_get_memory(self._context)
        self._tokens: list[int] = []
        self._template = self._chat_template()
        self.loaded = Loaded(
            description=self._description(),
            context_tokens=int(native.llama_n_ctx(self._context)),
            has_chat_template=self._template is not None,
            load_s=time.perf_counter() - started,
            memory_bytes=resident_bytes(),
        )

    def close(self) -> None:
        """Give everything back."""
        native.llama_free(self._context)
        native.llama_model_free(self._model)

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer one request, event by event. Raises Refusal before the first one when it cannot be."""
        started = time.perf_counter()
        prompt = self._prompt_tokens(request)
        self._check_room(len(prompt))
        native.llama_perf_context_reset(self._context)
        reused = self._keep_common(prompt)
        writer = _Writer(self, request)
        read_whole = yield from self._read(prompt, reused)
        if read_whole:
            yield from writer.write()
        yield Done(
            reason=writer.reason,
            stats=self._stats(
                prompt_tokens=len(prompt),
                reused_tokens=reused,
                answer_tokens=writer.count,
                first_token_s=(writer.first_token_at or time.perf_counter()) - started,
                total_s=time.perf_counter() - started,
            ),
        )

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Text to tokens. `parse_special` reads control tokens out of the text: for templates only."""
        raw = text.encode()
        room = len(raw) + 16
        buffer = (native.llama_token * room)()
        count = native.llama_tokenize(self._vocabulary, raw, len(raw), buffer, room, add_special, parse_special)
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; nothing for control tokens."""
        buffer = ctypes.create_string_buffer(256)
        length = native.llama_token_to_piece(self._vocabulary, token, buffer, 256, 0, False)  # noqa: FBT003 - a C call
        return buffer.raw[: max(length, 0)]

    def decode(self, tokens: list[int]) -> bool:
        """Compute the next tokens into memory. False when it was stopped; then memory is as before."""
        batch = (native.llama_token * len(tokens))(*tokens)
        status = native.llama_decode(self._context, native.llama_batch_get_one(batch, len(tokens)))
        if status == 0:
            self._tokens += tokens
            return True
        native.llama_synchronize(self._context)  # counts what was computed here, not in the next request
        self._forget_after(len(self._tokens))
        if status == ABORTED:
            return False
        raise Refusal(f"The engine could not compute the next {len(tokens)} tokens (status {status}).")

    def _read(self, prompt: list[int], reused: int) -> Generator[Event, None, bool]:
        step = self._plan.batch_tokens
        yield Reading(reused, len(prompt), reused)
        for start in range(reused, len(prompt), step):
            if self._stop.raised or not self.decode(prompt[start : start + step]):
                return False
            yield Reading(min(start + step, len(prompt)), len(prompt), reused)
        return True

    def _prompt_tokens(self, request: Generate) -> list[int]:
        if request.prompt is not None:
            return self.tokenize(request.prompt, add_special=True, parse_special=False)
        if not request.messages:
            return []
        if self._template is None:
            text = "\n\n".join(message.content for message in request.messages)
            return self.tokenize(text, add_special=True, parse_special=False)
        text = self._render(request.messages)
        has_start = bool(self._start_text) and text.startswith(self._start_text)
        return self.tokenize(text, add_special=not has_start, parse_special=True)

    def _render(self, messages: tuple[ChatMessage, ...]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(self._template(messages=turns).prompt)
        except Exception as error:  # foreign code: whatever it raises is its refusal
            raise Refusal(
                f"The model's chat template refuses this conversation: {error}.",
                "Try it without a system prompt.",
            ) from error

    def _check_room(self, prompt_tokens: int) -> None:
        if prompt_tokens == 0:
            raise Refusal("The prompt is empty.", "Say what the model should answer.")
        if prompt_tokens >= self.loaded.context_tokens:
            raise Refusal(
                f"The prompt has {prompt_tokens:,} tokens and the context holds {self.loaded.context_tokens:,}.",
                "Shorten the prompt, or ask for a longer context with --context.",
            )

    def _keep_common(self, prompt: list[int]) -> int:
        """Keep what memory and prompt have in common; the last prompt token is always computed anew."""
        common = 0
        for old, new in zip(self._tokens, prompt[:-1], strict=False):
            if old != new:
                break
            common += 1
        self._forget_after(common if self._can_return_to(common) else 0)
        return len(self._tokens)

    def _can_return_to(self, count: int) -> bool:
        """Whether a sliding-window cache still holds what the token after the first `count` looks back at."""
        if count == len(self._tokens):
            return True
        window = int(native.llama_model_n_swa(self._model))
        oldest = int(native.llama_memory_seq_pos_min(self._memory, 0))
        return window == 0 or oldest <= max(0, count - window)

    def _forget_after(self, count: int) -> None:
        if native.llama_memory_seq_rm(self._memory, 0, count, -1):
            del self._tokens[count:]
        else:  # recurrent state cannot be rolled back in part
            native.llama_memory_clear(self._memory, True)  # noqa: FBT003 - a C call
            self._tokens.clear()

    @property
    def has_room(self) -> bool:
        """Whether another token fits into the context."""
        return len(self._tokens) < self.loaded.context_tokens

    @property
    def stopped(self) -> bool:
        """Whether the user asked to stop."""
        return self._stop.raised

    def sampler(self, sampling: Sampling) -> Any:
        """A native chain that draws tokens as asked. To be freed by the caller."""
        chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
        if sampling.repeat_penalty != 1.0:
            size = native.llama_vocab_n_tokens(self._vocabulary)
            penalty = native.llama_sampler_init_penalties(
                size, PENALTY_WINDOW_TOKENS, sampling.repeat_penalty, 0.0, 0.0
            )
            native.llama_sampler_chain_add(chain, penalty)
        if sampling.temperature <= 0:
            native.llama_sampler_chain_add(chain, native.llama_sampler_init_greedy())
            return chain
        for stage in (
            native.llama_sampler_init_top_k(sampling.top_k),
            native.llama_sampler_init_top_p(sampling.top_p, 1),
            native.llama_sampler_init_min_p(sampling.min_p, 1),
            native.llama_sampler_init_temp(sampling.temperature),
            native.llama_sampler_init_dist(sampling.seed),
        ):
            native.llama_sampler_chain_add(chain, stage)
        return chain

    def draw(self, chain: Any) -> int:
        """The next token."""
        return int(native.llama_sampler_sample(chain, self._context, -1))

    def ends(self, token: int) -> bool:
        """Whether the token ends the answer."""
        return bool(native.llama_vocab_is_eog(self._vocabulary, token))

    def _chat_template(self) -> Any:
        raw = native.llama_model_chat_template(self._model, None)
        self._start_text = self._special_text(native.llama_vocab_bos(self._vocabulary))
        if raw is None:
            return None
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        try:
            return Jinja2ChatFormatter(
                template=raw.decode("utf-8", "replace"),
                eos_token=self._special_text(native.llama_vocab_eos(self._vocabulary)),
                bos_token=self._start_text,
            )
        except Exception as error:  # foreign code
            raise Refusal(f"The model's chat template cannot be used: {error}.") from error

    def _special_text(self, token: int) -> str:
        if token < 0:
            return ""
        buffer = ctypes.create_string_buffer(256)
        length = native.llama_token_to_piece(self._vocabulary, token, buffer, 256, 0, True)  # noqa: FBT003 - a C call
        return buffer.raw[: max(length, 0)].decode("utf-8", "replace")

    def _description(self) -> str:
        buffer = ctypes.create_string_buffer(128)
        native.llama_model_desc(self._model, buffer, 128)
        return buffer.value.decode("utf-8", "replace")

    def _stats(
        self,
        *,
        prompt_tokens: int,
        reused_tokens: int,
        answer_tokens: int,
        first_token_s: float,
        total_s: float,
    ) -> Stats:
        perf = native.llama_perf_context(self._context)
        return Stats(
            prompt_tokens=prompt_tokens,
            reused_tokens=reused_tokens,
            answer_tokens=answer_tokens,
            prompt_eval_tokens=perf.n_p_eval if perf.t_p_eval_ms > 0 else 0,
            prompt_eval_s=perf.t_p_eval_ms / 1000,
            decode_tokens=perf.n_eval if perf.t_eval_ms > 0 else 0,
            decode_s=perf.t_eval_ms / 1000,
            first_token_s=first_token_s,
            total_s=total_s,
            memory_bytes=resident_bytes(),
            peak_memory_bytes=peak_resident_bytes(),
        )


class _Writer:
    """Draws tokens until something ends the answer, and remembers what."""

    def __init__(self, model: LlamaModel, request: Generate) -> None:
        self._model = model
        self._request = request
        self._text = TextAssembler(request.stop)
        self.reason: Literal["stop", "length", "cancelled", "context"] = "cancelled"
        self.count = 0
        self.first_token_at: float | None = None

    def write(self) -> Iterator[Event]:
        chain = self._model.sampler(self._request.sampling)
        try:
            yield from self._tokens(chain)
        finally:
            native.llama_sampler_free(chain)
        rest = self._text.finish()
        if rest:
            yield Text(rest)

    def _tokens(self, chain: Any) -> Iterator[Event]:
        self.reason = "length"
        while self.count < self._request.max_tokens:
            token = self._model.draw(chain)
            self.first_token_at = self.first_token_at or time.perf_counter()
            if self._model.ends(token):
                self.reason = "stop"
                return
            self.count += 1
            shown = self._text.feed(self._model.piece(token))
            if shown:
                yield Text(shown)
            if self._over() or self.count >= self._request.max_tokens:
                return
            if not self._model.decode([token]):
                self.reason = "cancelled"
                return

    def _over(self) -> bool:
        if self._text.stopped:
            self.reason = "stop"
        elif self._model.stopped:
            self.reason = "cancelled"
        elif not self._model.has_room:
            self.reason = "context"
        else:
            return False
        return True
