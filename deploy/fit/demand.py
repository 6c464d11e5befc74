"""What a token takes of a machine: bytes and multiplications by tensor type, and what it attends to."""

from typing import Final, NamedTuple

from deploy.catalog.model import Artifact, Cache, MemoryCurve, Model, Work
from deploy.fit.calibration import CELL_ELEMENT_BYTES, K_BLOCK, row_weight
from deploy.gguf.check import ModelFile
from deploy.gguf.ggml_types import TENSOR_TYPES

BITS: Final = {kind.name: 8 * kind.block_bytes / kind.block_elements for kind in TENSOR_TYPES.values()}
"""Of one weight, by tensor type."""
BLOCK_OF: Final = {kind.name: kind.block_elements for kind in TENSOR_TYPES.values()}
ASSUMED_NODES: Final = 1000
ASSUMED_WIDTH: Final = 2048
"""Of a model whose graph is not known."""
ASSUMED_HEAD_SIZE: Final = 128
Q8_0_BLOCK: Final = BLOCK_OF["Q8_0"]
"""Keys must be a multiple of it to be kept so."""


class Mix(NamedTuple):
    """Tensor types of a quantisation, by part."""

    plain: str
    important: str
    """What half of the important matrices have."""
    output: str


_MIXES: Final = {
    "Q2_K": Mix("Q2_K", "Q3_K", "Q6_K"),
    "Q3_K_S": Mix("Q3_K", "Q3_K", "Q6_K"),
    "Q3_K_M": Mix("Q3_K", "Q5_K", "Q6_K"),
    "Q3_K_XL": Mix("Q3_K", "Q5_K", "Q6_K"),
    "Q2_K_XL": Mix("Q2_K", "Q4_K", "Q6_K"),
    "Q4_K_S": Mix("Q4_K", "Q4_K", "Q6_K"),
    "Q4_K_M": Mix("Q4_K", "Q6_K", "Q6_K"),
    "Q4_K_XL": Mix("Q4_K", "Q6_K", "Q6_K"),
    "Q5_K_S": Mix("Q5_K", "Q5_K", "Q6_K"),
    "Q5_K_M": Mix("Q5_K", "Q6_K", "Q6_K"),
    "Q4_0": Mix("Q4_0", "Q4_0", "Q6_K"),
    "Q4_1": Mix("Q4_1", "Q4_1", "Q6_K"),
    "IQ4_XS": Mix("IQ4_XS", "IQ4_XS", "Q6_K"),
    "IQ4_NL": Mix("IQ4_NL", "IQ4_NL", "Q6_K"),
    "IQ3_XXS": Mix("IQ3_XXS", "IQ3_S", "Q5_K"),
    "IQ2_XXS": Mix("IQ2_XXS", "Q2_K", "Q5_K"),
    "IQ1_M": Mix("IQ1_M", "Q2_K", "Q5_K"),
}
"""Source: llama.cpp's quantiser (src/llama-quant.cpp). What is missing here has one type for all."""


_SMALLER_BLOCKS: Final = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_SMALLEST: Final = "IQ4_NL"
"""What the quantiser takes where rows are no multiple of that: for these types, and for the smaller ones."""


class Part(NamedTuple):
    """Weights of one type."""

    type_name: str
    bytes: float
    """That one token reads."""
    passed: float
    """Weights that each token of a prompt is multiplied with."""
    experts: bool = False


class Demand(NamedTuple):
    """What one model in one form takes."""

    graph_nodes: int
    rows: float
    """Of all matrices, as many as they would be of K types."""
    parts: tuple[Part, ...]
    caches: tuple[Cache, ...]
    """For an f16 cache."""
    queries_per_key: float
    head_size: int
    key_width: int
    """Numbers of a token's keys in one block."""
    size_bytes: int
    """All weights."""
    model_id: str = ""
    """Under which runs of it are remembered."""
    keys_apart: bool = False
    """Whether the engine can keep the keys in another type than the values."""

    @property
    def bytes(self) -> float:
        """Weights that one token reads."""
        return sum(part.bytes for part in self.parts)

    @property
    def attending_blocks(self) -> float:
        """Blocks that attend to what is in memory."""
        return sum(cache.bytes_per_cell for cache in self.caches) / CELL_ELEMENT_BYTES / max(self.key_width, 1)

    @property
    def passed(self) -> float:
        """Weights that each token of a prompt is multiplied with."""
        return sum(part.passed for part in self.parts)

    def attended(self, tokens: float) -> tuple[float, float, float]:
        """Numbers of keys, of queries and heads, each times the tokens attended to when so many are in memory."""
        keys = sum(
            min(tokens / (cache.ratio or 1), cache.max_cells or tokens) * cache.bytes_per_cell / CELL_ELEMENT_BYTES
            for cache in self.caches
        )
        queries = keys * self.queries_per_key
        return keys, queries, queries / max(self.head_size, 1)


