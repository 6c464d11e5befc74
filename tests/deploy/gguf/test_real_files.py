"""Two models that people use pass, and are described as their publishers do."""

import time
from pathlib import Path

import pytest

from deploy.errors import Incomplete
from deploy.gguf.check import inspect, inspect_parts
from deploy.gguf.reader import read_header

pytestmark = pytest.mark.index


def test_smollm2_is_described(smollm2_path: Path) -> None:
    """A llama with a chat template and tied embeddings."""
    model = inspect(smollm2_path)
    assert (model.architecture, model.quant, model.parameters) == ("llama", "Q4_1", 134_515_008)
    assert (model.block_count, model.embedding_length, model.head_count, model.head_count_kv) == (30, 576, 9, 3)
    assert (model.key_length, model.value_length, model.context_tokens) == (64, 64, 8192)
    assert (model.vocab_size, model.expert_count, model.warnings) == (49_152, 0, ())
    assert model.chat_template is not None
    assert "<|im_start|>" in model.chat_template
    assert model.file_bytes == smollm2_path.stat().st_size == 98_362_432


def test_gemma3_is_described(gemma3_path: Path) -> None:
    """A base model: no chat template, a vocabulary of a quarter million, heads wider than the embedding."""
    model = inspect_parts([gemma3_path])
    assert (model.architecture, model.quant, model.parameters) == ("gemma3", "Q4_K_M", 268_098_176)
    assert (model.block_count, model.embedding_length, model.head_count, model.head_count_kv) == (18, 640, 4, 1)
    assert (model.key_length, model.value_length, model.context_tokens) == (256, 256, 32_768)
    assert (model.vocab_size, model.chat_template, model.warnings) == (262_144, None, ())
    assert model.file_bytes == gemma3_path.stat().st_size == 253_113_024


def test_real_headers_are_read_quickly(smollm2_path: Path, gemma3_path: Path) -> None:
    """Inspecting is cheap enough to do at every start."""
    for path in (smollm2_path, gemma3_path):
        inspect(path)
        start = time.process_time()
        inspect(path)
        assert time.process_time() - start < 1.0


def test_real_file_without_its_end_is_incomplete(smollm2_path: Path, tmp_path: Path) -> None:
    """The first megabytes of a download look right and are told from the whole by their length alone."""
    part = tmp_path / "part.gguf"
    with smollm2_path.open("rb") as stream:
        part.write_bytes(stream.read(read_header(smollm2_path).data_offset + 100_000))
    with pytest.raises(Incomplete, match="its tensors need 98,362,432 bytes"):
        inspect(part)
