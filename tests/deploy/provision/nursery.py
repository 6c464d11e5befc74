"""A process that applies site files and dies of it: forks one that is killed for each line it reads.

A line holds, with tabs between them: at which change of the disk to die, the home, the site file.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.deploy.provision.kit import applied, host

CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "chmod", "rmdir", "link", "symlink", "ftruncate", "write")


def fused(nth: int) -> None:
    """From now on, kill this process at the n-th call that changes the disk: odd ones before it, even ones after."""
    left = [nth]

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def deadly(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and nth % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            last = left[0] == 0
            try:
                return call(*args, **kwargs)
            finally:
                if last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return deadly

    for name in CALLS:
        setattr(os, name, guarded(getattr(os, name)))


def one(nth: int, home: str, path: str) -> str:
    """Fork, die at the n-th change, and say which way it ended."""
    child = os.fork()
    if child == 0:
        fused(nth)
        applied(host(Path(home)), path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else "done" if status == 0 else "failed"


def main() -> None:
    """Serve until there are no more lines; or, as `once`, apply and be killed by somebody else."""
    if sys.argv[1:2] == ["once"]:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        applied(host(Path(sys.argv[2])), sys.argv[3])
        return
    for line in sys.stdin:
        nth, home, path = line.rstrip("\n").split("\t")
        sys.stdout.write(f"{one(int(nth), home, path)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
