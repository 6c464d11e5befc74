"""Documents that carry their own checksum: no altered byte goes unnoticed."""

import msgspec
import pytest

from deploy.checksum import checksummed, is_intact

DOCUMENT = b'{\n  "name": "a",\n  "count": 1\n}\n'


def test_the_document_stays_json_and_gains_one_field() -> None:
    """Readers that do not know of the checksum are not disturbed."""
    whole = checksummed(DOCUMENT)
    assert is_intact(whole)
    read = msgspec.json.decode(whole)
    assert read.pop("checksum")
    assert read == {"name": "a", "count": 1}
    assert checksummed(DOCUMENT) == whole


def test_every_altered_byte_is_noticed() -> None:
    """Each bit of each byte, white space and the checksum itself included."""
    whole = checksummed(DOCUMENT)
    for where in range(len(whole)):
        for bit in range(8):
            assert not is_intact(whole[:where] + bytes([whole[where] ^ (1 << bit)]) + whole[where + 1 :])


@pytest.mark.parametrize("spoilt", [DOCUMENT, b"", checksummed(DOCUMENT)[:-1], checksummed(DOCUMENT) + b" "])
def test_a_document_without_a_checksum_at_its_end_is_not_intact(spoilt: bytes) -> None:
    """Cut short, added to, or never given one."""
    assert not is_intact(spoilt)
