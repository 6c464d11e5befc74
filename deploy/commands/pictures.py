"""Images for a model: their files are read and measured here, and decoded in the sealed engine process alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.context import Context
from deploy.engine.files import Projector
from deploy.engine.picture import (
    DECODED_BYTES,
    DECODING_BYTES,
    FILE_LIMIT_BYTES,
    IMAGES_LIMIT,
    TOGETHER_LIMIT_BYTES,
    NoPicture,
    size_of,
)
from deploy.errors import NotFound, UsageError
from deploy.gguf.projector import inspect_projector
from deploy.store.files import sha256_of

HINT: Final = "Open it in an image program and save it again, smaller, as PNG or JPEG."


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """The projector of a run, as its result shows it."""

    file: str
    kind: str
    sha256: str
    memory_bytes: int
    """Of the plan: weights, and at most so much for encoding and decoding."""


def read_images(files: Sequence[Path], *, projector: Path | None, kept: str | None = None) -> tuple[bytes, ...]:
    """The files, read whole and measured; none can be shown in a session that is kept on the disk.

    Raises NotFound, and UsageError for what cannot be shown to a model.
    """
    if files and projector is None:
        raise UsageError(
            "A model alone reads text: an image needs the model's projector.",
            hint="Give its mmproj file with --projector FILE; models made for images are published with one.",
        )
    if files and kept is not None:
        raise UsageError("A session with images cannot be kept.", hint="Leave out --keep and --resume, or the images.")
    if len(files) > IMAGES_LIMIT:
        raise UsageError(f"{len(files)} images are too many: {IMAGES_LIMIT} can be shown at once.", hint="Show fewer.")
    found = tuple(map(_read, files))
    if sum(map(len, found)) > TOGETHER_LIMIT_BYTES:
        raise UsageError(f"The images have more than {TOGETHER_LIMIT_BYTES >> 20} MiB together.", hint=HINT)
    return found


def seeing(context: Context, projector: Path | None, images: Sequence[bytes] = ()) -> Context:
    """The world with an engine that can be shown these images; the projector is judged before native code sees it.

    Raises NotFound, Incomplete and InvalidModel.
    """
    if projector is None:
        return context
    judged = inspect_projector(projector)
    sha256, _ = sha256_of(projector, f"check {projector.name}", context.report)
    sight = Sight(
        file=projector.name,
        kind=judged.kind,
        sha256=sha256,
        memory_bytes=judged.memory_bytes + decoding_bytes(images),
    )
    engine = context.engine.with_adapters((), Projector(projector.resolve(), sha256))
    return replace(context, engine=engine, sight=sight)


def decoding_bytes(images: Sequence[bytes]) -> int:
    """What decoding takes at most: one image after the other, and all of them kept until they are encoded."""
    pixels = [size_of(image).pixels for image in images]
    return DECODING_BYTES * max(pixels, default=0) + DECODED_BYTES * sum(pixels)


def _read(path: Path) -> bytes:
    if not path.exists():
        raise NotFound(f"There is no file {path}.", hint="Check the path.")
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    try:
        size_of(data)
    except NoPicture as error:
        raise UsageError(f"The image {path.name} {error}.", hint=HINT) from error
    return data
