"""The wheels of a bundle: everything that the lock names, the engine built, and Landfast itself.

They are for hosts like this one: the same Python and the same platform. The engine is built for any processor of
the last ten years, not for this one alone.
"""

import hashlib
import platform
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from deploy.bundle.engine_wheel import complete
from deploy.bundle.manifest import Target
from deploy.errors import NotFound, Unreachable
from deploy.sources.base import Progress, Report
from deploy.sources.pip_child import PipOutcome, run_pip
from deploy.store.files import disk_errors

LOCK: Final = "requirements.lock"
ENGINE: Final = "llama-cpp-python"
PORTABLE: Final = "-DGGML_NATIVE=OFF"
"""Instruction sets up to AVX2, whatever this processor has: the wheel goes to other machines."""
SOURCES: Final = ("profiles", "deploy", "tui", "pyproject.toml", "README.md", "LICENSE")
EPOCH: Final = "315532800"
"""1980-01-01, the first date that a wheel can hold: the same source gives the same wheel."""
DONE: Final = ".complete"
OPTIONS: Final = ("--no-deps", "--no-input", "--disable-pip-version-check", "--progress-bar=raw")


def target() -> Target:
    """What the wheels made here are for."""
    return Target(
        python=f"cp{sys.version_info.major}{sys.version_info.minor}",
        platform=sysconfig.get_platform().replace("-", "_").replace(".", "_"),
    )


def collect(checkout: Path, kept: Path, environment: Mapping[str, str], report: Report) -> tuple[Path, ...]:
    """Gather all wheels. Those of the lock are kept in `kept` and made once; Landfast's own is made anew.

    Raises NotFound where there is no lock, Unreachable where pip cannot get or build one.
    """
    lock = checkout / LOCK
    if not lock.is_file():
        raise NotFound(
            f"There is no {LOCK} in {checkout}: this Landfast was installed without its source.",
            hint="Run the command from a checkout of Landfast that scripts/quickstart.sh has set up.",
        )
    with disk_errors(kept):
        folder = kept / _key(lock)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / DONE).exists():
            _fill(folder, lock, environment, report)
            (folder / DONE).touch()
        own = _own_wheel(checkout, kept / "own", environment, report)
    return (*sorted(folder.glob("*.whl")), own)


def lock_of(wheels: Sequence[Path]) -> bytes:
    """A lock of exactly these wheels, for pip's --require-hashes on the host that has nothing else."""
    lines = [f"{_pin(wheel)} --hash=sha256:{_sha256(wheel)}" for wheel in wheels]
    return ("\n".join(sorted(lines)) + "\n").encode()


def _fill(folder: Path, lock: Path, environment: Mapping[str, str], report: Report) -> None:
    """Download what is published as a wheel, and build the engine, which is not."""
    entries = _entries(lock)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        others = _written(Path(scratch) / "others.lock", [text for name, text in entries if name != ENGINE])
        engine = _written(Path(scratch) / "engine.lock", [text for name, text in entries if name == ENGINE])
        downloading = ("download", *OPTIONS, "--only-binary=:all:", "--require-hashes", "-r", others, "-d", str(folder))
        _pip(downloading, environment, Path(scratch), report, "download wheels")
        building = ("wheel", *OPTIONS, *_isolation("scikit_build_core"), "--no-cache-dir", "--require-hashes")
        flags = {"CMAKE_ARGS": PORTABLE, **environment}
        _pip((*building, "-r", engine, "-w", str(folder)), flags, Path(scratch), report, "build the engine")
        complete(next(folder.glob("llama_cpp_python-*.whl")))


def _own_wheel(checkout: Path, folder: Path, environment: Mapping[str, str], report: Report) -> Path:
    """Build Landfast's own wheel from a copy of its source: a build leaves files behind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        copy = Path(scratch) / "source"
        copy.mkdir()
        for name in SOURCES:
            _copy(checkout / name, copy / name)
        command = ("wheel", *OPTIONS, *_isolation("setuptools"), "-w", str(folder), str(copy))
        _pip(command, {**environment, "SOURCE_DATE_EPOCH": EPOCH}, Path(scratch), report, "build Landfast")
    return next(folder.glob("*.whl"))


def _copy(source: Path, copy: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        shutil.copy(source, copy)


def _pip(command: tuple[str, ...], environment: Mapping[str, str], scratch: Path, report: Report, text: str) -> None:
    """Run pip. Raises Unreachable with its last word."""

    def tell(done_bytes: int) -> None:
        report(Progress(step="download", text=text, done_bytes=done_bytes))

    outcome: PipOutcome = run_pip(command, environment, scratch, tell)
    if outcome.status != 0:
        raise Unreachable(
            f"The wheels cannot be fetched: {(outcome.broken_connection or outcome.last_word).rstrip('.')}.",
            hint="Check the package index (pip config list), and that a C++ compiler is installed to build the engine.",
        )


def _isolation(build_tool: str) -> tuple[str, ...]:
    """Build with the pinned tools that are installed here, where they are."""
    return ("--no-build-isolation",) if find_spec(build_tool) else ()


def _entries(lock: Path) -> list[tuple[str, str]]:
    """The lock's requirements, each with its hashes."""
    entries: list[tuple[str, str]] = []
    for line in lock.read_text().splitlines():
        if not line or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and entries:
            name, text = entries.pop()
            entries.append((name, f"{text}\n{line}"))
        else:
            entries.append((line.partition("==")[0].strip(), line))
    return entries


def _written(path: Path, entries: Sequence[str]) -> str:
    path.write_text("\n".join(entries) + "\n")
    return str(path)


def _key(lock: Path) -> str:
    host = f"{target()} {platform.libc_ver()}"
    return hashlib.sha256(lock.read_bytes() + host.encode()).hexdigest()[:16]


def _pin(wheel: Path) -> str:
    """name==version out of a wheel's file name."""
    name, version, *_ = wheel.name.split("-")
    return f"{name.replace('_', '-').lower()}=={version}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
