"""Sizes and contexts as people write them, wherever they do: on the command line, in a policy, in a site file."""

import pytest

from deploy.quantities import amount, gigabytes, read_size, read_tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("20MB", 20_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1kb", 1000),
        ("100 B", 100),
        ("2TB", 2 * 10**12),
        ("1.5GiB", 3 << 29),
        ("8 kib", 8192),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    """In decimal units, and in binary ones where the i says so."""
    assert read_size(text) == count


@pytest.mark.parametrize(
    "text", ["", "20", "MB", "-1MB", "0MB", "20XB", "1e3GB", "infGB", "1.GB", "nan", "9" * 400 + "GB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    """Rather than taken for no limit."""
    with pytest.raises(ValueError, match="is not a size"):
        read_size(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8192", 8192), (8192, 8192), ("32k", 32768), ("32 K", 32768), ("1M", 1 << 20), ("1.5k", 1536), ("8,192", 8192)],
)
def test_contexts_are_read_as_people_write_them(text: int | str, count: int) -> None:
    """With or without a unit; a k is 1,024 tokens, as in the names of models."""
    assert read_tokens(text) == count


@pytest.mark.parametrize("text", ["", "k", "-1", "255", "many", "32kb", "1e5"])
def test_what_is_no_context_is_refused(text: str) -> None:
    """Also one that is too short for anything."""
    with pytest.raises(ValueError, match="is not a context of 256 tokens or more"):
        read_tokens(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 MB"), (1, "1 MB"), (98_362_432, "98 MB"), (1_640_000_000, "1.6 GB"), (23 * 10**9, "23 GB")],
)
def test_sizes_are_written_as_people_read_them(count: int, text: str) -> None:
    """Decimal units, two or three figures; something is never nothing."""
    assert gigabytes(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 kB"), (1, "1 kB"), (83_402, "83 kB"), (1_000_000, "1 MB"), (23 * 10**9, "23 GB")]
)
def test_small_amounts_are_written_in_kilobytes(count: int, text: str) -> None:
    """Of an image, a megabyte would say too little."""
    assert amount(count) == text
