"""Whatever happens to a file's bytes, the checker gives an answer or one of our errors, soon."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import Incomplete, LandfastError
from deploy.gguf.check import ModelFile, inspect
from deploy.gguf.reader import read_header
from tests.support.gguf import tiny_model

TIME_LIMIT_S = 5.0
VALID = tiny_model().build()
HEADER_BYTES = len(tiny_model().header())

places = st.integers(0, HEADER_BYTES - 1)
flips = st.lists(st.tuples(places, st.integers(1, 255)), min_size=1, max_size=6)
numbers = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1), st.sampled_from([1 << 31, (1 << 32) - 1]))


def answer(data: bytes, factory: pytest.TempPathFactory) -> ModelFile | LandfastError:
    """Inspect these bytes as a file, within the time limit; any error that is not ours is raised on."""
    path = factory.getbasetemp() / "random.gguf"
    path.write_bytes(data)
    start = time.process_time()
    try:
        return inspect(path)
    except LandfastError as error:
        return error
    finally:
        assert time.process_time() - start < TIME_LIMIT_S


@settings(database=None, deadline=None, max_examples=300)
@given(flips=flips)
def test_flipped_bytes_give_an_answer(flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Some flips leave a valid model, all others are refused in order."""
    data = bytearray(VALID)
    for place, mask in flips:
        data[place] ^= mask
    answer(bytes(data), tmp_path_factory)


@settings(database=None, deadline=None, max_examples=300)
@given(place=places, number=numbers, width=st.sampled_from([4, 8]))
def test_foreign_numbers_give_an_answer(
    place: int, number: int, width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Counts and lengths may say anything."""
    data = bytearray(VALID)
    data[place : place + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    answer(bytes(data), tmp_path_factory)


@settings(database=None, deadline=None, max_examples=100)
@given(size=st.integers(0, len(VALID) - 1), flips=flips)
def test_broken_and_cut_files_never_pass_as_longer_ones(
    size: int, flips: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A cut file that still passes has its tensors within the bytes that are left."""
    assert isinstance(answer(VALID[:size], tmp_path_factory), Incomplete)
    data = bytearray(VALID)
    for place, mask in flips:
        data[place] ^= mask
    result = answer(bytes(data[:size]), tmp_path_factory)
    if isinstance(result, ModelFile):
        assert read_header(tmp_path_factory.getbasetemp() / "random.gguf").end <= size


@settings(database=None, deadline=None, max_examples=100)
@given(data=st.binary(max_size=2000), magic=st.sampled_from([b"", b"GGUF", b"GGUF\x03\0\0\0"]))
def test_noise_is_refused(data: bytes, magic: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes of no meaning are no model, with or without the right beginning."""
    assert isinstance(answer(magic + data, tmp_path_factory), LandfastError)
