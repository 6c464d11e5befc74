"""Makes the engine's wheel complete: a bare host has no OpenMP runtime, which comes with compilers.

The engine's libraries look for others beside themselves first ($ORIGIN), so the runtime is put there.
"""

import base64
import ctypes
import hashlib
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.errors import NotFound

LIBRARIES: Final = "llama_cpp/lib/"
RUNTIME: Final = "libgomp.so.1"
NOTICE: Final = LIBRARIES + "libgomp.NOTICE"
NOTICE_TEXT: Final = (
    b"libgomp.so.1 is the GNU Offloading and Multi Processing Runtime Library, part of GCC.\n"
    b"Licence: GPL-3.0-or-later WITH GCC-exception-3.1. Its source comes with GCC.\n"
)


def complete(wheel: Path) -> None:
    """Put the OpenMP runtime of this machine into the wheel, if its engine needs one. The same input, the same bytes.

    Raises NotFound where this machine has none.
    """
    if not sys.platform.startswith("linux") or not _needs_runtime(wheel):
        return
    added = {LIBRARIES + RUNTIME: _runtime().read_bytes(), NOTICE: NOTICE_TEXT}
    whole = wheel.with_suffix(".whole")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as new:
        record = next(name for name in old.namelist() if name.endswith(".dist-info/RECORD"))
        for info in old.infolist():
            if info.filename != record:
                new.writestr(info, old.read(info))
        for name, raw in added.items():
            new.writestr(_like(old.getinfo(record), name), raw)
        new.writestr(old.getinfo(record), old.read(record) + _lines(added.items()))
    whole.replace(wheel)


def _needs_runtime(wheel: Path) -> bool:
    """Whether a library of the wheel names the runtime, which is not in it."""
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        libraries = [name for name in names if name.startswith(LIBRARIES) and ".so" in name]
        return LIBRARIES + RUNTIME not in names and any(RUNTIME.encode() in file.read(name) for name in libraries)


def _runtime() -> Path:
    """Where the loader of this machine finds it."""
    try:
        ctypes.CDLL(RUNTIME)
    except OSError as error:
        raise NotFound(
            f"The engine needs {RUNTIME}, which this machine lacks.", hint="Install libgomp1 (Fedora: libgomp)."
        ) from error
    loaded = Path("/proc/self/maps").read_text().split()
    return next(Path(word) for word in loaded if "/libgomp.so" in word)


def _like(model: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    """An entry of the same date and rights as another."""
    info = zipfile.ZipInfo(name, model.date_time)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = model.external_attr
    return info


def _lines(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Lines of a wheel's RECORD: name, hash in unpadded URL-safe Base64, length."""
    lines = []
    for name, raw in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(raw)}\n")
    return "".join(lines).encode()
