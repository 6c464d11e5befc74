"""Seals the calling process: Landlock and seccomp, else seccomp in stages alone, else it refuses.

To be called before anything starts a thread and before a byte of a model is read: Landlock covers only the
calling thread, and a parser must never run outside.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from deploy.engine.protocol import SealReport, Start
from deploy.engine.seal import darwin, places
from deploy.engine.seal.syscalls import Architecture, architecture

if sys.platform != "win32":
    from deploy.engine.seal import landlock, limits, seccomp
    from deploy.engine.seal.landlock import IOCTL_DEV, READ_DIR, READ_FILE, WRITE_FILE, Rule

ACCEPT: Final = "An administrator may allow runs without the seal; docs/security.md says how."
NOTE_UNSEALED: Final = "It runs unsealed, as asked: it may use the network and every file of this user."
NOTE_TWO_STAGE: Final = (
    "This kernel has no Landlock: until the model is in memory the engine can read this user's files, "
    "though it has nobody to tell. After that it can open none."
)
NOTE_GPU: Final = (
    "A graphics driver is in use: its device files stay open to the engine, and the files of the system's "
    "libraries can be read while it runs."
)
NOTE_DARWIN: Final = "The macOS sandbox profile was accepted; it is not verified on this platform."


class Unsealable(Exception):
    """The seal cannot be had here, and going without it was not asked for."""

    def __init__(self, message: str, hint: str = ACCEPT) -> None:
        """Keep cause and cure."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class Seal:
    """What is in force, and the way to make it narrower."""

    def __init__(self, report: SealReport, narrow: Callable[[str], None] | None = None) -> None:
        """Hold the report of what was applied at the start."""
        self.report = report
        self._narrow = narrow

    def before_model(self) -> None:
        """The engine's code is in memory: from here on files are opened for reading only. Raises Unsealable."""
        if self._narrow is not None:
            self._narrow("load")

    def after_model(self) -> None:
        """The model is in memory: from here on no file is opened at all. Raises Unsealable."""
        if self._narrow is not None:
            self._narrow("serve")


def seal(start: Start) -> Seal:
    """Give up network, files, programs and privileges, as far as this platform can. Raises Unsealable."""
    if start.unsealed:
        return Seal(SealReport(level="none", platform=sys.platform, notes=(NOTE_UNSEALED,)))
    by_platform = {"linux": _linux, "darwin": _darwin}
    if sys.platform not in by_platform:
        raise Unsealable(f"The engine cannot be sealed on this system yet ({sys.platform}).")
    try:
        return by_platform[sys.platform](start)
    except OSError as error:
        raise Unsealable(f"The engine cannot be sealed: the system refuses it ({error.strerror}).") from error


def _linux(start: Start) -> Seal:
    started = time.perf_counter()
    here = architecture()
    if here is None:
        raise Unsealable(f"The engine cannot be sealed on this processor ({os.uname().machine}).")
    _require_one_thread()
    gpu = bool(places.gpu_backends()) if start.gpu else False
    abi = _landlock_abi(start)
    if gpu and not abi:
        raise Unsealable("The engine cannot be sealed: a graphics driver needs Landlock, which this kernel lacks.")
    limits.limit_resources(len(start.files), None if gpu else start.data_limit_bytes)
    limits.drop_privileges()
    if abi:
        landlock.restrict(_rules(start, gpu=gpu), abi)
    digest = seccomp.install(seccomp.assemble("import", here, os.getpid(), gpu=gpu))
    report = SealReport(
        level="full" if abi else "two-stage",
        platform="linux",
        landlock_abi=abi,
        calls_allowed=len(seccomp.allowed("import" if gpu else "serve", gpu=gpu)),
        filter_sha256=digest,
        gpu=gpu,
        notes=(*(() if abi else (NOTE_TWO_STAGE,)), *((NOTE_GPU,) if gpu else ())),
        seconds=round(time.perf_counter() - started, 4),
    )
    return Seal(report, None if gpu else lambda stage: _narrow(stage, here))


def _narrow(stage: str, here: Architecture) -> None:
    try:
        seccomp.install(seccomp.assemble("load" if stage == "load" else "serve", here, os.getpid()))
    except OSError as error:
        raise Unsealable(f"The seal cannot be made tighter: {error.strerror}.") from error


def _landlock_abi(start: Start) -> int:
    found = landlock.supported_abi()
    return found if start.landlock_abi_at_most is None else min(found, start.landlock_abi_at_most)


def _rules(start: Start, *, gpu: bool) -> Iterator[Rule]:
    """The model by its open descriptors, so that nobody can put another file in its place."""
    for held in start.files:
        yield Rule(held, READ_FILE)
    yield Rule("/dev/null", READ_FILE | WRITE_FILE)
    for path in (*places.code_folders(), *places.SYSTEM_FILES, *(places.GPU_FILES if gpu else ())):
        yield Rule(path, READ_FILE | READ_DIR if Path(path).is_dir() else READ_FILE)
    for device in places.gpu_devices() if gpu else ():
        kept = READ_FILE | WRITE_FILE | IOCTL_DEV
        yield Rule(device, kept | READ_DIR if Path(device).is_dir() else kept)


def _require_one_thread() -> None:
    """A thread that runs already would stay outside."""
    count = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough
    if count != 1:
        raise Unsealable(f"The engine cannot be sealed: {count} threads run already.", "Please report this.")


def _darwin(start: Start) -> Seal:
    started = time.perf_counter()
    limits.limit_resources(len(start.files), None)
    darwin.restrict(darwin.profile(start.paths, places.code_folders(), gpu=start.gpu))
    report = SealReport(
        level="full",
        platform="darwin",
        gpu=start.gpu,
        notes=(NOTE_DARWIN,),
        seconds=round(time.perf_counter() - started, 4),
    )
    return Seal(report)
