"""A projector is judged by its header before native code sees it."""

import ctypes
import re
import struct
from pathlib import Path

import pytest

from deploy.errors import Incomplete, InvalidModel, NotFound
from deploy.gguf.projector import inspect_projector
from tests.support.eyes import projector, write_projector
from tests.support.gguf import number, numbers, text, tiny_model


def test_a_projector_says_what_it_is_and_takes(tmp_path: Path) -> None:
    """Its kind, its width and its memory come from the header."""
    path = projector("gemma3", 640).write(tmp_path / "mmproj.gguf")
    found = inspect_projector(path)
    assert (found.name, found.kind, found.width) == ("mmproj.gguf", "gemma3", 640)
    assert 0 < found.tensor_bytes < path.stat().st_size
    assert found.memory_bytes == found.tensor_bytes + found.compute_bytes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("general.architecture", text("llama")),
        ("clip.has_vision_encoder", struct.pack("<I?", 7, 0)),
        ("clip.has_vision_encoder", number("u32", 1)),
        ("clip.projector_type", None),
        ("clip.projector_type", number("u32", 1)),
        ("clip.vision.patch_size", number("u32", 0)),
        ("clip.vision.patch_size", None),
        ("clip.vision.patch_size", number("u32", 65)),
        ("clip.vision.image_size", number("u32", 1 << 20)),
        ("clip.vision.block_count", number("u32", 1 << 20)),
        ("clip.vision.embedding_length", number("u32", 0)),
        ("clip.vision.projection_dim", None),
        ("clip.vision.projector.scale_factor", number("u32", 0)),
        ("clip.vision.image_mean", numbers("f32", (0.5,))),
        ("clip.vision.image_std", text("0.5")),
    ],
)
def test_what_the_engine_could_not_bear_is_refused(tmp_path: Path, key: str, value: bytes | None) -> None:
    """Each with a sentence that names the file."""
    made = projector()
    made.settings = {name: kept for name, kept in {**made.settings, key: value}.items() if kept is not None}
    with pytest.raises(InvalidModel, match=r"mmproj\.gguf"):
        inspect_projector(made.write(tmp_path / "mmproj.gguf"))


def test_an_absurd_number_of_patches_is_refused(tmp_path: Path) -> None:
    """Before anyone would ask for the memory."""
    made = projector()
    made.settings["clip.vision.image_size"] = number("u32", 8192)
    made.settings["clip.vision.patch_size"] = number("u32", 1)
    with pytest.raises(InvalidModel, match="patches"):
        inspect_projector(made.write(tmp_path / "mmproj.gguf"))


def test_other_files_are_no_projectors(tmp_path: Path) -> None:
    """A model, half a projector, nothing."""
    with pytest.raises(InvalidModel, match="not a projector for images"):
        inspect_projector(tiny_model().write(tmp_path / "model.gguf"))
    whole = projector().build()
    (tmp_path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Incomplete):
        inspect_projector(tmp_path / "half.gguf")
    with pytest.raises(NotFound):
        inspect_projector(tmp_path / "gone.gguf")


@pytest.mark.engine
@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["mlp", "gemma3", "idefics3"])
@pytest.mark.parametrize("width", [64, 4096])
def test_the_engine_takes_no_more_than_the_plan_says(tmp_path: Path, kind: str, width: int) -> None:
    """The bound is above the engine's own figure for the buffer in which it encodes an image."""
    import llama_cpp.llama_cpp as native
    import llama_cpp.mtmd_cpp as mtmd

    path = write_projector(tmp_path / "mmproj.gguf", projector(kind, width))
    lines: list[str] = []
    hear = native.llama_log_callback(lambda _level, line, _data: lines.append(line.decode()))
    mtmd.mtmd_helper_log_set(hear, ctypes.c_void_p(0))
    params = mtmd.mtmd_context_params_default()
    params.use_gpu = False
    opened = mtmd.mtmd_init_from_file(str(path).encode(), None, params)
    mtmd.mtmd_free(opened)
    mtmd.mtmd_helper_log_set(native.llama_log_callback(), ctypes.c_void_p(0))
    taken = [float(size) for size in re.findall(r"compute buffer size = +([\d.]+) MiB", "".join(lines))]
    spare = 16 << 20
    assert len(taken) == 1
    assert taken[0] * 2**20 <= inspect_projector(path).compute_bytes - spare
