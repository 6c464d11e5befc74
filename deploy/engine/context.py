"""One sequence of tokens in the engine's memory: computed, kept from turn to turn, and rolled back."""

import ctypes
from collections.abc import Callable
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.checkpoint import Checkpoint
from deploy.engine.computing import ABORTED, Computing
from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import Log, Refusal, StopFlag, context_params
from deploy.engine.prefix import common_length, spelled_alike

CHECKPOINT_BEFORE_END_TOKENS: Final = 16
"""The end of a prompt opens the model's turn, which the next prompt may write in another way."""
CHECKPOINT_WORTH_TOKENS: Final = 512
"""Fewer are read again as fast as another step for the copy takes."""


class Context:
    """What a loaded model remembers."""

    def __init__(self, log: Log, model: Any, plan: LoadPlan, stop: StopFlag) -> None:
        """Make a context exactly as planned. Raises Refusal."""
        self._model = model
        self._stop = stop
        self.pointer = native.llama_init_from_model(model, context_params(plan, stop))
        if not self.pointer:
            raise Refusal(
                f"The engine cannot create a context of {plan.context_tokens} tokens: {log.cause()}.",
                "Ask for a shorter context.",
            )
        self._memory = native.llama_get_memory(self.pointer)
        self._window = int(native.llama_model_n_swa(model))
        self.checkpoint = Checkpoint(self.pointer, plan.checkpoint_bytes)
        self._computing = Computing(self.pointer, plan, stop)
        self.size = int(native.llama_n_ctx(self.pointer))
        self.tokens: list[int] = []
        """Those below zero stand for pieces of images."""
        self._seen_until = 0
        """So many of the first tokens reach to the end of the last image."""
        self._lag = 0
        """Some models put the tokens of an image onto fewer positions than there are tokens: by how many fewer."""

    def close(self) -> None:
        """Give it back."""
        native.llama_free(self.pointer)

    @property
    def has_room(self) -> bool:
        """Whether another token fits."""
        return len(self.tokens) < self.size

    @property
    def stopped(self) -> bool:
        """Whether the user asked to stop."""
        return self._stop.raised

    @property
    def can_go_back(self) -> bool:
        """Whether the last tokens can be dropped one by one: a recurrent state cannot."""
        return not (native.llama_model_is_recurrent(self._model) or native.llama_model_is_hybrid(self._model))

    @property
    def can_write(self) -> bool:
        """Whether the model continues a text: one that was made for vectors alone remembers none of it."""
        return bool(self._memory) and not native.llama_model_has_encoder(self._model)

    def decode(self, tokens: list[int], *, every_output: bool = False) -> bool:
        """Compute the next tokens into memory, to draw after the last or after each of them.

        False when it was stopped; then memory is as before. Raises Refusal.
        """
        numbers = (native.llama_token * len(tokens))(*tokens)  # the batch only points to it
        batch = native.llama_batch_get_one(numbers, len(tokens))
        if every_output:
            wanted = (ctypes.c_int8 * len(tokens))(*[1] * len(tokens))
            batch.logits = wanted
        if self._lag:
            first = len(self.tokens) - self._lag
            places = (native.llama_pos * len(tokens))(*range(first, first + len(tokens)))
            batch.pos = places
        undo = self._undo if self.can_go_back else None
        return self._took(self._computing.decode(batch, len(tokens), undo), tokens)

    def see(self, tokens: list[int], positions: int, compute: Callable[[int], int]) -> bool:
        """Take over tokens of an image, which `compute` reads into memory from a position on, giving its status.

        False when it was stopped; then memory is as before. Raises Refusal.
        """
        if not self._took(compute(len(self.tokens) - self._lag), tokens):
            return False
        self._lag += len(tokens) - positions
        self._seen_until = len(self.tokens)
        return True

    @property
    def has_seen(self) -> bool:
        """Whether there are images in memory."""
        return self._seen_until > 0

    @property
    def last_position(self) -> int:
        """Where the last token in memory stands; -1 where there is none."""
        return int(native.llama_memory_seq_pos_max(self._memory, 0))

    def clear(self) -> None:
        """Forget everything."""
        self._forget_after(0)

    def forget_last(self, count: int) -> None:
        """Drop the last tokens from memory; only where it can go back."""
        self._forget_after(len(self.tokens) - count)

    def keep_common(self, prompt: list[int], letters: Callable[[int], bytes]) -> list[int]:
        """Keep what memory and prompt have in common, and give the prompt as it is to be read.

        The last prompt token is always computed anew. `letters` gives a token's bytes.
        """
        alike = spelled_alike(self.tokens, prompt, letters)
        prompt = alike if len(alike) < self.size else prompt
        common = common_length(self.tokens, prompt[:-1])
        if self._lag and common < self._seen_until:
            common = 0
        if self._can_return_to(common):
            self._forget_after(common)
        elif self.checkpoint.within(common) and self.checkpoint.restore():
            self._forget_after(self.checkpoint.count)
        else:
            self._forget_after(0)
        return prompt

    def pause_before(self, end: int) -> int | None:
        """Where reading up to `end` should stop for a copy of the state; None where there is no need or no memory."""
        if self.can_go_back and not self._window:
            return None
        pause = end - CHECKPOINT_BEFORE_END_TOKENS
        return pause if pause - len(self.tokens) >= CHECKPOINT_WORTH_TOKENS else None

    def remember(self) -> None:
        """Keep a copy of the state as it is now, in place of an earlier one."""
        self.checkpoint.take(len(self.tokens))

    def _can_return_to(self, count: int) -> bool:
        """Whether memory still holds all that the token after the first `count` looks back at."""
        if count == len(self.tokens):
            return True
        oldest = int(native.llama_memory_seq_pos_min(self._memory, 0))
        return self.can_go_back and (not self._window or oldest <= max(0, count - self._window))

    def _forget_after(self, count: int) -> None:
        if count < self._seen_until and self._lag:  # whose positions are not counted one by one
            count = 0
        if native.llama_memory_seq_rm(self._memory, 0, count - self._lag if count else 0, -1):
            del self.tokens[count:]
        else:  # recurrent state cannot be rolled back in part
            native.llama_memory_clear(self._memory, True)  # noqa: FBT003 - a C call
            self.tokens.clear()
        if len(self.tokens) < self._seen_until:
            self._seen_until = max((place for place, token in enumerate(self.tokens, 1) if token < 0), default=0)
        self._lag = self._lag if self.tokens else 0
        self.checkpoint.forget_after(len(self.tokens))

    def _undo(self) -> None:
        """Forget what a step that did not end left in memory."""
        native.llama_synchronize(self.pointer)  # counts what was computed here, not in the next request
        self._forget_after(len(self.tokens))

    def _took(self, status: int, tokens: list[int]) -> bool:
        if status == 0:
            self.tokens += tokens
            return True
        self._undo()
        if status == ABORTED:
            return False
        raise Refusal(f"The engine could not compute the next {len(tokens)} tokens (status {status}).", "Try again.")
