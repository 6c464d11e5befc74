"""Measures a whole profile in fresh processes: wall time, peak memory, and what the slowest probes took.

python -m scripts.bench.profile [RUNS]

The medians are of this machine at this moment; no test depends on them.
"""

import json
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

PROGRAM = """
import json, time
start = time.perf_counter()
from pathlib import Path
from profiles.probe import examine
from profiles.budget import budget
loaded = time.perf_counter()
found = examine(Path.cwd())
budget(found.machine)
probes = sorted(((p.duration_s, p.name) for p in found.probes), reverse=True)[:3]
print(json.dumps({"import_s": loaded - start, "profile_s": time.perf_counter() - loaded, "slowest": probes}))
"""
RUNS = 11


def one_run() -> dict[str, Any]:
    """Profile in a fresh process, timed from the outside as well."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=60)
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"process_s": time.perf_counter() - start}


def main(runs: int) -> None:
    """Print the medians."""
    told = [one_run() for _ in range(runs)]
    for name in ("process_s", "import_s", "profile_s"):
        print(f"{name:10} median {median(run[name] for run in told):.3f}, largest {max(run[name] for run in told):.3f}")
    # The kernel counts in KiB on Linux and in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    print(f"peak memory of the largest process {peak / 1e6:.1f} MB")
    print("slowest probes of the last run: " + ", ".join(f"{name} {s * 1e3:.1f} ms" for s, name in told[-1]["slowest"]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
