"""Asks the engine of which tensors every model is made: how many layers, and what is experts and tables of tokens.

    python -m scripts.measure_shapes FACTS_DIR

Writes one line a model to scripts/data/shapes.jsonl, which build_catalog.py merges; placement needs it to tell what
goes where. Needs Linux on x86-64 (see dry_run.py).
"""

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from scripts.measure_memory import CurveRow

OUT: Final = Path(__file__).resolve().parent / "data" / "shapes.jsonl"
TABLES: Final = ("token_embd.weight", "per_layer_token_embd.weight")
"""What is looked up and not multiplied with; the engine keeps it in host memory."""


class ShapeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file, in numbers of parameters."""

    id: str
    layers: int
    all: int
    """All that the engine would create, optional tensors too."""
    experts: int
    """In experts of which a token passes through some."""
    tables: int


def shape(row: CurveRow) -> ShapeRow:
    """Add up the tensors of one model. Raises ValueError where the facts have no dry run of it."""
    from scripts.dry_run import DryRun

    if row.metadata is None:
        raise ValueError("the facts have no dry run of it")
    sizes = {name: math.prod(max(1, side) for side in sides) for name, sides in DryRun(row.metadata).tensors().items()}
    return ShapeRow(
        id=row.id,
        layers=int(row.metadata[f"{row.metadata['general.architecture']}.block_count"]),
        all=sum(sizes.values()),
        experts=sum(count for name, count in sizes.items() if "_exps" in name),
        tables=sum(sizes.get(name, 0) for name in TABLES),
    )


def main(arguments: Sequence[str]) -> None:
    """Measure every model of the facts that the engine knows, each in a process of its own."""
    if list(arguments) == ["--child"]:
        row = msgspec.json.decode(sys.stdin.buffer.read(), type=CurveRow)
        sys.stdout.buffer.write(msgspec.json.encode(shape(row)) + b"\n")
        return
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    lines = (Path(arguments[0]) / "memory_curves.jsonl").read_bytes().splitlines()
    known = [line for line in lines if msgspec.json.decode(line, type=CurveRow).metadata is not None]
    command = [sys.executable, "-m", "scripts.measure_shapes", "--child"]
    written = [subprocess.run(command, input=line, capture_output=True, check=True).stdout for line in known]
    OUT.write_bytes(b"".join(written))
    print(f"{len(written)} models in {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
