"""What is kept of this machine's speed: its calibration, and how models ran against their forecast."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from deploy.commands.context import Context
from deploy.engine.protocol import Stats
from deploy.fit.calibration import Calibration
from deploy.fit.speed import Conditions, Speed, TimedBudget
from deploy.paths import Paths
from deploy.store.files import write_durably
from profiles.budget import Budget, budget
from profiles.machine import Machine

ENGINE: Final = "llama-cpp-python"
TELLING_TOKENS: Final = 16
"""A shorter answer says little about speed."""
MOST_RUNS: Final = 5
"""So many of the last runs count."""
LEAST_RATIO, MOST_RATIO = 0.5, 2.0
LEAST_DISK_BYTES_S: Final = 1e5
"""Less is no disk that anybody loads models from."""
LOOK_S: Final = 0.1
SCHEMA: Final = "landfast.pace/1"


class KeptPace(msgspec.Struct, frozen=True, kw_only=True):
    """Promise and reality of one model on this machine."""

    forecast_tok_s: float
    """What was forecast for the last run, at the depth that it had."""
    measured_tok_s: float
    """What it did."""
    ratio: float
    """Reality over uncorrected forecast, over the last runs; later forecasts are corrected by it."""
    runs: int


class Foreseen(NamedTuple):
    """What was forecast of a model that is about to run."""

    model_id: str
    speed: Speed
    context_tokens: int


class _Disk(msgspec.Struct, frozen=True, kw_only=True):
    schema: Literal["landfast.disk/1"] = "landfast.disk/1"
    machine: str
    bytes_s: Annotated[float, msgspec.Meta(ge=LEAST_DISK_BYTES_S)]


class _Book(msgspec.Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    machine: str
    models: dict[str, KeptPace] = {}


def timed_budget(paths: Paths, machine: Machine, *, now: bool = False) -> Budget:
    """A budget with what is known of speed, and with what other programs do `now` for a model that is about to run.

    Nothing is known of a machine that is only simulated.
    """
    found = budget(machine)
    if machine.simulated:
        return found
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return TimedBudget(**fields, conditions=conditions(paths, machine, now=now))


def budget_of(context: Context, *, now: bool = False) -> Budget:
    """What a model may take of this machine, with what is known of its speed; `now` for one that is about to run."""
    found = timed_budget(context.paths, context.profile(), now=now)
    if not (context.repeatable and isinstance(found, TimedBudget)):
        return found
    return msgspec.structs.replace(found, conditions=msgspec.structs.replace(found.conditions, repeatable=True))


def conditions(paths: Paths, machine: Machine, *, now: bool) -> Conditions:
    """What was measured here before; a choice that is made for longer does not look at the load of the moment."""
    calibration = read_calibration(paths, machine)
    known_as = fingerprint(machine)
    kept = _read_book(paths, known_as).models
    return Conditions(
        machine=known_as,
        calibration=calibration,
        busy_cores=busy_cores(LOOK_S) if now else 0.0,
        disk_bytes_s=_read_disk_rate(paths, known_as),
        corrections={model: found.ratio for model, found in kept.items()},
    )


def fingerprint(machine: Machine) -> str:
    """What decides speed, as one number: another processor or another memory is another machine."""
    cpu = machine.cpu
    facts = (
        machine.operating_system.known,
        machine.architecture.known,
        cpu.model.known,
        cpu.logical_cores.known,
        cpu.instruction_sets.known,
        machine.memory.total_bytes.known,
        tuple((limit.name, limit.cores.known) for limit in machine.limits.cpu),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def busy_cores(seconds: float) -> float:
    """How many cores other programs keep busy, looked at for so long. 0 where it cannot be told.

    What other threads of this program do meanwhile, such as the UI's, does not count: it ends before the model runs.

    What runs at a lower priority than ours does not count: it gives way.
    """
    before, own_s = _busy_ticks(), time.process_time()
    if before is None:
        return 0.0
    time.sleep(seconds)
    after, own_s = _busy_ticks(), time.process_time() - own_s
    return 0.0 if after is None else max(0.0, ((after - before) / os.sysconf("SC_CLK_TCK") - own_s) / seconds)


def _busy_ticks() -> int | None:
    """User, system, interrupts and stolen time; nice, idle and waiting for disks are left out (proc(5))."""
    try:
        words = Path("/proc/stat").read_text("ascii").split(maxsplit=9)
    except OSError:
        return None
    return sum(int(words[column]) for column in (1, 3, 6, 7, 8))


def keep_calibration(paths: Paths, calibration: Calibration) -> Path:
    """Write it down in place of an earlier one."""
    path = _calibration_path(paths)
    _write(path, msgspec.json.format(msgspec.json.encode(calibration), indent=2))
    return path


def keep_disk_rate(paths: Paths, machine: Machine, bytes_s: float) -> None:
    """Write down how fast the store's disk was read, for forecasts of how long loading takes."""
    with suppress(OSError):  # what cannot be kept is assumed
        _write(_disk_path(paths), msgspec.json.encode(_Disk(machine=fingerprint(machine), bytes_s=bytes_s)))