def demand_of(model: Model, artifact: Artifact) -> Demand:
    """Of a catalogued model. Where the catalogue does not list its matrices, from its parameters alone."""
    work = model.work or _work_assumed(model)
    return Demand(
        graph_nodes=work.graph_nodes,
        rows=work.rows * row_weight(_fitting(mix_of(artifact.quant), _width(work, model.memory)).plain),
        parts=_parts(work, artifact, model.memory),
        caches=model.memory.f16.caches,
        queries_per_key=work.queries_per_key,
        head_size=work.head_size,
        key_width=round(model.memory.heads / work.queries_per_key * work.head_size),
        size_bytes=artifact.size_bytes,
        model_id=model.id,
        keys_apart=model.memory.keys_q8_0 is not None,
    )


def demand_of_file(contents: ModelFile, label: str, state_bytes: int, context_tokens: int) -> Demand:
    """Of a file, whose state for a whole context the engine was asked for."""
    kind = contents.quant
    mix = mix_of(kind)
    idle = 1 - contents.expert_used_count / contents.expert_count if contents.expert_count else 0.0
    idle_bytes = contents.expert_tensor_bytes * idle
    share = contents.parameters / max(contents.tensor_bytes, 1)
    dense_share = 1 - idle_bytes / max(contents.tensor_bytes, 1)
    dense = contents.tensor_bytes - contents.expert_tensor_bytes
    used = contents.expert_tensor_bytes - idle_bytes
    parts = [Part(mix.plain, dense, dense * share)] + ([Part(mix.plain, used, used * share, True)] if used else [])  # noqa: FBT003
    cell = Cache(bytes_per_cell=round(state_bytes / max(context_tokens, 1)))
    return Demand(
        graph_nodes=ASSUMED_NODES * contents.block_count // 30,
        rows=contents.parameters * dense_share / contents.embedding_length * row_weight(mix.plain),
        parts=tuple(parts),
        caches=(cell,),
        queries_per_key=contents.head_count / max(contents.head_count_kv, 1),
        head_size=contents.key_length or ASSUMED_HEAD_SIZE,
        key_width=contents.head_count_kv * (contents.key_length or ASSUMED_HEAD_SIZE),
        size_bytes=contents.tensor_bytes,
        model_id=label,
        keys_apart=contents.key_length > 0 and contents.key_length % Q8_0_BLOCK == 0,
    )


def mix_of(quant: str) -> Mix:
    """The types of a quantisation; of one that is not known, those of its nearest kin."""
    name = quant.upper().removeprefix("UD-")
    if name in _MIXES:
        return _MIXES[name]
    if name in BITS:
        return Mix(name, name, name)
    return _MIXES["Q4_K_M"]


def _work_assumed(model: Model) -> Work:
    """As if the active parameters were all of one kind."""
    return Work(
        graph_nodes=ASSUMED_NODES,
        rows=model.parameters_active // ASSUMED_WIDTH,
        dense=model.parameters_active,
        queries_per_key=4.0,
        head_size=ASSUMED_HEAD_SIZE,
        experts=model.parameters_total - model.parameters_active,
    )


def _parts(work: Work, artifact: Artifact, curve: MemoryCurve) -> tuple[Part, ...]:
    """By type, scaled so that all weights together have the size of the files."""
    mix = _fitting(mix_of(artifact.quant), _width(work, curve))
    dense_type = "Q8_0" if mix.plain == "MXFP4" else mix.plain
    important_type = "Q8_0" if mix.important == "MXFP4" else mix.important
    output_type = "Q8_0" if mix.output == "MXFP4" else mix.output
    used = work.experts_used / work.experts_count if work.experts_count else 0.0
    rows = [
        (dense_type, work.dense + work.important / 2, 1.0, work.last_dense, False),
        (important_type, work.important / 2, 1.0, 0, False),
        ("F32", work.whole, 1.0, 0, False),
        (mix.plain, work.experts + work.experts_important / 2, used, work.last_experts, True),
        (mix.important, work.experts_important / 2, used, 0, True),
        (output_type, work.output, 1.0, work.output, False),
    ]
    scale = _scale(work, artifact, rows, dense_type)
    return tuple(
        Part(kind, count * BITS[kind] / 8 * part * scale, max(0.0, count - left_out) * part, experts)
        for kind, count, part, left_out, experts in rows
        if count and part
    )


def _width(work: Work, curve: MemoryCurve) -> int:
    """Numbers of one token: the output matrix has so many for each word."""
    return work.output * 4 // max(curve.output_bytes, 1)


def _fitting(mix: Mix, width: int) -> Mix:
    """The types that rows of this width can have. Down projections have other rows, which mostly fit."""
    if width % K_BLOCK == 0:
        return mix
    return mix._replace(plain=_with_small_blocks(mix.plain), output=_with_small_blocks(mix.output))


def _with_small_blocks(kind: str) -> str:
    if BLOCK_OF[kind] < K_BLOCK:
        return kind
    return _SMALLER_BLOCKS.get(kind, _SMALLEST)


def _scale(work: Work, artifact: Artifact, rows: list[tuple[str, float, float, int, bool]], embedding: str) -> float:
    """How much the files are larger than the types say; an embedding beside the output matrix is not read."""
    read = sum(count * BITS[kind] / 8 for kind, count, _, _, _ in rows)
    beside = work.embedding * BITS[embedding] / 8
    apart, tied = artifact.size_bytes / max(read + beside, 1), artifact.size_bytes / max(read, 1)
    return apart if abs(apart - 1) <= abs(tied - 1) else tied
