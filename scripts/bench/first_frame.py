"""Seconds from process start to the first whole frame of the UI, and from Ctrl+Q to the end, over a pseudo-terminal.

python -m scripts.bench.first_frame [RUNS]
"""

import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Final

from scripts.bench.report import table, write_section

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = "import sys; sys.argv = ['landfast']; from deploy.cli import main; sys.exit(main())"
LAST_OF_THE_FRAME: Final = b"Quit"
"""The last line is painted with the rest, in one write."""
QUIT: Final = b"\x11"
LIMIT_S: Final = 20.0


def run(home: str, columns: int, rows: int) -> tuple[float, float]:
    """One start and one end: seconds to the first frame, and from the key to the end of the process."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"TERM": "xterm-256color", "LANDFAST_HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/bytecode"}
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=ROOT
    )
    os.close(slave)
    _read_until(master, process, LAST_OF_THE_FRAME)
    painted_s = time.perf_counter() - began_s
    os.write(master, QUIT)
    began_s = time.perf_counter()
    _read_until(master, process, None)
    os.close(master)
    return painted_s, time.perf_counter() - began_s


def _read_until(master: int, process: "subprocess.Popen[bytes]", wanted: bytes | None) -> None:
    """Take what the program writes until these bytes came, or until it is gone."""
    seen, deadline = b"", time.perf_counter() + LIMIT_S
    while time.perf_counter() < deadline and process.poll() is None:
        ready, _, _ = select.select([master], [], [], 0.005)
        if ready:
            try:
                seen += os.read(master, 1 << 16)
            except OSError:
                break
        if wanted is not None and wanted in seen:
            return


def main(runs: int) -> None:
    """One start that only makes the bytecode, as an install does, then the runs."""
    with tempfile.TemporaryDirectory() as home:
        run(home, 80, 24)
        times = {size: [run(home, *size) for _ in range(runs)] for size in ((80, 24), (140, 40))}
    rows = [
        (
            f"{columns} x {lines}",
            f"{statistics.median(painted for painted, _ in taken):.2f}",
            f"{min(painted for painted, _ in taken):.2f} to {max(painted for painted, _ in taken):.2f}",
            f"{statistics.median(ended for _, ended in taken):.2f}",
            f"{max(ended for _, ended in taken):.2f}",
        )
        for (columns, lines), taken in times.items()
    ]
    header = ("Terminal", "First frame: median, s", "Range, s", "Quit: median, s", "Longest, s")
    shown = table(header, rows)
    intro = (
        f"`python -m scripts.bench.first_frame`: `landfast` without arguments over a pseudo-terminal, {runs} runs: "
        "from the start of the process to the first whole frame, and from Ctrl+Q to its end. The bytecode is there, as "
        "after an install."
    )
    write_section("first-frame", f"## First frame\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
