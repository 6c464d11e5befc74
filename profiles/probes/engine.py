"""Which ggml backends the installed engine brings, read off its files' names: the engine itself is not loaded."""

import os
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from profiles.machine import Fact
from profiles.probes.reading import unknown_fact

_LIBRARY = re.compile(r"(?:lib)?ggml-(?P<backend>[a-z0-9]+)[^/]*\.(?:so|dylib|dll)(?:\.|$)")
_PARTS = ("base",)
"""Libraries of that name form that are no backend."""


def read() -> Fact[tuple[str, ...]]:
    """Look into the folder of libraries that the engine's bindings would load."""
    folder = library_folder()
    if folder is None:
        return unknown_fact("the engine llama-cpp-python is not installed", "importlib.util.find_spec")
    if not folder.is_dir():
        return unknown_fact("the engine is installed without its folder of libraries", str(folder))
    return parse((entry.name for entry in folder.iterdir()), str(folder))


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
