"""Adapters are judged by themselves and beside their model, before native code sees them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from deploy.errors import Incomplete, InvalidModel, NotFound
from deploy.gguf.adapter import inspect_adapter, require_fits
from tests.support.gguf import WIDTH, GgufFile, TensorSpec, adapter_file, split_model, text, tiny_model

RANK: Final = 4


def tiny_adapter() -> GgufFile:
    """A valid adapter for the tiny model: one projection, and the embedding with its halves the other way round."""
    return adapter_file(
        TensorSpec("blk.0.attn_k.weight.lora_a", (WIDTH, RANK)),
        TensorSpec("blk.0.attn_k.weight.lora_b", (RANK, WIDTH // 2)),
        TensorSpec("token_embd.weight.lora_a", (RANK, 8)),
        TensorSpec("token_embd.weight.lora_b", (RANK, WIDTH)),
        TensorSpec("blk.0.attn_norm.weight", (WIDTH,)),
    )


def test_an_adapter_is_described_and_fits_its_model(tmp_path: Path) -> None:
    """Also one whose model is in parts."""
    found = inspect_adapter(tiny_adapter().write(tmp_path / "adapter.gguf"))
    assert (found.architecture, found.rank) == ("llama", RANK)
    assert set(found.tensors) == {"blk.0.attn_k.weight", "token_embd.weight"}
    require_fits(found, "llama", [tiny_model().write(tmp_path / "model.gguf")])
    parts = [part.write(tmp_path / f"part{number}.gguf") for number, part in enumerate(split_model(3))]
    require_fits(found, "llama", parts)


def _no_adapter(file: GgufFile) -> None:
    file.settings["general.type"] = text("model")


def _unnamed_type(file: GgufFile) -> None:
    del file.settings["general.type"]


def _vector(file: GgufFile) -> None:
    file.settings["adapter.type"] = text("control_vector\x1b[31m")


def _homeless(file: GgufFile) -> None:
    del file.settings["general.architecture"]


def _half(file: GgufFile) -> None:
    del file.tensors[1]


def _strange_part(file: GgufFile) -> None:
    file.tensors.append(TensorSpec("blk.0.attn_k.weight", (WIDTH, WIDTH)))


def _empty(file: GgufFile) -> None:
    file.tensors.clear()


def _turned(file: GgufFile) -> None:
    file.tensors[0].shape = (RANK, WIDTH)


def _flat(file: GgufFile) -> None:
    file.tensors[0].shape = file.tensors[1].shape = (WIDTH,)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (_no_adapter, "is not an adapter"),
        (_unnamed_type, "is not an adapter"),
        (_vector, r"of the kind 'control_vector\\x1b"),
        (_homeless, "what models it is for"),
        (_half, "only one half of 'blk.0.attn_k.weight'"),
        (_strange_part, "not part of an adapter"),
        (_empty, "holds nothing"),
        (_turned, "do not match"),
        (_flat, "do not match"),
    ],
)
def test_what_is_no_adapter_is_refused(broken: Callable[[GgufFile], None], why: str, tmp_path: Path) -> None:
    """With what is wrong, and nothing that a terminal would obey."""
    file = tiny_adapter()
    broken(file)
    with pytest.raises(InvalidModel, match=why):
        inspect_adapter(file.write(tmp_path / "adapter.gguf"))


def test_a_cut_or_absent_adapter_is_refused(tmp_path: Path) -> None:
    """As models are, by the same reader."""
    path = tmp_path / "adapter.gguf"
    with pytest.raises(NotFound):
        inspect_adapter(path)
    path.write_bytes(tiny_adapter().build()[:-100])
    with pytest.raises(Incomplete):
        inspect_adapter(path)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    """By its architecture, by a tensor that is not there, and by a shape."""
    model = tiny_model().write(tmp_path / "model.gguf")
    found = inspect_adapter(tiny_adapter().write(tmp_path / "adapter.gguf"))
    with pytest.raises(InvalidModel, match="for models of the kind llama, and this is qwen3"):
        require_fits(found, "qwen3", [model])
    elsewhere = tiny_adapter()
    elsewhere.tensors[0].name, elsewhere.tensors[1].name = "blk.9.attn_k.weight.lora_a", "blk.9.attn_k.weight.lora_b"
    with pytest.raises(InvalidModel, match=r"no tensor 'blk\.9\.attn_k\.weight'"):
        require_fits(inspect_adapter(elsewhere.write(tmp_path / "adapter.gguf")), "llama", [model])
    for index, shape in ((1, (RANK, WIDTH)), (3, (RANK, WIDTH * 2)), (2, (RANK, 9))):
        other = tiny_adapter()
        other.tensors[index].shape = shape
        with pytest.raises(InvalidModel, match="another shape"):
            require_fits(inspect_adapter(other.write(tmp_path / "adapter.gguf")), "llama", [model])
