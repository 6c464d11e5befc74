"""Which ggml backends the installed engine brings, read off its files' names: the engine itself is not loaded."""

import os
import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from profiles.machine import NOT_ASKED, EngineDevice, Fact, Provenance
from profiles.probes.reading import unknown_fact
from profiles.world import NotRecorded, World

_LIBRARY = re.compile(r"(?:lib)?ggml-(?P<backend>[a-z0-9]+)[^/]*\.(?:so|dylib|dll)(?:\.|$)")
PROCESSOR_BACKENDS: Final = frozenset({"cpu", "blas", "rpc"})
"""A build with no others finds no device, so it need not be asked; a remote one is none of this machine's."""
_PARTS = ("base",)
"""Libraries of that name form that are no backend."""


class EngineFiles(msgspec.Struct, frozen=True):
    """What stands in the engine's folder of libraries."""

    folder: str | None
    """None where the engine is not installed."""
    names: tuple[str, ...] | None = None
    """None where the folder is missing."""


def read(world: World) -> Fact[tuple[str, ...]]:
    """Look into the folder of libraries that the engine's bindings would load."""
    files = world.ask("engine files", gather, EngineFiles)
    if files.folder is None:
        return unknown_fact("the engine llama-cpp-python is not installed", "importlib.util.find_spec")
    if files.names is None:
        return unknown_fact("the engine is installed without its folder of libraries", files.folder)
    return parse(files.names, files.folder)


DeviceLister = Callable[[], tuple[EngineDevice, ...]]
"""Asks the engine for its devices. Whoever holds the engine has one: it loads native code in a process of its own."""


def read_devices(world: World, lister: DeviceLister | None) -> Fact[tuple[EngineDevice, ...]]:
    """Ask the engine, if there is a way to ask it."""

    def gather_devices() -> tuple[EngineDevice, ...]:
        if lister is None:
            raise NotRecorded("there is no way to ask the engine")
        backends = read(world).known or ()
        return lister() if set(backends) - PROCESSOR_BACKENDS else ()

    try:
        devices = world.ask("engine devices", gather_devices, tuple[EngineDevice, ...])
    except NotRecorded:
        return NOT_ASKED
    return Fact(devices, "the engine's own list of devices", Provenance.ENGINE)


def gather() -> EngineFiles:
    """List the libraries."""
    folder = library_folder()
    if folder is None:
        return EngineFiles(None)
    if not folder.is_dir():
        return EngineFiles(str(folder))
    return EngineFiles(str(folder), tuple(sorted(entry.name for entry in folder.iterdir())))


def library_folder() -> Path | None:
    """Find the folder without importing the bindings, which would load the libraries."""
    override = os.environ.get("LLAMA_CPP_LIB_PATH")
    if override:
        return Path(override)
    spec = find_spec("llama_cpp")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / "lib" if places else None


def parse(names: Iterable[str], source: str) -> Fact[tuple[str, ...]]:
    """Name each backend once, whatever variants and versions its library comes in."""
    matches = (_LIBRARY.match(name) for name in names)
    backends = {match["backend"] for match in matches if match} - set(_PARTS)
    if not backends:
        return unknown_fact("the engine's folder holds no ggml backend library", source)
    return Fact(tuple(sorted(backends)), source)
