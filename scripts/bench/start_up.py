"""Wall time of whole commands, from process start to end: medians, and the ratio to a bare interpreter.

python -m scripts.bench.start_up [RUNS]
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

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


def seconds(arguments: Sequence[str]) -> float:
    """One run, whatever its exit code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", *arguments], capture_output=True, check=False)
    return time.perf_counter() - started


def main(runs: int) -> None:
    """Run all commands in turn, so that a slow minute hits each of them alike."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    bare = statistics.median(times["bare Python"])
    rows = [
        (
            f"`{name}`",
            f"{statistics.median(taken):.2f}",
            f"{min(taken):.2f} to {max(taken):.2f}",
            f"{statistics.median(taken) / bare:.1f}",
        )
        for name, taken in times.items()
    ]
    shown = table(("Command", "Median, s", "Range, s", "Times bare Python"), rows)
    intro = f"`python -m scripts.bench.start_up`: whole processes, {runs} runs in turn."
    write_section("start-up", f"## Start-up\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
