"""`landfast calibrate`: what the engine reaches on this machine, measured in ten seconds and kept."""

import datetime as dt
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.context import Context
from deploy.commands.pace import busy_cores, fingerprint, keep_calibration
from deploy.engine.base import Trial
from deploy.engine.measure_protocol import Measured
from deploy.errors import EngineFailed
from deploy.fit.calibration import Calibration, Probe, probes, solve, thread_counts
from deploy.fit.reference import like_reference
from deploy.gguf.hollow import write_hollow
from deploy.results import Message, Result, warning
from deploy.sources.base import Progress
from profiles.budget import budget

LAST_START_S: Final = 8.0
"""No further model is begun after this, so that all is over within ten seconds."""
NEEDED: Final = 10
"""Probes without which there are no constants: graph, attention, small and large matrices, and the type of experts'
neighbours. What is left out after them is taken in proportion."""
LOOK_S: Final = 0.2
NOTED_BUSY_CORES: Final = 0.3


class CalibrateData(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and what it means."""

    calibration: Calibration
    probes_run: int
    probes_planned: int
    example_decode_tok_s: float
    """Of a dense model of 8 billion parameters in Q4_K, by these rates."""
    path: str


EXAMPLE_BYTES: Final = 4.8e9
EXAMPLE_NODES: Final = 1266
EXAMPLE_ROWS: Final = 1_700_000


def calibrate(context: Context) -> Result[CalibrateData]:
    """Measure this machine under the load of the moment. Raises EngineFailed."""
    machine = context.profile()
    threads = budget(machine).threads
    busy, started = busy_cores(LOOK_S), time.monotonic()
    planned = tuple(probes(threads))
    with tempfile.TemporaryDirectory(prefix="landfast-") as folder:
        measured = tuple(_measured(context, planned, Path(folder), started))
    _require_enough(measured)
    ran = planned[: len(measured)]
    calibration = Calibration(
        machine=fingerprint(machine),
        engine=context.engine.describe().engine,
        measured_at=dt.datetime.now(dt.UTC).replace(microsecond=0),
        seconds=round(time.monotonic() - started, 1),
        busy_cores=round(busy, 1),
        rates=solve(ran, measured, thread_counts(threads)),
        repack_bytes_s=_repack_bytes_s(ran, measured),
    )
    path = keep_calibration(context.paths, calibration)
    return Result(
        command="calibrate",
        changed=True,
        data=CalibrateData(
            calibration=calibration,
            probes_run=len(ran),
            probes_planned=len(planned),
            example_decode_tok_s=round(_example(calibration), 1),
            path=str(path),
        ),
        messages=_about(calibration),
    )


def _require_enough(measured: Sequence[Measured]) -> None:
    if len(measured) < NEEDED:
        raise EngineFailed(
            f"Only {len(measured)} of the measurements could be made in the time: the machine is too busy.",
            hint="Run `landfast calibrate` again when other programs are idle.",
        )


def _measured(context: Context, planned: Sequence[Probe], folder: Path, started: float) -> Iterator[Measured]:
    """One after the other until the time is up."""
    trials = []
    for number, probe in enumerate(planned):
        path = folder / f"{number}.gguf"
        write_hollow(path, probe.model)
        trials.append(Trial(path, probe.plan, probe.steps))
    with closing(context.engine.measure(trials)) as results:
        for number, result in enumerate(results, 1):
            yield result
            context.report(Progress(step="note", text=f"measured {planned[number - 1].name}"))
            if time.monotonic() - started > LAST_START_S and number >= NEEDED:
                return


def _repack_bytes_s(ran: Sequence[Probe], measured: Sequence[Measured]) -> float:
    """How fast weights are read and repacked; 1 GB/s where that was left out."""
    for probe, result in zip(ran, measured, strict=True):
        if probe.hold == "repacked":
            return sum(matrix.size_bytes for matrix in probe.model.matrices()) / max(result.load_s, 1e-3)
    return 1e9


def _example(calibration: Calibration) -> float:
    best = max(calibration.rates, key=lambda rates: like_reference(rates, "plain", "bytes_s", "Q4_K"))
    fixed = EXAMPLE_NODES * best.node_s + EXAMPLE_ROWS * best.row_s
    return 1 / (fixed + EXAMPLE_BYTES / like_reference(best, "plain", "bytes_s", "Q4_K"))


def _about(calibration: Calibration) -> tuple[Message, ...]:
    if calibration.busy_cores < NOTED_BUSY_CORES:
        return ()
    return (
        warning(
            f"Other programs kept {calibration.busy_cores:g} cores busy, and the figures are for that. "
            "Run `landfast calibrate` again when they are idle."
        ),
    )