def _read_disk_rate(paths: Paths, known_as: str) -> float | None:
    try:
        found = msgspec.json.decode(_disk_path(paths).read_bytes(), type=_Disk)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.bytes_s if found.machine == known_as else None


def read_calibration(paths: Paths, machine: Machine) -> Calibration | None:
    """What was measured on this machine with this engine; None where nothing was, or where it cannot be read."""
    try:
        found = msgspec.json.decode(_calibration_path(paths).read_bytes(), type=Calibration)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.machine == fingerprint(machine) and _is_of_this_engine(found.engine) else None


def kept_run(paths: Paths, model_id: str) -> KeptPace | None:
    """How a model ran on the machine that was last written of."""
    return _book(paths).models.get(model_id)


def keep_run(paths: Paths, machine: str, foreseen: Foreseen, stats: Stats) -> None:
    """Compare a run with its forecast, and keep the difference. A run that says little is left out."""
    if stats.decode_tokens < TELLING_TOKENS or not stats.decode_tok_s:
        return
    forecast = _forecast_at(foreseen, stats.prompt_tokens + stats.answer_tokens / 2)
    if forecast is None:
        return
    model_id = foreseen.model_id
    book = _read_book(paths, machine)
    before = book.models.get(model_id)
    ratio = stats.decode_tok_s / (forecast / (before.ratio if before else 1.0))
    runs = before.runs + 1 if before else 1
    if before is not None:
        ratio = before.ratio + (ratio - before.ratio) / min(runs, MOST_RUNS)
    kept = KeptPace(
        forecast_tok_s=round(forecast, 2),
        measured_tok_s=round(stats.decode_tok_s, 2),
        ratio=round(min(max(ratio, LEAST_RATIO), MOST_RATIO), 3),
        runs=runs,
    )
    with suppress(OSError):  # what cannot be kept is measured again
        _write(
            _book_path(paths), msgspec.json.encode(_Book(machine=book.machine, models=book.models | {model_id: kept}))
        )


def _forecast_at(foreseen: Foreseen, depth_tokens: float) -> float | None:
    """Between the two depths for which there is a forecast a token's time grows in proportion."""
    empty, half = foreseen.speed.decode_empty_tok_s.known, foreseen.speed.decode_tok_s.known
    if not empty or not half:
        return None
    share = depth_tokens / max(foreseen.context_tokens / 2, 1)
    return 1 / max(1 / empty + share * (1 / half - 1 / empty), 1e-6)


def _read_book(paths: Paths, machine: str) -> _Book:
    book = _book(paths)
    return book if book.machine == machine else _Book(machine=machine)


def _book(paths: Paths) -> _Book:
    try:
        return msgspec.json.decode(_book_path(paths).read_bytes(), type=_Book)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _Book(machine="")


def _is_of_this_engine(engine: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return engine.startswith(f"{ENGINE} {version(ENGINE)} ")
    except PackageNotFoundError:
        return False


def _calibration_path(paths: Paths) -> Path:
    return paths.state / "calibration.json"


def _disk_path(paths: Paths) -> Path:
    return paths.state / "disk.json"


def _book_path(paths: Paths) -> Path:
    return paths.state / "pace.json"


def _write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, raw)
