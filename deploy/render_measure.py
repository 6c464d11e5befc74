"""Results of measurements as text for people."""

from deploy.commands.calibrate import CalibrateData
from deploy.fit.calibration import Rates
from deploy.terminal import new_table, out, put


def calibration(data: CalibrateData) -> None:
    """What it means first, then what was measured."""
    found = data.calibration
    put(f"✓ This machine is calibrated: {found.seconds:g} s, {data.probes_run} small models.")
    put(f"  A dense model of 8 B in Q4_K would write about {data.example_decode_tok_s:g} tok/s.")
    out().print()
    figures = (*(f"{rates.threads} threads, GB/s" for rates in found.rates), "reading, G operations/s")
    table = new_table("Weights", *figures, right=figures)
    most = found.rates[-1]
    for hold, label in (("plain", ""), ("repacked", " repacked"), ("experts", " experts")):
        for kind in getattr(most, hold).bytes_s:
            row = [f"{_of(rates, hold, 'bytes_s', kind) / 1e9:.1f}" for rates in found.rates]
            table.add_row(f"{kind}{label}", *row, f"{_of(most, hold, 'operations_s', kind) / 1e9:.0f}")
    out().print(table)
    if data.probes_run < data.probes_planned:
        left_out = data.probes_planned - data.probes_run
        put(f"\n  {left_out} of {data.probes_planned} did not fit into the time; they are taken in proportion.")
    put(f"\n  Kept in {data.path}")


def _of(rates: Rates, hold: str, what: str, kind: str) -> float:
    return float(getattr(getattr(rates, hold), what)[kind])
