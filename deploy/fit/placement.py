"""Where the parts of a model go on a machine with graphics processors: which layers on which, and what stays in RAM.

The engine offloads from the end: the output first, then the layers backwards; the table of tokens always stays in host
memory. Of a mixture of experts the experts of the first layers can stay there as well, while the rest is computed on
the graphics processor. Sizes of layers are taken as even, with a margin, since the catalogue holds no list of tensors.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from deploy.catalog.model import Artifact, Model
from deploy.engine.load_plan import LoadPlan
from deploy.fit.memory import MemoryPlan, Term
from profiles.budget import Budget, Pool
from profiles.machine import Provenance

ALL_LAYERS: Final = -1
UNEVEN_LAYERS: Final = 1.05
"""How much more than an even share the layers of one device may take: quantisers keep some layers finer."""
UNEVEN_STATE: Final = 1.25
"""The same for their context: in hybrids and sliding windows some layers keep more of it."""
UNEVEN_EXPERTS: Final = 0.97
"""Of the experts' even share, what is sure to leave the graphics processor with them."""
DEVICE_COMPUTE: Final = 1.25
"""A graphics processor's compute buffer over the bound for the processor: other kernels, other scratch."""
DEVICE_FIXED_BYTES: Final = 400 << 20
"""What the driver and the compiled kernels take on a device of its own, beside what the engine reports."""
POOL_SHARE_PERCENT: Final = 85
HOST_SHARE_PERCENT: Final = 80
"""A model never takes more of a memory than this, however empty it is: other programs come and go, mostly in RAM."""


class Share(NamedTuple):
    """What one memory is given, as parts of the whole."""

    pool: Pool
    label: str
    """Unlike the pool's name it is different for each."""
    weights: float
    """Of the file's bytes."""
    common: float
    """Of what every token passes."""
    experts: float
    """Of the experts that a token passes."""
    state: float
    """Of the context."""

    @property
    def works(self) -> bool:
        """Whether anything is computed there."""
        return self.common > 0 or self.experts > 0


class Placement(NamedTuple):
    """One way to spread a model."""

    gpu_layers: int
    tensor_split: tuple[float, ...]
    experts_on_host: int
    shares: tuple[Share, ...]
    """The host's last."""

    @property
    def name(self) -> str:
        """The memories in words."""
        used = [share for share in self.shares if share.weights > 0]
        first = used[0].pool.name
        alike = sum(share.pool.name == first for share in used)
        devices = f"{alike} x {first}" if alike > 1 else first
        whole = len(used) == alike or (self.gpu_layers == ALL_LAYERS and not self.experts_on_host)
        return devices if whole else f"{devices} and {used[-1].pool.name}"


class Shape(NamedTuple):
    """A model's weights as parts of the whole."""

    layers: int
    tables: float
    """Looked up, never multiplied with: they stay in host memory."""
    experts: float
    """In experts of which a token passes through some."""

    @property
    def units(self) -> int:
        """What the engine counts as layers to offload: the layers, and the output behind them."""
        return self.layers + 1


def share_percent(pool: Pool) -> int:
    """How much of a pool a model may take at most."""
    return HOST_SHARE_PERCENT if pool.kind == "host" else POOL_SHARE_PERCENT


