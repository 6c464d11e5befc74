"""The check says what a model is, and refuses settings that would make the engine throw, abort or talk nonsense."""

from pathlib import Path

import pytest

from deploy.errors import Incomplete, InvalidModel, NotFound
from deploy.gguf.check import ModelFile, inspect, inspect_parts
from deploy.gguf.shape import Shape
from tests.support.gguf import (
    F32,
    Q4_0,
    TEMPLATE,
    GgufFile,
    TensorSpec,
    number,
    numbers,
    split_model,
    text,
    texts,
    tiny_model,
)

REFUSED: dict[str, tuple[str, bytes, str]] = {
    "architecture empty": ("general.architecture", text(""), "does not name an architecture"),
    "architecture with escapes": ("general.architecture", text("\x1b[31mllama"), "does not name an architecture"),
    "architecture is a number": ("general.architecture", number("u32", 1), "is not a text"),
    "architecture of pictures": ("general.architecture", text("clip"), "addition to a model"),
    "adapter": ("general.type", text("adapter"), "addition to a model"),
    "block_count 0": ("llama.block_count", number("u32", 0), "is 0 instead of 1 to 512"),
    "block_count 513": ("llama.block_count", number("u32", 513), "is 513 instead of 1 to 512"),
    "block_count 2^32-1": ("llama.block_count", number("u32", (1 << 32) - 1), "is 4,294,967,295 instead"),
    "block_count too small": ("llama.block_count", number("u32", 1), "but there is a tensor of block 1"),
    "block_count too large": ("llama.block_count", number("u32", 3), "but the last tensor is of block 1"),
    "block_count is true": ("llama.block_count", b"\x07\0\0\0\x01", "not a whole number"),
    "block_count is a fraction": ("llama.block_count", number("f32", 2.0), "not a whole number"),
    "block_count is a list": ("llama.block_count", numbers("u32", [2]), "not a whole number"),
    "more predicting blocks than blocks": ("llama.nextn_predict_layers", number("u32", 3), "instead of 0 to 2"),
    "embedding_length 0": ("llama.embedding_length", number("u32", 0), "is 0 instead of"),
    "embedding_length 2^31": ("llama.embedding_length", number("u32", 1 << 31), "instead of 1 to 1,048,576"),
    "context_length 0": ("llama.context_length", number("u32", 0), "is 0 instead of"),
    "context_length 2^32-1": ("llama.context_length", number("u32", (1 << 32) - 1), "instead of"),
    "head_count 0": ("llama.attention.head_count", number("u32", 0), "0 attention heads do not match"),
    "head_count 7": ("llama.attention.head_count", number("u32", 7), "7 attention heads cannot share 2"),
    "head_count 6": ("llama.attention.head_count", number("u32", 6), "6 attention heads do not match"),
    "head_count 2^31": ("llama.attention.head_count", number("u32", 1 << 31), "instead of 0 to"),
    "head_count_kv 3": ("llama.attention.head_count_kv", number("u32", 3), "cannot share 3 heads"),
    "head_count_kv 8": ("llama.attention.head_count_kv", number("u32", 8), "cannot share 8 heads"),
    "heads for three blocks": ("llama.attention.head_count", numbers("u32", [4] * 3), "3 entries for 2 blocks"),
    "heads as texts": ("llama.attention.head_count", texts(["4", "4"]), "2 entries for 2 blocks"),
    "key_length 2^31": ("llama.attention.key_length", number("u32", 1 << 31), "instead of 0 to"),
    "experts 1025": ("llama.expert_count", number("u32", 1025), "instead of 0 to 1,024"),
    "experts of which none is used": ("llama.expert_count", number("u32", 8), "is 8, of which 0 are used"),
    "used experts of none": ("llama.expert_used_count", number("u32", 2), "is 0, of which 2 are used"),
    "expert groups of none": ("llama.expert_group_count", number("u32", 2), "in 2 groups"),
    "unknown context scaling": ("llama.rope.scaling.type", text("magic"), "none of linear, longrope"),
    "bos out of range": ("tokenizer.ggml.bos_token_id", number("u32", 8), "is 8 instead of 0 to 7"),
    "eos -1": ("tokenizer.ggml.eos_token_id", number("u32", (1 << 32) - 1), "instead of 0 to 7"),
    "eos negative": ("tokenizer.ggml.eos_token_id", number("i32", -1), "is -1 instead of 0 to 7"),
    "too few scores": ("tokenizer.ggml.scores", numbers("f32", [0.0] * 7), "7 entries for 8 tokens"),
    "scores of bytes": ("tokenizer.ggml.scores", numbers("u8", [0] * 8), "not a list of float32 or int32"),
    "too few token types": ("tokenizer.ggml.token_type", numbers("i32", [1]), "1 entries for 8 tokens"),
    "token types of bytes": ("tokenizer.ggml.token_type", numbers("i8", [1] * 8), "not a list of int32"),
    "tokens are numbers": ("tokenizer.ggml.tokens", numbers("i32", [1] * 8), "not a list of text"),
    "tokens are one text": ("tokenizer.ggml.tokens", text("abc"), "not a list of text"),
    "no token at all": ("tokenizer.ggml.tokens", texts([]), "instead of 0 to -1"),
    "template breaks out": ("tokenizer.chat_template", text("{{ ''.__class__ }}"), "inside of Python"),
    "second template breaks out": ("tokenizer.chat_template.tool", text("{{ ''.__class__ }}"), "inside of Python"),
    "template too long to keep": ("tokenizer.chat_template", text("x" * 200_000), "is 200,000 bytes long"),
    "template too long in characters": ("tokenizer.chat_template", text("x" * (1 << 17) + "x"), "bytes long"),
    "template is a number": ("tokenizer.chat_template", number("u32", 1), "is not a text"),
    "more parts than can be counted": ("split.count", number("u32", 1 << 16), "instead of 0 to 65,535"),
}


