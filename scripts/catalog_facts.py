"""The gathered facts as typed rows: what the catalogue takes from them, and nothing else."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.catalog.model import Cache, Capabilities
from scripts.catalog_tables import ALSO_TAKEN, TRUST
from scripts.gather_scores import OUT as SCORES
from scripts.gather_scores import ScoreRow
from scripts.measure_memory import OUT as BOUNDS
from scripts.measure_memory import Bounds
from scripts.measure_shapes import OUT as SHAPES
from scripts.measure_shapes import ShapeRow
from scripts.measure_work import OUT as WORKS
from scripts.measure_work import WorkRow


class LicenceRow(msgspec.Struct, frozen=True):
    """Licence as the facts have it."""

    id: str | None
    restrictions: str | None


class DefaultFile(msgspec.Struct, frozen=True):
    """The file that the facts suggest; settles which of two names of one form is the present one."""

    repo: str
    file: str


class ModelRow(msgspec.Struct, frozen=True):
    """One line of models.jsonl, as far as it is used."""

    id: str
    hub_repo: str
    family: str
    organisation: str
    country: str
    release_date: str | None
    licence: LicenceRow
    params_total: int | None
    params_active_b: float | None
    arch: str | None
    n_expert: int | None
    ctx_train: int | None
    capabilities: Capabilities
    languages: tuple[str, ...] | None
    gguf_default: DefaultFile | None
    capabilities_sources: tuple[int, ...]
    sources: tuple[str, ...]
    field_sources: dict[str, int]

    @property
    def name(self) -> str:
        """As its publisher writes it."""
        return self.hub_repo.rpartition("/")[2]


class FileRow(msgspec.Struct, frozen=True):
    """One line of gguf_files.jsonl, as far as it is used."""

    model_id: str
    repo: str
    file: str
    role: str
    quant: str | None
    variant: str | None
    trust: str
    bytes: int | None
    bytes_approx: int | None
    sha256: str | None
    revision: str | None
    split_no: int | None
    split_count: int | None
    bytes_sha_joined: bool | None
    sources: tuple[str, ...]

    @property
    def standing(self) -> int:
        """Place of whose file it is in the order of trust."""
        return TRUST.index(self.trust) if self.trust in TRUST else len(TRUST)

    @property
    def pin(self) -> str | None:
        """The hash, unless it may belong to another upload than the size."""
        return None if self.bytes_sha_joined else self.sha256

    @property
    def size_exact(self) -> bool:
        """Whether the size is known to the byte, for the upload that the hash belongs to."""
        return self.bytes is not None and not self.bytes_sha_joined

    @property
    def size_bytes(self) -> int | None:
        """The best size known."""
        return self.bytes_approx if self.bytes is None else self.bytes


class StateRow(msgspec.Struct, frozen=True):
    """KV caches and recurrent state for one KV type."""

    caches: tuple[Cache, ...]
    recurrent_bytes: int


class StatesRow(msgspec.Struct, frozen=True):
    """The state for both KV types."""

    f16: StateRow
    q8_0: StateRow


class CurveRow(msgspec.Struct, frozen=True):
    """One line of memory_curves.jsonl, as far as it is used."""

    id: str
    engine: str | None
    assumed: tuple[str, ...] | None
    metadata: dict[str, Any] | None
    state: StatesRow | None


class Metadata:
    """The hyper-parameters that a dry run was given."""

    def __init__(self, values: dict[str, Any]) -> None:
        """Look at GGUF keys and values."""
        self._values = values
        self.architecture = str(values["general.architecture"])

    def most(self, key: str) -> int:
        """A number, or the largest one where each block has its own; 0 where there is none."""
        value = self._values.get(f"{self.architecture}.{key}", 0)
        return int(max(value) if isinstance(value, list) else value)

    @property
    def widest(self) -> int:
        """Most numbers of one token that a matrix is multiplied with."""
        experts = self.most("expert_feed_forward_length") * self.most("expert_used_count")
        values = self.most("attention.value_length_mla") or self.most("attention.value_length")
        attention = self.most("attention.head_count") * values
        inner = self.most("ssm.inner_size")
        return max(self.most("embedding_length"), self.most("feed_forward_length"), experts, attention, inner)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The three tables, indexed, and the day they were gathered."""

    models: tuple[ModelRow, ...]
    files: dict[str, tuple[FileRow, ...]]
    """By the model's hub repository; files that may be taken only."""
    projectors: dict[str, tuple[FileRow, ...]]
    """By the model's hub repository; of the same publishers."""
    known: dict[str, frozenset[str]]
    """By the model's hub repository: why its other files are not taken."""
    curves: dict[str, CurveRow]
    bounds: dict[str, Bounds]
    """By model id, as the engine gave them for the context parameters that are used (see measure_memory.py)."""
    shapes: dict[str, ShapeRow]
    works: dict[str, WorkRow]
    """By model id, as the engine listed their tensors."""
    scores: tuple[ScoreRow, ...]
    """Public benchmark scores, gathered by gather_scores.py."""
    dated: str


