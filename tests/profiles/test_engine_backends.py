"""Which backends the installed engine brings, by the names of its files."""

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from profiles.machine import EngineDevice, Provenance, Unknown
from profiles.probes import engine
from profiles.world import LiveWorld


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["libggml-base.so", "libggml-cpu.so.0.25.3", "libggml.so", "libllama.so"], ("cpu",)),
        (["libggml-cpu-haswell.so", "libggml-cpu-zen4.so", "libggml-cuda.so"], ("cpu", "cuda")),
        (["libggml-cpu.dylib", "libggml-metal.dylib", "libggml-blas.dylib"], ("blas", "cpu", "metal")),
        (["ggml-base.dll", "ggml-cpu.dll", "ggml-vulkan.dll", "ggml-vulkan.lib"], ("cpu", "vulkan")),
        (["libggml-hip.so.0", "libggml-cpu.so", "libggml-sycl.so"], ("cpu", "hip", "sycl")),
    ],
)
def test_backends_are_named_once_on_every_platform(names: list[str], expected: tuple[str, ...]) -> None:
    """Variants and versions of one backend's library are one backend."""
    assert engine.parse(names, "folder").value == expected


@pytest.mark.parametrize("names", [[], ["libllama.so", "libggml.so"], ["libggml-base.so"], ["notes.txt"]])
def test_a_folder_without_backends_is_unknown(names: list[str]) -> None:
    """No library of that name is a broken or foreign build, not a build without backends."""
    assert isinstance(engine.parse(names, "folder").value, Unknown)


def test_another_folder_of_libraries_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bindings load from the folder of LLAMA_CPP_LIB_PATH, so that one is looked at."""
    (tmp_path / "libggml-vulkan.so").touch()
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    fact = engine.read(LiveWorld())
    assert fact.value == ("vulkan",)
    assert fact.source == str(tmp_path)


def test_a_missing_folder_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine without its libraries cannot be judged."""
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path / "none"))
    assert isinstance(engine.read(LiveWorld()).value, Unknown)


def test_an_engine_that_is_not_installed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of an engine that is not there yet."""
    monkeypatch.delenv("LLAMA_CPP_LIB_PATH", raising=False)
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    value = engine.read(LiveWorld()).value
    assert isinstance(value, Unknown)
    assert "not installed" in value.reason


def test_the_engine_is_found_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's folder is found by its name alone: code inside it does not run."""
    package = tmp_path / "llama_cpp"
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the engine was loaded')")
    (package / "lib" / "libggml-cpu.so").touch()
    monkeypatch.delenv("LLAMA_CPP_LIB_PATH", raising=False)
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert engine.read(LiveWorld()).value == ("cpu",)
    assert "llama_cpp" not in sys.modules


def test_a_build_for_processors_is_not_started_for_its_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none, and starting a process for that would cost every command a tenth of a second."""
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    (tmp_path / "libggml-cpu.so").touch()
    assert engine.read_devices(LiveWorld(), forbidden).value == ()


def test_a_build_for_graphics_processors_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine answers is the fact, with the engine as its source."""
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    (tmp_path / "libggml-cuda.so").touch()
    card = EngineDevice(name="CUDA0", description="NVIDIA L4", kind="gpu", total_bytes=24 << 30, free_bytes=23 << 30)
    fact = engine.read_devices(LiveWorld(), lambda: (card,))
    assert fact.value == (card,)
    assert fact.provenance is Provenance.ENGINE


def forbidden() -> NoReturn:
    """Stand for a way to ask the engine that must not be taken."""
    raise AssertionError("the engine was asked")