def inspected(file: GgufFile, folder: Path, name: str = "tiny.gguf") -> ModelFile:
    """Write a file and inspect it."""
    return inspect(file.write(folder / name))


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_no_model_can_have_are_refused(case: str, tmp_path: Path) -> None:
    """Each contradiction is named in a sentence that also names the file, with a cure."""
    key, value, sentence = REFUSED[case]
    file = tiny_model()
    file.settings[key] = value
    with pytest.raises(InvalidModel, match=sentence) as caught:
        inspected(file, tmp_path)
    assert caught.value.message.startswith("tiny.gguf is not a model that the engine may load: ")
    assert "\x1b" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("key", ["block_count", "context_length", "embedding_length"])
def test_settings_that_the_engine_needs_must_be_there(key: str, tmp_path: Path) -> None:
    """Without them the engine cannot build the model."""
    file = tiny_model()
    del file.settings[f"llama.{key}"]
    with pytest.raises(InvalidModel, match=f"llama.{key} is missing"):
        inspected(file, tmp_path)


def test_tiny_model_is_described(tmp_path: Path) -> None:
    """Every figure of a dense model comes from its settings and its tensors."""
    file = tiny_model()
    model = inspected(file, tmp_path)
    assert model == ModelFile(
        architecture="llama",
        name="Tiny",
        parameters=32 * 8 + 2 * (2 * 32 + 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64) + 32,
        quant="Q4_0",
        context_tokens=4096,
        block_count=2,
        embedding_length=32,
        head_count=4,
        head_count_kv=2,
        key_length=8,
        value_length=8,
        expert_count=0,
        expert_used_count=0,
        expert_tensor_bytes=0,
        vocab_size=8,
        chat_template=TEMPLATE,
        tensor_bytes=sum(tensor.size_bytes for tensor in file.tensors),
        file_bytes=(tmp_path / "tiny.gguf").stat().st_size,
        shape=Shape(
            tokens=8,
            merges=False,
            heads=4,
            widest=64,
            repacked_bytes=2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64) * 18 // 32,
        ),
    )


def test_mixture_of_experts_is_described(tmp_path: Path) -> None:
    """The bytes of the experts are told apart, since a token reads only some of them."""
    file = tiny_model()
    file.settings["llama.expert_count"] = number("u32", 8)
    file.settings["llama.expert_used_count"] = numbers("u32", [1, 2])
    file.tensors.insert(1, TensorSpec("blk.0.ffn_up_exps.weight", (32, 16, 8), Q4_0))
    file.tensors.insert(1, TensorSpec("blk.0.ffn_up_shexp.weight", (32, 16), Q4_0))
    model = inspected(file, tmp_path)
    assert (model.expert_count, model.expert_used_count) == (8, 2)
    assert model.expert_tensor_bytes == 32 * 16 * 8 // 32 * 18


def test_heads_may_differ_from_block_to_block(tmp_path: Path) -> None:
    """Hybrid models list their heads per block, with 0 where a block has no attention; the most counts."""
    file = tiny_model()
    file.settings["llama.attention.head_count"] = numbers("u32", [4, 8])
    file.settings["llama.attention.head_count_kv"] = numbers("i32", [0, 2])
    file.settings["llama.attention.key_length"] = number("u32", 16)
    file.settings["llama.attention.value_length"] = number("u32", 24)
    model = inspected(file, tmp_path)
    assert (model.head_count, model.head_count_kv, model.key_length, model.value_length) == (8, 2, 16, 24)