def room_bytes(pool: Pool) -> int:
    """What a model may take of a pool: its budget, and never more than its share of the whole."""
    total = pool.total_bytes.known
    return pool.budget_bytes if total is None else min(pool.budget_bytes, total * share_percent(pool) // 100)


def shape_of(model: Model) -> Shape:
    """What the catalogue knows of a model's make-up."""
    total = model.parameters_total
    return Shape(
        layers=max(1, model.layers),
        tables=min(0.5, model.table_parameters / total),
        experts=min(0.99, model.expert_parameters / total),
    )


Series = Sequence[Placement]
"""Ways of one kind, the fastest first: of those that fit only the first is worth having."""


def placements(model: Model, artifact: Artifact, budget: Budget) -> Iterator[Series]:
    """Every way worth trying, from all on one device to all in host memory; what cannot fit anyhow is left out."""
    shape = shape_of(model)
    devices = [pool for pool in budget.pools if pool.kind == "accelerator"]
    own = [pool for pool in devices if not pool.shared_bytes]
    for pool in devices:
        if pool.shared_bytes or room_bytes(pool) > artifact.size_bytes:
            yield (_whole(pool, own, budget),)
    for count in range(2, len(own) + 1):
        several = sorted(sorted(own, key=room_bytes, reverse=True)[:count], key=own.index)
        if sum(map(room_bytes, several)) > artifact.size_bytes:
            yield (_split(shape, several, own, shape.units, budget.host),)
            break
    yield from _partial(shape, artifact, own, budget)
    yield (Placement(0, (), 0, (Share(budget.host, budget.host.name, 1.0, 1.0, 1.0, 1.0),)),)


def _partial(shape: Shape, artifact: Artifact, own: Sequence[Pool], budget: Budget) -> Iterator[Series]:
    """Some on the devices, the rest in host memory, in steps."""
    room = sum(map(room_bytes, own))
    if not own or room >= artifact.size_bytes * 2:
        return
    if shape.experts:
        away = [-(-shape.layers * eighths // 8) for eighths in range(1, 9)]
        yield [_with_experts_on_host(shape, layers, own, budget.host) for layers in away]
    most = min(shape.layers, int(shape.units * room / artifact.size_bytes))
    steps = sorted({most * eighths // 8 for eighths in range(2, 9)} - {0, 1}, reverse=True)
    if steps:
        yield [_split(shape, own, own, units, budget.host) for units in steps]


def _whole(pool: Pool, own: Sequence[Pool], budget: Budget) -> Placement:
    """All on one device. Where there are others, the engine must be told."""
    split = tuple(float(other is pool) for other in own) if len(own) > 1 else ()
    host = Share(budget.host, budget.host.name, 0.0, 0.0, 0.0, 0.0)
    shares = (Share(pool, _label(pool, own), 1.0, 1.0, 1.0, 1.0), host)
    return Placement(ALL_LAYERS, split, 0, shares)


def _split(shape: Shape, used: Sequence[Pool], own: Sequence[Pool], units: int, host: Pool) -> Placement:
    """Layers spread over devices in proportion to their room; what is left over stays in host memory."""
    counts = _shared_out(units, [room_bytes(pool) for pool in used])
    by_pool = dict(zip(map(id, used), counts, strict=True))
    split = tuple(float(by_pool.get(id(pool), 0)) for pool in own) if len(own) > 1 else ()
    given = [
        Share(pool, _label(pool, own), *_part(shape, count)) for pool, count in zip(used, counts, strict=True) if count
    ]
    even = 1 - units / shape.units
    state = min(1.0, (1 - (units - 1) / shape.layers) * UNEVEN_STATE) if even else 0.0
    left = Share(host, host.name, min(1.0, even * UNEVEN_LAYERS), even, even, state)
    return Placement(ALL_LAYERS if units == shape.units else units, split, 0, (*given, left))


def _part(shape: Shape, count: int) -> tuple[float, float, float, float]:
    """What so many layers are of the whole: weights, what tokens pass, experts, context."""
    even = count / shape.units
    return min(1.0, even * UNEVEN_LAYERS), even, even, min(1.0, even * UNEVEN_STATE)


def _with_experts_on_host(shape: Shape, layers: int, own: Sequence[Pool], host: Pool) -> Placement:
    """The experts of the first layers in host memory, all else on the devices.

    The layers with their experts are heavier than those without, so several devices get shares by what they hold.
    """
    away = shape.experts * layers / shape.layers
    kept = 1 - layers / shape.layers
    held = 1 - away * UNEVEN_EXPERTS
    rooms = [room_bytes(pool) for pool in own]
    parts = [room / max(1, sum(rooms)) for room in rooms]
    split = _split_by_weight(shape, layers, parts) if len(own) > 1 else ()
    uneven, uneven_state = (UNEVEN_LAYERS, UNEVEN_STATE) if len(own) > 1 else (1.0, 1.0)
    given = [
        Share(
            pool,
            _label(pool, own),
            weights=min(1.0, held * part * uneven),
            common=part,
            experts=kept * part,
            state=min(1.0, part * uneven_state),
        )
        for pool, part in zip(own, parts, strict=True)
    ]
    return Placement(ALL_LAYERS, split, layers, (*given, Share(host, host.name, away, 0.0, 1 - kept, 0.0)))


def _split_by_weight(shape: Shape, light: int, parts: Sequence[float]) -> tuple[float, ...]:
    """Layers for each device so that their weights stand as `parts`; the first `light` layers have no experts there."""
    common = (1 - shape.experts - shape.tables) / shape.units
    full = common + shape.experts / shape.layers
    weights = [common] * light + [full] * (shape.units - light)
    total, filled, device = sum(weights), 0.0, 0
    counts = [0.0] * len(parts)
    for weight in weights:
        while device < len(parts) - 1 and filled + weight / 2 > total * sum(parts[: device + 1]):
            device += 1
        counts[device] += 1
        filled += weight
    return tuple(counts)


def _shared_out(units: int, rooms: Sequence[int]) -> list[int]:
    """Whole layers in proportion; the ones that are over go where the largest fraction was cut off."""
    exact = [units * room / max(1, sum(rooms)) for room in rooms]
    counts = [int(share) for share in exact]
    order = sorted(range(len(rooms)), key=lambda index: exact[index] - counts[index], reverse=True)
    for index in order[: units - sum(counts)]:
        counts[index] += 1
    return counts


def _label(pool: Pool, own: Sequence[Pool]) -> str:
    """A pool's name, with its number where another one has the same."""
    if sum(other.name == pool.name for other in own) < 2:  # noqa: PLR2004 - one of its name
        return pool.name
    return f"{pool.name} ({pool.device})"


def placed_plan(plan: LoadPlan, placement: Placement) -> LoadPlan:
    """The plan with what the placement says."""
    return msgspec.structs.replace(
        plan,
        gpu_layers=placement.gpu_layers,
        tensor_split=placement.tensor_split,
        experts_on_host=placement.experts_on_host,
    )


def placed_memory(whole: MemoryPlan, tables: float, placement: Placement) -> MemoryPlan:
    """The memory of a placed model: each term in the memory where it stands. `whole` is all of it in host memory."""
    if len(placement.shares) == 1:
        return whole
    first = placement.shares[0]
    if first.pool.shared_bytes:  # the device works in the host's memory: everything stands there once
        return MemoryPlan(terms=tuple(msgspec.structs.replace(term, pool=first.label) for term in whole.terms))
    terms = [term for share in placement.shares[:-1] for term in _on_device(whole, share)]
    return MemoryPlan(terms=(*terms, *_on_host(whole, placement.shares[-1], tables)))


def _on_device(whole: MemoryPlan, share: Share) -> Iterator[Term]:
    """A device's part of the weights, of the context, and buffers of its own."""
    for term in whole.terms:
        if term.name == "weights":
            how = f"{term.how}, {share.weights:.0%} of it at most"
            yield _moved(term, share, share.weights, how)
        elif term.name == "context":
            how = f"{term.how}, {share.state:.0%} of it at most" if share.state < 1 else term.how
            yield _moved(term, share, share.state, how)
        elif term.name == "compute buffer":
            yield _moved(term, share, DEVICE_COMPUTE, "the processor's bound and a quarter more")
    how = "driver and compiled kernels"
    yield Term(name="driver", bytes=DEVICE_FIXED_BYTES, provenance=Provenance.ASSUMED, how=how, pool=share.label)


def _moved(term: Term, share: Share, part: float, how: str) -> Term:
    """A part of a term that stands in another memory. What is not the whole of an exact figure is estimated."""
    return msgspec.structs.replace(
        term,
        bytes=int(term.bytes * part),
        provenance=term.provenance if part == 1 else Provenance.ESTIMATED,
        how=how,
        reclaimable=False,
        pool=share.label,
    )


def _on_host(whole: MemoryPlan, share: Share, tables: float) -> Iterator[Term]:
    """What stays: tables of tokens, the rest of weights and context, and all that is the process's own."""
    for term in whole.terms:
        if term.name == "weights":
            part = min(1.0, max(share.weights, tables))
            how = f"{term.how}, {part:.0%} of it: what no device holds, and the table of tokens"
            yield msgspec.structs.replace(term, bytes=int(term.bytes * part), provenance=Provenance.ESTIMATED, how=how)
        elif term.name == "context":
            if share.state:
                yield _moved(term, share, share.state, f"{term.how}, {min(1.0, share.state):.0%} of it at most")
        elif term.name != "repacked weights" or share.weights:
            yield term
