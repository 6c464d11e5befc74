"""The speed of a model that stands in several memories: a token passes through all of them, one after the other."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from deploy.engine.load_plan import LoadPlan
from deploy.fit.demand import Demand
from deploy.fit.placement import Placement, Share
from deploy.fit.speed import UNCALIBRATED, Conditions, Range, Speed, forecast
from profiles.machine import Fact, Provenance


class Asked(NamedTuple):
    """What is forecast, apart from where it stands."""

    demand: Demand
    cores: int
    plan: LoadPlan
    conditions: Conditions = UNCALIBRATED


def spread_forecast(asked: Asked, placement: Placement) -> Speed:
    """What a person will see of a placed model."""
    parts = [
        forecast(part_of(asked.demand, share), share.pool, asked.cores, asked.plan, asked.conditions)
        for share in placement.shares
        if share.works
    ]
    return parts[0] if len(parts) == 1 else combined(parts)


def part_of(demand: Demand, share: Share) -> Demand:
    """What one memory has to do of the whole."""
    if share.common >= 1 and share.experts >= 1:
        return demand
    done = [(part, share.experts if part.experts else share.common) for part in demand.parts]
    steps = max(share.common, share.experts / 2)
    return demand._replace(
        parts=tuple(p._replace(bytes=p.bytes * d, passed=p.passed * d) for p, d in done if d > 0),
        graph_nodes=max(1, round(demand.graph_nodes * steps)),
        rows=demand.rows * steps,
        caches=tuple(
            msgspec.structs.replace(cache, bytes_per_cell=round(cache.bytes_per_cell * share.common))
            for cache in demand.caches
        ),
        size_bytes=int(demand.size_bytes * share.weights),
    )


def combined(parts: Sequence[Speed]) -> Speed:
    """The times of the parts, added up."""
    return Speed(
        decode_tok_s=_fact(parts, lambda speed: speed.decode_tok_s),
        decode_range=_range(parts, lambda speed: speed.decode_range),
        decode_empty_tok_s=_fact(parts, lambda speed: speed.decode_empty_tok_s),
        prefill_tok_s=_fact(parts, lambda speed: speed.prefill_tok_s),
        prefill_range=_range(parts, lambda speed: speed.prefill_range),
        first_token_s=_sum(parts, lambda speed: speed.first_token_s),
        load_s=_sum(parts, lambda speed: speed.load_s),
    )


def _one_after_another(rates: Sequence[float]) -> float:
    return round(1 / sum(1 / rate for rate in rates), 1) if all(rates) else 0.0


def _fact(parts: Sequence[Speed], of: Callable[[Speed], Fact[float]]) -> Fact[float]:
    facts = [of(part) for part in parts]
    rate = _one_after_another([fact.known or 0.0 for fact in facts])
    return Fact(rate, "; then ".join(fact.source for fact in facts), Provenance.ESTIMATED)


def _range(parts: Sequence[Speed], of: Callable[[Speed], Range]) -> Range:
    ranges = [of(part) for part in parts]
    least, most = ([getattr(one, end) for one in ranges] for end in ("least", "most"))
    return Range(_one_after_another(least), _one_after_another(most))


def _sum(parts: Sequence[Speed], of: Callable[[Speed], Fact[float]]) -> Fact[float]:
    facts = [of(part) for part in parts]
    return Fact(round(sum(fact.known or 0.0 for fact in facts), 2), facts[0].source, facts[0].provenance)