def test_model_without_attention_passes(tmp_path: Path) -> None:
    """A recurrent model has neither heads nor queries."""
    file = tiny_model()
    del file.settings["llama.attention.head_count"], file.settings["llama.attention.head_count_kv"]
    file.tensors = [tensor for tensor in file.tensors if "attn_q" not in str(tensor.name)]
    model = inspected(file, tmp_path)
    assert (model.head_count, model.head_count_kv, model.key_length, model.value_length) == (0, 0, 0, 0)


def test_predicting_blocks_may_have_been_cut_off(tmp_path: Path) -> None:
    """Multi-token-prediction blocks count among the blocks, and are often left out of the file."""
    file = tiny_model()
    file.settings["llama.block_count"] = number("u32", 3)
    file.settings["llama.nextn_predict_layers"] = number("u32", 1)
    assert inspected(file, tmp_path).block_count == 3


@pytest.mark.parametrize(
    ("file_type", "label"), [(15, "Q4_K_M"), (1024 + 7, "Q8_0"), (38, "MXFP4_MOE"), (4, "F32"), (None, "F32")]
)
def test_quant_is_what_quantisers_call_it(file_type: int | None, label: str, tmp_path: Path) -> None:
    """The file's own label counts, also when guessed; without one, the type of most elements does."""
    file = tiny_model()
    file.settings.pop("general.file_type")
    if file_type is not None:
        file.settings["general.file_type"] = number("u32", file_type)
    file.tensors.append(TensorSpec("output.weight", (32, 4096), F32))
    assert inspected(file, tmp_path).quant == label


def test_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """What the terminal would obey is left out of a model's name, and so is what would fill the screen."""
    file = tiny_model()
    file.settings["general.name"] = text("\x1b]0;owned\x07Good\u202e model" + "!" * 500)
    name = inspected(file, tmp_path).name
    assert name.startswith("]0;ownedGood model!")
    assert len(name) == 120


def test_file_name_serves_where_there_is_no_name(tmp_path: Path) -> None:
    """Neither the ending nor the number of a part belongs to a model's name."""
    file = tiny_model()
    del file.settings["general.name"]
    assert inspected(file, tmp_path, "my-model.gguf").name == "my-model"
    assert inspected(file, tmp_path, "blob").name == "blob"


def test_oddities_are_warnings(tmp_path: Path) -> None:
    """What the engine puts right by itself is told, not refused."""
    file = tiny_model()
    file.settings["tokenizer.ggml.padding_token_id"] = number("u32", (1 << 32) - 1)
    file.settings["tokenizer.chat_template"] = text("{{ prompt }}")
    path = file.write(tmp_path / "odd.gguf")
    with path.open("ab") as stream:
        stream.write(bytes(2 << 20))
    assert inspect(path).warnings == (
        f"odd.gguf has {2 << 20:,} more bytes after its last tensor.",
        "Its padding token 4294967295 is none of its 8 tokens; the engine uses another.",
        "The chat template never looks at the conversation.",
    )


def test_model_without_a_vocabulary_says_so(tmp_path: Path) -> None:
    """Such files are made to measure machines; nobody can talk to them."""
    file = tiny_model()
    file.settings = {key: value for key, value in file.settings.items() if not key.startswith("tokenizer")}
    model = inspected(file, tmp_path)
    assert (model.vocab_size, model.chat_template) == (0, None)
    assert model.warnings == ("It has no vocabulary: it can be measured, but it cannot answer.",)


def test_many_long_templates_are_refused(tmp_path: Path) -> None:
    """Templates are parsed, so all of them together are bounded."""
    file = tiny_model()
    for index in range(3):
        file.settings[f"tokenizer.chat_template.t{index}"] = text("x" * 30_000)
    with pytest.raises(InvalidModel, match="characters long"):
        inspected(file, tmp_path)


def test_list_of_template_names_is_no_template(tmp_path: Path) -> None:
    """Files with several templates also list their names."""
    file = tiny_model()
    file.settings["tokenizer.chat_templates"] = texts(["tool_use"])
    file.settings["tokenizer.chat_template.tool_use"] = text(TEMPLATE)
    assert inspected(file, tmp_path).chat_template == TEMPLATE


def test_file_without_tensors_is_no_model(tmp_path: Path) -> None:
    """A vocabulary alone cannot be run."""
    file = tiny_model()
    file.tensors = []
    with pytest.raises(InvalidModel, match="holds no tensors"):
        inspected(file, tmp_path)


def write_parts(parts: list[GgufFile], folder: Path, count: int | None = None) -> list[Path]:
    """Write the parts of a model under the names that llama.cpp gives them."""
    total = count or len(parts)
    return [part.write(folder / f"m-{index:05}-of-{total:05}.gguf") for index, part in enumerate(parts, start=1)]


