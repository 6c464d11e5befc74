"""Hollow models are whole GGUF files: the reader takes them, and they take no disk."""

from pathlib import Path

import pytest

from deploy.gguf.hollow import HollowModel, write_hollow
from deploy.gguf.reader import read_header

DENSE = HollowModel(weight_type="Q4_K", blocks=3, embedding=1024, feed_forward=2048, heads=8, kv_heads=2, head_size=128)
EXPERTS = HollowModel(
    weight_type="MXFP4",
    blocks=2,
    embedding=512,
    feed_forward=256,
    heads=4,
    kv_heads=4,
    head_size=64,
    experts=8,
    experts_used=2,
)


@pytest.mark.parametrize("model", [DENSE, EXPERTS])
def test_the_reader_takes_it(tmp_path: Path, model: HollowModel) -> None:
    """Header, tensors and their places are right, and the weights have the type that was asked for."""
    path = tmp_path / "hollow.gguf"
    write_hollow(path, model)
    header = read_header(path)
    assert header.file_bytes == path.stat().st_size == header.end
    listed = {tensor.name: tensor for tensor in header.tensors}
    for matrix in model.matrices():
        assert (listed[matrix.name].type_name, listed[matrix.name].size_bytes) == (matrix.type_name, matrix.size_bytes)
    of_type = {tensor.name for tensor in header.tensors if tensor.type_name == model.weight_type}
    assert all(("_exps" in name) is bool(model.experts) for name in of_type)


def test_it_takes_next_to_no_disk(tmp_path: Path) -> None:
    """The weights are a hole."""
    path = tmp_path / "hollow.gguf"
    write_hollow(path, DENSE)
    status = path.stat()
    assert status.st_blocks * 512 < status.st_size / 4
