"""The header reader takes what the format allows and answers everything else with one of three errors."""

import os
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.errors import Incomplete, InvalidModel, LandfastError, NotFound
from deploy.gguf import cursor, reader
from deploy.gguf.reader import ArraySummary, Header, read_header
from tests.support.gguf import (
    ARRAY,
    TEXT,
    TOKENS,
    GgufFile,
    TensorSpec,
    number,
    numbers,
    raw_text,
    split_model,
    text,
    texts,
    tiny_model,
)

Break = Callable[[GgufFile], None]

BOUND_S = 0.5
TIME_LIMIT_S = BOUND_S if sys.gettrace() is None else 3.0  # coverage traces every line
"""Of the processor: other programs may keep it busy."""
MEMORY_LIMIT_BYTES = 24 << 20


def read(file: GgufFile, folder: Path) -> Header:
    """Write a file and read its header."""
    return read_header(file.write(folder / "model.gguf"))


def setting(key: str, value: bytes) -> Break:
    """Give one setting another encoded value."""
    return lambda file: file.settings.__setitem__(key, value)


def tensor(**changes: object) -> Break:
    """Change fields of the second tensor."""

    def change(file: GgufFile) -> None:
        for key, value in changes.items():
            setattr(file.tensors[1], key, value)

    return change


def field(name: str, value: object) -> Break:
    """Change a field of the file itself."""
    return lambda file: setattr(file, name, value)


def entry(encoded: bytes) -> Break:
    """Add one encoded setting after the others."""

    def add(file: GgufFile) -> None:
        file.extra_settings, file.setting_count = encoded, len(file.settings) + 1

    return add


def announce(count: str, more: int) -> Break:
    """Let the file announce more settings or tensors than it has."""
    held = count.replace("_count", "s")
    return lambda file: setattr(file, count, len(getattr(file, held)) + more)


def claim(element_type: int, length: int) -> bytes:
    """Encode the beginning of a list that says it is so long."""
    return struct.pack("<IIQ", ARRAY, element_type, length)


def long_text(length: int) -> bytes:
    """Encode the beginning of a text that says it is so long."""
    return struct.pack("<IQ", TEXT, length)


