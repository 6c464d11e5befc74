"""Breaks a GGUF file at random, case after case, and looks for anything but an orderly answer of the checker.

Run from the repository's root: python -m scripts.fuzz_gguf --cases 300000 [--seed 1] [--file header.gguf]
"""

import argparse
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from deploy.errors import LandfastError
from deploy.gguf.check import inspect
from deploy.gguf.reader import read_header
from tests.support.gguf import tiny_model

EDGES = (0, 1, 2, 3, 8, 9, 12, 255, 4096, 65535, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
SLOW_S = 5.0


def mutated(data: bytes, reach: int, dice: random.Random) -> bytes:
    """Apply one to four changes, each of a random kind, at random places before `reach`."""
    broken = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(min(reach, len(broken)) + 1)
        width = dice.choice((1, 2, 4, 8, 32))
        match dice.randrange(6):
            case 0:
                broken[place : place + 1] = bytes([dice.randrange(256)])
            case 1:
                broken[place : place + 8] = struct.pack("<Q", dice.choice(EDGES))
            case 2:
                broken[place : place + 4] = struct.pack("<I", dice.choice(EDGES) & 0xFFFFFFFF)
            case 3:
                del broken[place : place + width]
            case 4:
                start = dice.randrange(len(broken) + 1)
                broken[place:place] = broken[start : start + width * 8]
            case _:
                del broken[place + dice.randrange(64) :]
    return bytes(broken)


def outcomes(data: bytes, path: Path, cases: int, seed: int) -> Iterator[tuple[str, float]]:
    """Yield what became of each case and how long it took. An error that is none of ours ends the run."""
    path.write_bytes(data)
    reach = read_header(path).data_offset
    for case in range(cases):
        path.write_bytes(mutated(data, reach, random.Random(f"{seed}/{case}")))  # noqa: S311 - not for secrets
        start = time.perf_counter()
        try:
            inspect(path)
            outcome = "passed"
        except LandfastError as error:
            outcome = error.code
        except BaseException:
            print(f"case {case} of seed {seed} broke the checker", file=sys.stderr)
            raise
        yield outcome, time.perf_counter() - start


def main() -> int:
    """Run the cases and print a summary; status 1 when a case took too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", type=Path, help="start from this file instead of a tiny model")
    options = parser.parse_args()
    data = options.file.read_bytes() if options.file else tiny_model().build()
    counts: Counter[str] = Counter()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for outcome, seconds in outcomes(data, Path(folder) / "model.gguf", options.cases, options.seed):
            counts[outcome] += 1
            slowest_s = max(slowest_s, seconds)
    print(f"{options.cases:,} cases: {dict(counts.most_common())}; the slowest took {slowest_s * 1000:.1f} ms")
    return int(slowest_s > SLOW_S)


if __name__ == "__main__":
    sys.exit(main())
