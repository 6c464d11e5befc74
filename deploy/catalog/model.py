"""What the catalogue knows of a model: facts with their sources. It knows nothing of machines."""

from typing import Annotated, Literal

import msgspec

FileName = Annotated[str, msgspec.Meta(pattern=r"\A(?!\.{1,2}\Z)[^/\\\x00]+\Z")]
"""A name without folders: it becomes a path here, and an updated catalogue need not be signed."""
Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._+!-]*\Z")]
"""A project's name or version: it becomes a line that pip reads."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class CataloguedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an artifact, in the order in which the engine takes them."""

    name: FileName
    """The file's own name."""
    size_bytes: int
    size_exact: bool
    """False for a size that its source printed in rounded form: it serves planning, never verification."""
    sha256: str | None = None
    """None where no source gives one: the first download pins it."""


class HubOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files lie on a model hub."""

    repository: str
    revision: str | None
    """Commit id; None where no source gives one."""
    paths: tuple[str, ...]
    """Path in the repository of each file of the artifact, in the same order."""


class PackagePiece(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel that holds a model file or a piece of one."""

    distribution: Word
    version: Word
    wheel_sha256: Sha256
    wheel_bytes: int
    member: str
    """Path inside the wheel."""


class PackageOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """A model inside wheels: the members, one after the other, are the artifact's one file."""

    pieces: tuple[PackagePiece, ...]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One quantised form of a model that can be installed."""

    quant: str
    publisher: str
    """Who made the files: the model's own publisher or a named quantiser."""
    files: tuple[CataloguedFile, ...]
    hub: HubOrigin | None = None
    package: PackageOrigin | None = None

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def size_exact(self) -> bool:
        """Whether every file's size is exact."""
        return all(file.size_exact for file in self.files)

    @property
    def pinned(self) -> bool:
        """Whether every file's SHA-256 is known before the first byte arrives."""
        return all(file.sha256 for file in self.files)


class Cache(msgspec.Struct, frozen=True):
    """One part of the KV cache. Source: llama.cpp dry runs (see MemoryCurve)."""

    bytes_per_cell: int
    max_cells: int | None = None
    """Cap of a sliding-window cache."""
    ratio: int | None = None
    """Cells are context tokens over this, for compressed caches."""


class StateCurve(msgspec.Struct, frozen=True):
    """Exact size of the attention and recurrent state for one KV type."""

    caches: tuple[Cache, ...]
    recurrent_bytes: int


Points = tuple[tuple[int, int], ...]
"""Pairs (context tokens, bytes). Between two of them the bound is the straight line."""


class ComputeCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds of the compute buffer, by what keeps the context."""

    f16: Points
    f16_without_flash: Points
    q8_0: Points
    """The engine allows it with flash attention only."""


class KeysCurve(msgspec.Struct, frozen=True):
    """Keys alone as q8_0, which the engine allows without flash attention where keys and values stand apart."""

    state: StateCurve
    compute: Points


class MemoryCurve(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine allocates beside the weights, as it reported in no_alloc dry runs.

    The dry runs had a batch of 512 tokens, one sequence, one row of output and no full-size window caches.
    """

    engine: str
    """Engine and version that gave the figures."""
    f16: StateCurve
    q8_0: StateCurve
    f16_without_flash: StateCurve | None = None
    """Where it differs: without flash attention the engine pads values of several widths to the widest."""
    keys_q8_0: KeysCurve | None = None
    """None where the engine refuses it."""
    compute: ComputeCurve
    output_bytes: int
    """One row: four bytes for each token of the vocabulary."""
    merges: bool = True
    """Whether the vocabulary has a table of merges."""
    heads: int
    """Query heads, the most of any block; 0 for a model without attention."""
    widest: int
    """Most numbers of one token that a matrix is multiplied with."""


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token passes, in numbers of parameters, as the engine lists the model's matrices."""

    graph_nodes: int
    """Operations of which one token is computed."""
    rows: int
    """Of all matrices that it is multiplied with, of experts those that are used."""
    dense: int = 0
    """In matrices of the blocks, less those below."""
    important: int = 0
    """Values and down projections, of which quantisers keep some finer."""
    experts: int = 0
    """In all experts, less those below."""
    experts_important: int = 0
    """Their down projections."""
    whole: int = 0
    """In matrices that are not quantised: routers, convolutions."""
    output: int = 0
    embedding: int = 0
    """Looked up, and multiplied with only where it is the output matrix too."""
    last_dense: int = 0
    """Feed-forward part of the last block, which only the last token of a prompt passes."""
    last_experts: int = 0
    experts_count: int = 0
    experts_used: int = 0
    queries_per_key: float = 1.0
    """Query heads that share a key; all of them where keys are compressed."""
    head_size: int = 0


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the model was made for; None where no source says."""

    chat: bool | None = None
    reasoning: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    audio: bool | None = None
    code: bool | None = None
    """True only for models that specialise in code."""


class Licence(msgspec.Struct, frozen=True, kw_only=True):
    """Under which terms the weights come."""

    id: str
    """SPDX identifier, or LicenseRef-… where there is none."""
    restrictions: str | None
    """Notable limits in one sentence."""


Use = Literal["chat", "reasoning", "code", "tools", "vision", "long-context", "language"]
"""What a benchmark says something of."""


class ScoreSource(msgspec.Struct, frozen=True, kw_only=True):
    """Whose scores these are. Only sources whose terms allow passing them on are taken."""

    id: str
    name: str
    """With its address, as its terms want it to be named."""
    licence: str
    dated: str
    """ISO date."""


class Score(msgspec.Struct, frozen=True, array_like=True):
    """One public benchmark score of a model."""

    benchmark: str
    value: float
    """A share of 1, or a rating."""
    source: str
    """Id of its ScoreSource."""


class Merit(msgspec.Struct, frozen=True, array_like=True):
    """How good a model is for one use. Where no benchmark says, it is worked out from its size, age and kin."""

    use: Use
    points: float
    """One more stands for twice the parameters, all else equal."""
    error: float
    """Standard error, in points."""
    scores: int
    """Benchmark scores of this use behind it."""
    others: int
    """Benchmark scores of other uses behind it."""


Openness = Literal["weights", "weights-and-code", "fully-open"]
"""What is published at the least: the weights; how they were trained too; and on which data as well."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model and the files it comes in."""

    id: str
    name: str
    """As its publisher writes it."""
    family: str
    publisher: str
    country: str
    hub_repository: str | None = None
    """The publisher's own repository of the unquantised weights; people know models by it."""
    licence: Licence
    openness: Openness = "weights"
    release_date: str | None
    """ISO date."""
    parameters_total: int
    parameters_active: int
    """Parameters used per token; equal to the total for dense models."""
    layers: int = 1
    expert_parameters: int = 0
    """Of the total, those in experts of which a token passes through some. Source: the engine's list of tensors."""
    table_parameters: int = 0
    """Of the total, those that are looked up by token and not multiplied with."""
    architecture: str
    """llama.cpp's name for it."""
    context_tokens: int
    """Longest context it was trained for."""
    capabilities: Capabilities
    languages: tuple[str, ...] | None = None
    """ISO 639 codes of the languages that it was made for; None where no source says."""
    memory: MemoryCurve
    work: Work | None = None
    """None where the engine was not asked."""
    artifacts: tuple[Artifact, ...]
    projectors: tuple[Artifact, ...] = ()
    """What turns images into what the model reads, in one file each, the one to take first. All forms of the model
    share them. Empty for a model that reads text only, and where no publisher in the catalogue's list has one."""
    sources: tuple[str, ...]
    scores: tuple[Score, ...] = ()
    """Empty where no source with open terms has any."""
    merits: tuple[Merit, ...] = ()
    """Composite of the scores for each use; worked out when the catalogue is built."""


class LeftOut(msgspec.Struct, frozen=True):
    """A known model that cannot be installed, and why."""

    id: str
    name: str
    reason: str


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The whole catalogue, as one file."""

    schema: Literal["landfast.catalog/1"]
    dated: str
    """ISO date of the newest fact."""
    engine: str
    """Engine version that the memory curves belong to."""
    score_sources: tuple[ScoreSource, ...] = ()
    """Named as their licences ask."""
    models: tuple[Model, ...]
    left_out: tuple[LeftOut, ...]
