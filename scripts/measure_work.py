"""Asks the engine what a token passes in every model: matrices by their part, and operations of the graph.

    python -m scripts.measure_work FACTS_DIR

Writes one line a model to scripts/data/work.jsonl, which build_catalog.py merges; the speed forecast needs it. Needs
Linux on x86-64 (see dry_run.py).
"""

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.catalog.model import Work
from deploy.engine.load_plan import LoadPlan
from scripts.measure_memory import CurveRow

OUT: Final = Path(__file__).resolve().parent / "data" / "work.jsonl"
TABLES: Final = frozenset({"token_embd.weight", "per_layer_token_embd.weight", "position_embd.weight"})
"""What is looked up and not multiplied with."""
KEPT_WHOLE: Final = re.compile(r"gate_inp|ssm_(?:a|d|conv|dt)|conv1d|shortconv\.conv|rope|sinks")
"""Matrices that quantisers leave alone."""
IMPORTANT: Final = re.compile(r"attn_v\.|ffn_down")
NODES: Final = re.compile(r"graph nodes *= *(\d+)|graph.*?: nodes = (\d+)(?: / (\d+))?")


class WorkRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file."""

    id: str
    work: Work


def part_of(name: str) -> str:
    """Which figure of Work a matrix counts to."""
    if KEPT_WHOLE.search(name):
        return "whole"
    if name == "output.weight":
        return "output"
    important = IMPORTANT.search(name) is not None
    if "_exps" in name:
        return "experts_important" if important else "experts"
    return "important" if important else "dense"


def work_of(metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], graph_nodes: int) -> Work:
    """Add up the matrices of one model."""
    of = str(metadata["general.architecture"])
    last = f"blk.{int(metadata[f'{of}.block_count']) - 1}.ffn"
    sums: Counter[str] = Counter()
    used = _most(metadata.get(f"{of}.expert_used_count", 0))
    rows = 0
    for name, shape in tensors.items():
        count = math.prod(max(1, side) for side in shape)
        if len([side for side in shape if side > 1]) < 2 or name in TABLES or "norm" in name or "bias" in name:  # noqa: PLR2004 - a matrix has two sides
            continue
        rows += shape[1] * (used if "_exps" in name else 1)
        sums[part_of(name)] += count
        if name.startswith(last) and "gate_inp" not in name:
            sums["last_experts" if "_exps" in name else "last_dense"] += count
    sums["embedding"] = math.prod(max(1, side) for side in tensors["token_embd.weight"])
    sums["output"] = sums["output"] or sums["embedding"]
    heads, kv_heads = (_most(metadata.get(f"{of}.attention.{key}", 0)) for key in ("head_count", "head_count_kv"))
    latent = int(metadata.get(f"{of}.attention.kv_lora_rank", 0))
    return Work(
        graph_nodes=graph_nodes,
        rows=rows,
        experts_count=_most(metadata.get(f"{of}.expert_count", 0)),
        experts_used=used,
        queries_per_key=heads if latent else heads / max(kv_heads, 1),
        head_size=int(metadata.get(f"{of}.attention.key_length", 0))
        or int(metadata[f"{of}.embedding_length"]) // max(heads, 1),
        **sums,
    )


def _most(value: Any) -> int:
    return max(map(int, value), default=0) if isinstance(value, list) else int(value)


def measure(row: CurveRow) -> WorkRow:
    """One model. Raises ValueError where the facts have no dry run of it."""
    from scripts.dry_run import DryRun

    if row.metadata is None:
        raise ValueError("the facts have no dry run of it")
    dry = DryRun(row.metadata)
    dry.context(LoadPlan(context_tokens=512))
    found = [match for _, line in dry.log.lines if (match := NODES.search(line))]
    nodes = int(next(number for number in reversed(found[-1].groups()) if number))
    return WorkRow(id=row.id, work=work_of(row.metadata, dry.tensors(), nodes))


def main(arguments: Sequence[str]) -> None:
    """Measure every model of the facts that the engine knows, each in a process of its own."""
    if list(arguments) == ["--child"]:
        row = msgspec.json.decode(sys.stdin.buffer.read(), type=CurveRow)
        sys.stdout.buffer.write(msgspec.json.encode(measure(row)) + b"\n")
        return
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    command = [sys.executable, "-m", "scripts.measure_work", "--child"]
    lines = (Path(arguments[0]) / "memory_curves.jsonl").read_bytes().splitlines()
    known = [line for line in lines if msgspec.json.decode(line, type=CurveRow).metadata is not None]
    written = [subprocess.run(command, input=line, capture_output=True, check=True).stdout for line in known]
    OUT.write_bytes(b"".join(written))
    print(f"{len(written)} models in {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
