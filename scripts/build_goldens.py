"""Writes what is chosen on every reference machine for every use, for people to read and for a test to compare.

    python -m scripts.build_goldens [MACHINE ...]

One file a machine in tests/deploy/goldens/. Run it after a change of catalogue, quality, memory, speed or ranking, and
read the difference (git diff tests/deploy/goldens) before it is kept.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.catalog import loader
from deploy.catalog.model import Artifact, Model
from deploy.fit.fit import Fit, Placed, PoolUse, Workload, judged, place
from deploy.fit.rank import Ranked, Ranking, rank_fitted
from deploy.fit.sight import default_projector
from deploy.fit.suit import PURPOSES, Purpose
from deploy.quantities import gigabytes
from profiles.budget import Budget, budget
from profiles.simulated import list_machines, load_machine

OUT: Final = Path(__file__).resolve().parent.parent / "tests" / "deploy" / "goldens"
SHOWN: Final = 5


def golden(name: str) -> str:
    """The text of one machine."""
    found = budget(load_machine(name))
    return text_of(name, found, rankings(found))


def rankings(found: Budget) -> dict[Purpose, Ranking]:
    """The order for every use. Where a model is placed depends on the use only by its projector, and is found once."""
    catalog = loader.load()
    places: dict[tuple[str, str, bool], Placed] = {}

    def placed(model: Model, artifact: Artifact, workload: Workload) -> Placed:
        name = (model.id, artifact.quant, default_projector(model, workload.purpose) is not None)
        if name not in places:
            places[name] = place(model, artifact, found, workload)
        return places[name]

    def ranking(workload: Workload) -> Ranking:
        def fitted(model: Model, artifact: Artifact) -> Fit:
            return judged(model, artifact, placed(model, artifact, workload), workload)

        return rank_fitted(catalog, fitted, workload, _everywhere)

    return {purpose: ranking(Workload(purpose=purpose)) for purpose in PURPOSES}


def text_of(name: str, found: Budget, by_use: Mapping[Purpose, Ranking]) -> str:
    """What is chosen, as people read it."""
    lines = [f"{name}: {_pools(found)}; {found.threads} threads"]
    for purpose, ranking in by_use.items():
        lines += ["", f"{purpose}: {len(ranking.ranked)} of {len(ranking.ranked) + len(ranking.refused)} will do"]
        lines += [line for number, one in enumerate(ranking.ranked[:SHOWN], start=1) for line in _shown(number, one)]
        lines.append(f"   refused: {_refusals(ranking)}")
    return "\n".join(lines) + "\n"


def _pools(found: Budget) -> str:
    return ", ".join(f"{gigabytes(pool.budget_bytes)} in {pool.name}" for pool in found.pools)


def _everywhere(_model: Model, _artifact: Artifact) -> tuple[bool, str]:
    return True, "assumed"


def _shown(place: int, one: Ranked) -> Iterator[str]:
    it = one.fit
    speed = it.speed.decode_tok_s.known or 0.0
    takes = ", ".join(map(_use, it.pools))
    points = it.quality.known or 0.0
    yield f"{place}. {it.id}: {points:.1f} points, {speed:.0f} tok/s, {takes}"
    yield f"   {one.why}"
    yield f"   quality: {it.quality.source}"


def _use(use: PoolUse) -> str:
    return f"{gigabytes(use.peak_bytes)} of {gigabytes(use.room_bytes)} in {use.name}"


def _refusals(ranking: Ranking) -> str:
    count = Counter(one.fit.verdict for one in ranking.refused)
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(count.items())) or "none"


def main(arguments: Sequence[str]) -> None:
    """Write the machines named, or all."""
    OUT.mkdir(exist_ok=True)
    for name in arguments or list_machines():
        (OUT / f"{name}.txt").write_text(golden(name), "utf-8")
        print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
