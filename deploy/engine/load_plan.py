"""How a model is loaded: what fit decides and the engine obeys."""

from typing import Final, Literal

import msgspec

RESERVED_ROWS: Final = 16
"""Rows of output come by so many: their numbers are the first thing in the compute buffer, four bytes each. With fewer
everything behind them lies across the lines of the processor's cache, and prompts are read 4 to 9 % slower."""


KvType = Literal["f16", "q8_0/f16", "q8_0"]
"""How keys and values are kept; of two types the first is that of the keys. The engine takes q8_0 values with flash
attention only."""


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly how a model is loaded. Made by fit, obeyed by the engine, kept with a session."""

    context_tokens: int
    batch_tokens: int = 512
    """Tokens that are read in one step, and the physical batch: the compute buffer grows with it."""
    kv_type: KvType = "f16"
    threads: int = 1
    flash_attention: bool = True
    load_mode: Literal["mmap", "read"] = "mmap"
    """Mapped weights are page cache, which the kernel may take back; read weights are not."""
    repack: bool = False
    """Weights repacked for this processor: a second, anonymous copy of them."""
    gpu_layers: int = 0
    """Of the layers and the output behind them, how many at the end are computed on graphics processors; -1 for all."""
    tensor_split: tuple[float, ...] = ()
    """Shares of those for each graphics processor, in the engine's order; empty leaves it to the engine."""
    experts_on_host: int = 0
    """Of a mixture of experts, in how many layers, from the first, the experts stay in host memory."""
    speculation_tokens: int = 0
    """Most tokens that are guessed from the text so far and checked in one step; 0 is none. Every one of them needs
    a row of the vocabulary more in the output buffer and in the compute buffer."""
    checkpoint_bytes: int = 0
    """Most memory for a copy of the state after the prompt, where a model's memory cannot go back by itself (sliding
    windows, recurrent layers), so that the next turn need not read everything again; 0 is none."""
    vectors: bool = False
    """Whether it is loaded to make vectors of texts, of `context_tokens` at most, and not to answer."""
    data_limit_bytes: int | None = None
    """Most memory of its own that the process may take, mapped weights not counted; None is no limit."""

    @property
    def output_rows(self) -> int:
        """Most rows of the vocabulary that one step gives."""
        return 1 + self.speculation_tokens

    @property
    def reserved_rows(self) -> int:
        """Rows of the vocabulary that the compute buffer has room for."""
        return -(-self.output_rows // RESERVED_ROWS) * RESERVED_ROWS