def _lines(path: Path) -> Iterator[bytes]:
    return (line for line in path.read_bytes().splitlines() if line.strip())


def read_facts(folder: Path) -> Facts:
    """Read the tables. Raises msgspec.ValidationError where a column has changed its type."""
    files: defaultdict[str, list[FileRow]] = defaultdict(list)
    projectors: defaultdict[str, list[FileRow]] = defaultdict(list)
    known: defaultdict[str, set[str]] = defaultdict(set)
    for line in _lines(folder / "gguf_files.jsonl"):
        row = msgspec.json.decode(line, type=FileRow)
        trusted = row.trust in TRUST or row.repo in ALSO_TAKEN
        if row.role == "mmproj" and trusted and row.variant is None:
            projectors[row.model_id].append(row)
        if row.role != "model":
            continue
        if trusted and row.variant is None:
            files[row.model_id].append(row)
        else:
            known[row.model_id].add("variant" if trusted else "third-party")
    curves = [msgspec.json.decode(line, type=CurveRow) for line in _lines(folder / "memory_curves.jsonl")]
    gathered = re.search(r"^Gathered (\d{4}-\d{2}-\d{2})", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    if gathered is None:
        raise SystemExit("README.md of the facts does not say when they were gathered")
    return Facts(
        models=tuple(msgspec.json.decode(line, type=ModelRow) for line in _lines(folder / "models.jsonl")),
        files={model: tuple(rows) for model, rows in files.items()},
        projectors={model: tuple(rows) for model, rows in projectors.items()},
        known={model: frozenset(why) for model, why in known.items()},
        curves={curve.id: curve for curve in curves},
        bounds={bounds.id: bounds for bounds in map(msgspec.json.Decoder(Bounds).decode, _lines(BOUNDS))},
        works={row.id: row for row in map(msgspec.json.Decoder(WorkRow).decode, _lines(WORKS))},
        shapes={row.id: row for row in map(msgspec.json.Decoder(ShapeRow).decode, _lines(SHAPES))},
        scores=tuple(map(msgspec.json.Decoder(ScoreRow).decode, _lines(SCORES))),
        dated=gathered[1],
    )


_LOOKED_UP: Final = re.compile(r"[,;]? ?\(?(?:(?:find_string )?index ids? \d|find_string|search \w+ corpus).*$")
_PATH_IN_REPOSITORY: Final = re.compile(r"^([\w.-]+/[\w.-]+(?:@\w+)? \([\d-]+\)).*$")
_TAILS: Final = re.compile(r" \((?:single source|stated value)\)| \[mirror [^]]*\]|(?<=\d): .*$|(?<=\)): .*$")


def plain_source(text: str) -> str:
    """A source's name and version, without the path inside it and without how it was looked up."""
    text = text.rpartition(" agree: ")[2].replace(" bundled model list (PyPI/AlexsJones/llmfit, newest row ", " (")
    text = re.sub(r"\bAA\b", "Artificial Analysis", text)
    text = _PATH_IN_REPOSITORY.sub(r"\1", _TAILS.sub("", _LOOKED_UP.sub("", text)))
    return text + ")" * (text.count("(") - text.count(")"))
