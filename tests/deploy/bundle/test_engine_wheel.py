"""The engine's wheel brings the OpenMP runtime, which a host without a compiler does not have."""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.bundle.engine_wheel import LIBRARIES, RUNTIME, complete

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Elsewhere the runtime is another.")
RECORD = "engine-1.dist-info/RECORD"


def wheel(path: Path, library: bytes) -> Path:
    """Write a wheel with one library."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(LIBRARIES + "libggml.so", library)
        file.writestr(RECORD, f"{LIBRARIES}libggml.so,,\n{RECORD},,\n")
    return path


def test_the_runtime_is_put_beside_the_libraries_that_need_it(tmp_path: Path) -> None:
    """Its line in RECORD is the one by which pip checks it."""
    made = wheel(tmp_path / "engine.whl", b"\x7fELF libgomp.so.1\0")
    complete(made)
    with zipfile.ZipFile(made) as file:
        runtime = file.read(LIBRARIES + RUNTIME)
        record = file.read(RECORD).decode().splitlines()
    digest = base64.urlsafe_b64encode(hashlib.sha256(runtime).digest()).rstrip(b"=").decode()
    assert runtime.startswith(b"\x7fELF")
    assert f"{LIBRARIES}{RUNTIME},sha256={digest},{len(runtime)}" in record


def test_the_same_wheel_gives_the_same_bytes_and_is_completed_once(tmp_path: Path) -> None:
    """Bundles of the same input are equal, and a kept wheel is not changed again."""
    first, second = (wheel(tmp_path / name, b"libgomp.so.1") for name in ("a.whl", "b.whl"))
    second.write_bytes(first.read_bytes())
    complete(first)
    complete(second)
    whole = first.read_bytes()
    complete(first)
    assert first.read_bytes() == second.read_bytes() == whole


def test_a_wheel_that_needs_none_stays_as_it_is(tmp_path: Path) -> None:
    """An engine without OpenMP is whole already."""
    made = wheel(tmp_path / "engine.whl", b"\x7fELF")
    before = made.read_bytes()
    complete(made)
    assert made.read_bytes() == before
