"""llama.cpp's own programs, as the engine's package brings them when it is built with them, for comparison.

CMAKE_ARGS="-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_TOOLS_INSTALL=ON
-DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF" pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36
installs them; the benchmarks are then run by that environment's interpreter, so that both sides are one build.
"""

import os
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.engine.load_plan import LoadPlan


class BenchRow(msgspec.Struct, frozen=True):
    """One test of llama-bench, as far as it is used."""

    n_prompt: int
    n_gen: int
    n_depth: int
    samples_ts: tuple[float, ...]
    """Tokens per second of each repetition."""

    @property
    def tok_s(self) -> float:
        """Their median."""
        return statistics.median(self.samples_ts)


def program(name: str) -> tuple[Path, dict[str, str]]:
    """One of the programs, and the environment that it needs. Raises SystemExit where it was not built."""
    packages = Path(sysconfig.get_path("platlib"))
    path = packages / "bin" / name
    if not path.exists():
        raise SystemExit(f"{sys.executable} has no {name}: see the head of scripts/bench/tools.py")
    return path, os.environ | {"LD_LIBRARY_PATH": str(packages / "lib")}


def bench(model: Path, options: Sequence[str], repetitions: int = 1) -> list[BenchRow]:
    """Run llama-bench with these options; it warms up by itself."""
    path, environment = program("llama-bench")
    command: list[str | Path] = [path, "-m", model, "-r", str(repetitions), "-o", "json", *options]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=list[BenchRow])


def as_options(plan: LoadPlan) -> list[str]:
    """A plan in llama-bench's words."""
    keys, _, values = plan.kv_type.partition("/")
    return [
        *("-t", str(plan.threads)),
        *("-fa", "on" if plan.flash_attention else "off"),
        *("--repack", str(int(plan.repack))),
        *("-lm", "mmap" if plan.load_mode == "mmap" else "none"),
        *("-ctk", keys, "-ctv", values or keys),
        *("-ub", str(plan.batch_tokens)),
    ]
