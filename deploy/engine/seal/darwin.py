"""macOS: a sandbox profile by sandbox_init. Written after the system's own profiles; not verified on this platform.

The call is old and marked as deprecated, and it is what browsers still use. It gives no way to look at what is in
force, so what this module claims is that the profile was accepted, and no more.
"""

import ctypes
from collections.abc import Iterable
from pathlib import Path

HEADER = """(version 1)
(deny default)
(allow sysctl-read)
(allow mach-lookup (global-name "com.apple.system.notification_center"))
(allow signal (target self))
(allow process-info* (target self))
(allow file-read-metadata)
(allow file-read* file-write-data (literal "/dev/null"))
(allow file-read* (literal "/dev/urandom") (literal "/dev/random"))
(allow file-read* (subpath "/usr/lib") (subpath "/System/Library"))
"""
METAL = """(allow iokit-open)
(allow mach-lookup (global-name "com.apple.MTLCompilerService"))
"""


def profile(files: Iterable[str], folders: Iterable[str], *, gpu: bool) -> str:
    """The rules in the sandbox's own language: the model's files, the engine's code, nothing else."""
    lines = [f"(allow file-read* (literal {_quoted(path)}))" for path in files]
    lines += [f"(allow file-read* (subpath {_quoted(path)}))" for path in folders]
    return HEADER + (METAL if gpu else "") + "\n".join(lines) + "\n"


def restrict(rules: str) -> None:
    """Put the profile into force for this process. Raises OSError with the system's reason."""
    library = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
    message = ctypes.c_char_p()
    if library.sandbox_init(rules.encode(), ctypes.c_uint64(0), ctypes.byref(message)) != 0:
        raise OSError(0, (message.value or b"no reason given").decode("utf-8", "replace"))


def _quoted(path: str) -> str:
    real = str(Path(path).resolve())
    return '"' + real.replace("\\", "\\\\").replace('"', '\\"') + '"'