HOSTILE: dict[str, tuple[Break, type[LandfastError], str]] = {
    "wrong magic": (
        field("magic", b"PK\x03\x04"),
        InvalidModel,
        "not a GGUF file: it does not begin with the letters GGUF",
    ),
    "version 1": (field("version", 1), InvalidModel, "GGUF version 1"),
    "version 99": (field("version", 99), InvalidModel, "GGUF version 99"),
    "big-endian version": (field("version", 3 << 24), InvalidModel, "GGUF version 50331648"),
    "tensor count 2^63-1": (field("tensor_count", (1 << 63) - 1), InvalidModel, "announces"),
    "tensor count 2^40": (field("tensor_count", 1 << 40), InvalidModel, "announces"),
    "setting count 2^60": (field("setting_count", 1 << 60), InvalidModel, "announces"),
    "one setting too many": (announce("setting_count", 1), InvalidModel, "damaged"),
    "one tensor too many": (announce("tensor_count", 1), InvalidModel, "damaged"),
    "key length 2^63": (entry(struct.pack("<Q", 1 << 63)), InvalidModel, "bytes long, at most 256"),
    "key is not text": (entry(raw_text(b"\xff") + text("x")), InvalidModel, "is not text"),
    "key twice": (entry(raw_text("general.name") + text("x")), InvalidModel, "'general.name' appears twice"),
    "key without a name": (entry(raw_text("") + text("x")), InvalidModel, "no name"),
    "value type 13": (setting("odd", struct.pack("<I", 13)), InvalidModel, "unknown type 13"),
    "list of lists": (setting("odd", claim(ARRAY, 1)), InvalidModel, "unknown type 9"),
    "list of type 99": (setting("odd", claim(99, 1)), InvalidModel, "unknown type 99"),
    "token list of 2^62": (setting("tokenizer.ggml.tokens", claim(TEXT, 1 << 62)), InvalidModel, "announces"),
    "token list of 2^31": (setting("tokenizer.ggml.tokens", claim(TEXT, 1 << 31)), InvalidModel, "announces"),
    "token list past the end": (
        setting("tokenizer.ggml.tokens", claim(TEXT, 1 << 20)),
        Incomplete,
        "inside its header",
    ),
    "score list past the end": (setting("tokenizer.ggml.scores", claim(6, 1 << 20)), Incomplete, "inside its header"),
    "first token of 2^40 bytes": (
        setting("tokenizer.ggml.tokens", claim(TEXT, 8) + struct.pack("<Q", 1 << 40)),
        InvalidModel,
        "larger than 128 MiB",
    ),
    "text of 2^64-1 bytes": (setting("general.name", long_text((1 << 64) - 1)), InvalidModel, "larger than 128 MiB"),
    "text past the end": (setting("general.name", long_text(1 << 20)), Incomplete, "inside its header"),
    "alignment 0": (setting("general.alignment", number("u32", 0)), InvalidModel, "alignment"),
    "alignment 48": (setting("general.alignment", number("u32", 48)), InvalidModel, "alignment"),
    "alignment 2^31": (setting("general.alignment", number("u32", 1 << 31)), InvalidModel, "alignment"),
    "alignment is text": (setting("general.alignment", text("32")), InvalidModel, "alignment"),
    "alignment is a fraction": (setting("general.alignment", number("f32", 32.0)), InvalidModel, "alignment"),
    "tensor name too long": (tensor(name="x" * 64), InvalidModel, "64 bytes long"),
    "tensor name not UTF-8": (tensor(name=b"\xff\xfe"), InvalidModel, "is not text"),
    "tensor twice": (tensor(name="token_embd.weight"), InvalidModel, "appears twice"),
    "dimension 2^42": (tensor(shape=(1 << 42,)), InvalidModel, "does not lie where"),
    "dimension 2^62": (tensor(shape=(1 << 62, 4)), InvalidModel, "impossible shape"),
    "dimension -1": (tensor(shape=((1 << 64) - 1,)), InvalidModel, "impossible shape"),
    "dimension 0": (tensor(shape=(0,)), InvalidModel, "impossible shape"),
    "no dimensions": (tensor(shape=()), InvalidModel, "0 dimensions"),
    "five dimensions": (tensor(shape=(2, 2, 2, 2, 2)), InvalidModel, "5 dimensions"),
    "2^31 dimensions": (tensor(dimensions=1 << 31), InvalidModel, "dimensions"),
    "tensor type 250": (tensor(type_id=250), InvalidModel, "unknown type 250"),
    "withdrawn tensor type 4": (tensor(type_id=4), InvalidModel, "unknown type 4"),
    "rows are no whole blocks": (tensor(shape=(33,), type_id=2), InvalidModel, "whole blocks"),
    "offset past the end": (tensor(offset=1 << 45), InvalidModel, "does not lie where"),
    "offset unaligned": (tensor(offset=3), InvalidModel, "does not lie where"),
    "offset inside another tensor": (tensor(offset=32), InvalidModel, "does not lie where"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header_is_refused(name: str, tmp_path: Path) -> None:
    """Each broken field gives the right error, a cause and a cure, at once and in little memory."""
    break_it, error_class, sentence = HOSTILE[name]
    file = tiny_model()
    break_it(file)
    path = file.write(tmp_path / "model.gguf")
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(error_class, match=sentence) as caught:
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < TIME_LIMIT_S
    assert type(caught.value) is error_class
    assert "model.gguf" in caught.value.message
    assert caught.value.hint


def test_valid_file_is_read_whole(tmp_path: Path) -> None:
    """What was written comes back: settings, tensors in order, and where the data begin and end."""
    file = tiny_model()
    header = read(file, tmp_path)
    assert (header.version, header.alignment) == (3, 32)
    assert header.metadata["general.architecture"] == "llama"
    assert header.metadata["llama.block_count"] == 2
    assert header.metadata["llama.rope.freq_base"] == 10000.0
    assert [tensor.name for tensor in header.tensors] == [spec.name for spec in file.tensors]
    query = header.tensors[2]
    assert (query.shape, query.type_name, query.elements) == ((32, 32), "Q4_0", 1024)
    assert query.size_bytes == 1024 // 32 * 18
    assert header.data_offset % 32 == 0
    assert header.end == header.file_bytes == (tmp_path / "model.gguf").stat().st_size


def test_wider_alignment_is_followed(tmp_path: Path) -> None:
    """A file may align its tensors to more than 32 bytes."""
    file = tiny_model()
    file.alignment = 4096
    file.settings["general.alignment"] = number("u32", 4096)
    header = read(file, tmp_path)
    assert header.data_offset % 4096 == 0
    assert header.tensors[1].offset == 4096


def test_vocabulary_stands_as_a_summary(tmp_path: Path) -> None:
    """Lists of texts are not kept; short lists of numbers are, since settings per block are such lists."""
    file = tiny_model()
    file.settings["llama.feed_forward_length"] = numbers("u32", [64, 96])
    file.settings["long"] = numbers("i32", range(10_000))
    metadata = read(file, tmp_path).metadata
    assert metadata["tokenizer.ggml.tokens"] == ArraySummary("text", len(TOKENS))
    assert metadata["llama.feed_forward_length"] == ArraySummary("uint32", 2, (64, 96))
    assert metadata["long"] == ArraySummary("int32", 10_000)


def test_text_too_long_to_keep_is_passed_over(tmp_path: Path) -> None:
    """A whole tokenizer inside a setting costs no memory and hides nothing that follows."""
    file = tiny_model()
    file.settings = {"tokenizer.huggingface.json": text("x" * 3_000_000), **file.settings}
    metadata = read(file, tmp_path).metadata
    assert metadata["tokenizer.huggingface.json"] == ArraySummary("byte", 3_000_000)
    assert metadata["general.name"] == "Tiny"


def test_kept_texts_are_bounded_in_sum(tmp_path: Path) -> None:
    """Thousands of texts, each just small enough to keep, do not add up without end."""
    file = tiny_model()
    for index in range(100):
        file.settings[f"filler.{index}"] = text("x" * 60_000)
    values = read(file, tmp_path).metadata.values()
    assert sum(len(value) for value in values if isinstance(value, str)) <= reader.KEPT_TOTAL_BYTES
    assert any(isinstance(value, str) and len(value) == 60_000 for value in values)


def test_every_truncation_is_incomplete(tmp_path: Path) -> None:
    """A file that ends anywhere before its end is called cut short, never damaged."""
    path = tiny_model().write(tmp_path / "model.gguf")
    header = read_header(path)
    inside_tensors = range(header.end - 1, header.data_offset, -97)
    for size in (*inside_tensors, *range(header.data_offset, -1, -1)):
        os.truncate(path, size)
        with pytest.raises(Incomplete, match="cut short"):
            read_header(path)


def test_missing_tensor_data_are_counted(tmp_path: Path) -> None:
    """The sentence says how many bytes the tensors need and how many are there."""
    path = tiny_model().write(tmp_path / "model.gguf")
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(Incomplete, match=f"its tensors need {size:,} bytes, the file has {size - 1:,}"):
        read_header(path)


@pytest.mark.no_cover
@pytest.mark.parametrize("lists", [1, 3])
def test_many_empty_texts_are_passed_in_bounded_time(lists: int, tmp_path: Path) -> None:
    """The worst that the limits allow, three million empty texts in one list or in several: at once, in no memory."""
    claims = {f"odd{number}": claim(TEXT, cursor.TEXTS_LIMIT // lists - 1000) for number in range(lists)}
    parts = [raw_text(key) + value + bytes(8 * (cursor.TEXTS_LIMIT // lists - 1000)) for key, value in claims.items()]
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, lists) + b"".join(parts))
    tracemalloc.start()
    try:
        with pytest.raises(Incomplete):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert min(seconds_until_incomplete(path) for _ in range(2)) < BOUND_S


def seconds_until_incomplete(path: Path) -> float:
    """Of the processor."""
    start = time.process_time()
    with pytest.raises(Incomplete):
        read_header(path)
    return time.process_time() - start


def test_more_texts_than_any_vocabulary_has_are_refused(tmp_path: Path) -> None:
    """Without passing over them."""
    file = GgufFile(settings={"odd": claim(TEXT, cursor.TEXTS_LIMIT + 1)}, tensors=[TensorSpec("x", (1,))])
    path = file.write(tmp_path / "model.gguf")
    os.truncate(path, 200 << 20)
    with pytest.raises(InvalidModel, match="more than 3,145,728 texts"):
        read_header(path)


def test_random_bytes_are_not_a_model(tmp_path: Path) -> None:
    """A file of another kind is named by its first bytes; garbage after the magic is refused too."""
    path = tmp_path / "noise.gguf"
    path.write_bytes(b"\x00" + os.urandom(1 << 16))
    with pytest.raises(InvalidModel, match="is not a GGUF file"):
        read_header(path)
    path.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * (1 << 16))
    with pytest.raises(InvalidModel, match="damaged"):
        read_header(path)


def test_absent_file_is_not_found(tmp_path: Path) -> None:
    """A wrong path is no fault of any model, also where a file stands in a folder's place."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent.gguf", tmp_path / "file" / "absent.gguf"):
        with pytest.raises(NotFound, match="There is no file"):
            read_header(path)


def test_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the operating system is passed on in its own words."""
    path = tiny_model().write(tmp_path / "model.gguf")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(NotFound, match="cannot be read: Permission denied"):
        read_header(path)


def test_folder_and_pipe_are_not_opened(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever; neither it nor a folder is a file."""
    pipe = tmp_path / "pipe.gguf"
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
    else:
        pipe.mkdir()
    for path in (tmp_path, pipe):
        with pytest.raises(InvalidModel, match="is not a plain file"):
            read_header(path)


def test_file_that_shrinks_while_it_is_read_is_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length that was asked at the start is not believed later."""
    path = tiny_model().write(tmp_path / "model.gguf")
    size = path.stat().st_size
    os.truncate(path, 600)
    status = os.stat_result((0o100644, 0, 0, 1, 0, 0, size, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: status)
    with pytest.raises(Incomplete):
        read_header(path)


def test_later_parts_have_few_settings(tmp_path: Path) -> None:
    """The parts of a split model are files of their own right."""
    for part in split_model(3):
        assert read(part, tmp_path).metadata["split.count"] == 3


def test_text_values_need_not_be_utf8(tmp_path: Path) -> None:
    """A broken letter in a description is no reason to refuse a model."""
    file = tiny_model()
    file.settings["general.description"] = text(b"caf\xe9")
    assert read(file, tmp_path).metadata["general.description"] == "caf\N{REPLACEMENT CHARACTER}"


def test_error_sentences_hide_control_characters(tmp_path: Path) -> None:
    """What a file says is quoted, so that it cannot write to the terminal."""
    file = tiny_model()
    file.settings["\x1b[2J" + "k" * 200] = struct.pack("<I", 77)
    with pytest.raises(InvalidModel) as caught:
        read(file, tmp_path)
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 200


def test_vocabulary_of_a_quarter_million_tokens_is_read_quickly(tmp_path: Path) -> None:
    """The largest vocabularies in use pass in well under a second of processor time, over many buffers."""
    file = tiny_model()
    count = 262_144
    file.settings["tokenizer.ggml.tokens"] = texts([f"token{index}" for index in range(count)])
    file.settings["tokenizer.ggml.scores"] = numbers("f32", [0.0] * count)
    path = file.write(tmp_path / "model.gguf")
    start = time.process_time()
    header = read_header(path)
    assert time.process_time() - start < 1.0
    assert header.metadata["tokenizer.ggml.tokens"] == ArraySummary("text", count)
    assert header.metadata["general.name"] == "Tiny"
