"""Text files that go with a message: read whole, refused where they are no text, and written before the question."""

import stat
from collections.abc import Sequence
from typing import Final

from deploy.conversations import Attachment, fenced
from deploy.errors import NotFound, UsageError
from deploy.paths import named_path

LIMIT_BYTES: Final = 2_000_000
"""Larger than the longest context of today's models; a mistake rather than a question."""


def read_attachment(name: str) -> Attachment:
    """Read a text file. Raises NotFound, and UsageError where it is too large or no text."""
    path = named_path(name)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{name} is not a file.", hint="Attach the files one at a time.")
        with path.open("rb") as file:
            raw = file.read(LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"There is no file {name}.", hint="Check the path.") from error
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    return Attachment(path.name, as_text(raw, name))


def as_text(raw: bytes, name: str) -> str:
    """The text in these bytes. Raises UsageError."""
    if len(raw) > LIMIT_BYTES:
        raise UsageError(
            f"{name} has more than {LIMIT_BYTES / 1e6:g} MB of text.",
            hint="Cut out the part that the question is about.",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text.", hint="Convert it to a text file first.") from error
    if "\0" in text:
        raise UsageError(f"{name} is a binary file.", hint="Convert it to a text file first.")
    if not text.strip():
        raise UsageError(f"{name} is empty.", hint="Choose another file.")
    return text


def with_attachments(text: str, attachments: Sequence[Attachment]) -> str:
    """What the model reads: the files, each under its name, and the question after them."""
    files = [f"File {attached.name}:\n\n{fenced(attached.text)}" for attached in attachments]
    return "\n\n".join([*files, text] if text else files)
