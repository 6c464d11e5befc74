"""What the parent and the engine process say to each other about the speed of the engine on this machine."""

import msgspec

from deploy.engine.load_plan import LoadPlan


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that are computed at once, again and again: one to see how fast it writes, many how fast it reads."""

    threads: int
    tokens: int
    depth_tokens: int = 0
    """How many are in memory before."""
    least: int = 2
    repeats: int = 64
    limit_s: float = 0.1
    """When no further repetition is begun, once the least are done."""


class Measure(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Load a model, time steps on it, and forget it again."""

    paths: tuple[str, ...]
    plan: LoadPlan
    steps: tuple[Step, ...]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How long one step took, each time."""

    step: Step
    seconds: tuple[float, ...]


class Measured(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """All steps of a measurement, in order."""

    load_s: float
    graph_nodes: int
    """Operations of which a token is computed."""
    timings: tuple[Timing, ...]
