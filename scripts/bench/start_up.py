"""Wall time and memory of whole commands, from process start to end: medians, and the ratio to a bare interpreter.

python -m scripts.bench.start_up [RUNS [MODEL.gguf]]
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from scripts.bench.report import table, write_section

PROGRAM = "import sys; sys.argv[0] = 'landfast'; from deploy.cli import main; sys.exit(main())"
COMMANDS: dict[str, tuple[str, ...]] = {
    "bare Python": ("pass",),
    "landfast --help": (PROGRAM, "--help"),
    "landfast version": (PROGRAM, "version"),
    "landfast profile --json": (PROGRAM, "profile", "--json"),
    "landfast select": (PROGRAM, "select"),
    "landfast select --json": (PROGRAM, "select", "--json"),
    "landfast models": (PROGRAM, "models"),
}


KIB: int = 1 if sys.platform == "darwin" else 1024
"""In what the system counts the resident set."""


class Run(NamedTuple):
    """One process."""

    seconds: float
    peak_bytes: int


def run(arguments: Sequence[str]) -> Run:
    """One run, whatever its exit code."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Run(time.perf_counter() - started, used.ru_maxrss * KIB)


def main(runs: int, model: str | None) -> None:
    """Run all commands in turn, so that a slow minute hits each of them alike."""
    commands = COMMANDS | ({"landfast plan FILE.gguf": (PROGRAM, "plan", model)} if model else {})
    done: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, arguments in commands.items():
            done[name].append(run(arguments))
    times = {name: [one.seconds for one in found] for name, found in done.items()}
    bare = statistics.median(times["bare Python"])
    rows = [
        (
            f"`{name}`",
            f"{statistics.median(taken):.2f}",
            f"{min(taken):.2f} to {max(taken):.2f}",
            f"{statistics.median(taken) / bare:.1f}",
            f"{max(one.peak_bytes for one in done[name]) / 1e6:.0f}",
        )
        for name, taken in times.items()
    ]
    shown = table(("Command", "Median, s", "Range, s", "Times bare Python", "Most memory, MB"), rows)
    intro = f"`python -m scripts.bench.start_up`: whole processes, {runs} runs in turn, on a calibrated machine."
    write_section("start-up", f"## Start-up\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 9, sys.argv[2] if sys.argv[2:] else None)