def test_parts_make_the_same_model_as_one_file(tmp_path: Path) -> None:
    """Splitting a model changes nothing about it but the bytes of its headers."""
    paths = write_parts(split_model(3), tmp_path)
    whole, split = inspected(tiny_model(), tmp_path), inspect_parts(paths)
    assert split.parameters == whole.parameters
    assert split.tensor_bytes == whole.tensor_bytes
    assert split.file_bytes == sum(path.stat().st_size for path in paths)
    assert (split.name, split.block_count, split.warnings) == ("Tiny", 2, ())


def test_one_file_is_a_model_in_one_part(tmp_path: Path) -> None:
    """Callers need not know whether a model was split."""
    path = tiny_model().write(tmp_path / "tiny.gguf")
    assert inspect_parts([path]) == inspect(path)


def test_first_part_may_hold_settings_alone(tmp_path: Path) -> None:
    """llama.cpp can split that way, so that the settings of a huge model are a small file."""
    parts = split_model(2)
    parts[1].tensors[:0] = parts[0].tensors
    parts[0].tensors = []
    assert inspect_parts(write_parts(parts, tmp_path)).block_count == 2


def test_parts_need_not_have_their_names(tmp_path: Path) -> None:
    """A store may keep parts under their hashes."""
    paths = [part.write(tmp_path / f"blob{index}") for index, part in enumerate(split_model(2))]
    assert inspect_parts(paths).name == "Tiny"


@pytest.mark.parametrize("kept", [[0, 1], [0, 2], [1, 2], [0, 0, 2]])
def test_missing_part_is_incomplete(kept: list[int], tmp_path: Path) -> None:
    """Whichever part is missing, the model is not whole."""
    paths = write_parts(split_model(3), tmp_path)
    with pytest.raises(Incomplete) as caught:
        inspect_parts([paths[index] for index in kept])
    assert caught.value.hint


def test_absent_part_is_not_found(tmp_path: Path) -> None:
    """A part that was named but is not there is told by its path."""
    paths = write_parts(split_model(2), tmp_path)
    paths[1].unlink()
    with pytest.raises(NotFound, match=r"m-00002-of-00002\.gguf"):
        inspect_parts(paths)


def test_parts_out_of_order_are_refused(tmp_path: Path) -> None:
    """The engine takes the parts in their order, and so do we."""
    paths = write_parts(split_model(3), tmp_path)
    with pytest.raises(InvalidModel, match="is part 3, given where part 2 belongs"):
        inspect_parts([paths[0], paths[2], paths[1]])


def test_parts_of_two_models_are_refused(tmp_path: Path) -> None:
    """Parts must agree on how many they are; a whole file is a part of nothing else."""
    (tmp_path / "other").mkdir()
    paths, others = write_parts(split_model(3), tmp_path), write_parts(split_model(2), tmp_path / "other")
    whole = tiny_model().write(tmp_path / "whole.gguf")
    for mixed in ([paths[0], others[1], paths[2]], [whole, paths[1]], [whole, whole]):
        with pytest.raises(InvalidModel, match="not a part of the same model"):
            inspect_parts(mixed)


def test_parts_with_the_same_tensors_are_refused(tmp_path: Path) -> None:
    """Two parts with one number under other numbers' names do not make a model."""
    parts = split_model(2)
    parts[1].tensors.append(parts[0].tensors[0])
    with pytest.raises(InvalidModel, match=r"'token_embd\.weight' is in two of them"):
        inspect_parts(write_parts(parts, tmp_path))


def test_parts_must_hold_the_announced_tensors(tmp_path: Path) -> None:
    """The first part says how many tensors all parts hold."""
    parts = split_model(2)
    parts[1].tensors.pop()
    with pytest.raises(InvalidModel, match="hold 19 tensors instead of 20"):
        inspect_parts(write_parts(parts, tmp_path))


def test_renamed_part_is_refused(tmp_path: Path) -> None:
    """A name that says another number than the file would send the engine to the wrong parts."""
    path = split_model(2)[0].write(tmp_path / "m-00002-of-00002.gguf")
    with pytest.raises(InvalidModel, match="was renamed: it is part 1 of 2"):
        inspect(path)


def test_part_alone_is_told_as_one(tmp_path: Path) -> None:
    """The first part describes the model with a warning; a later one knows nothing of it."""
    first, second = write_parts(split_model(2), tmp_path)
    assert inspect(first).warnings == ("It is part 1 of 2: the figures are those of this part alone.",)
    with pytest.raises(InvalidModel, match="is part 2 of 2"):
        inspect(second)
