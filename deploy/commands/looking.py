"""Images in a conversation: what is read of a file, how many a conversation can hold, and a model that sees them."""

import hashlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from deploy.commands.attach import read_attachment
from deploy.commands.context import Context
from deploy.commands.pace import budget_of
from deploy.commands.pictures import HINT, decoding_bytes, projector_of, read_image, seeing
from deploy.commands.resolve import best_installed
from deploy.commands.session import Opened
from deploy.conversations import Attachment, Picture
from deploy.engine.base import Session
from deploy.engine.picture import IMAGES_LIMIT, JPEG, PNG, TOGETHER_LIMIT_BYTES, size_of
from deploy.engine.protocol import ChatMessage
from deploy.errors import LandfastError, NotEnoughMemory, UsageError
from deploy.fit.fit import Workload
from deploy.gguf.projector import inspect_projector
from deploy.paths import named_path
from deploy.quantities import amount, gigabytes

ROOM_BYTES: Final = 512 << 20
"""Of the plan of a chat, for decoding images that nobody has chosen yet: one photo of 20 million pixels, or four of 10
million, since all of a conversation are decoded when one of them must be read again."""
BEGIN_ANEW: Final = "Begin a new conversation, or save the image again with fewer pixels."
QUESTION: Final = "."
GGUF: Final = b"GGUF"
OTHER_IMAGES: Final = frozenset({".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"})
"""Endings of images that are not looked at."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image that goes with a message: its file, read whole, and what its header says."""

    picture: Picture
    data: bytes

    @property
    def words(self) -> str:
        """Its name, its size, and its size in pixels."""
        picture = self.picture
        return f"{picture.name} · {amount(picture.size_bytes)} · {picture.width:,} x {picture.height:,}"


def path_in(text: str) -> str:
    """The path in what terminals write when a file is dropped on them: in quotes, with backslashes, or an address."""
    text = text.strip()
    if text.startswith("file://"):
        return unquote(urlsplit(text).path)
    if sys.platform == "win32":
        return text.strip('"')
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text


def shown_from(name: str) -> Shown:
    """Read an image file; it is measured and not decoded. Raises NotFound, and UsageError for what cannot be shown."""
    path = named_path(name)
    data = read_image(path)
    width, height = size_of(data)
    return Shown(Picture(path.name, hashlib.sha256(data).hexdigest(), len(data), width, height), data)


def file_from(name: str) -> Attachment | Shown | Path:
    """A file, read as what its first bytes say it is: an image, a model's projector, or else a text.

    Of a projector its path is given. Raises NotFound, UsageError, Incomplete and InvalidModel.
    """
    path = named_path(name)
    begins = _beginning(path)
    if begins.startswith((PNG, JPEG)):
        return shown_from(name)
    if begins.startswith(GGUF):
        inspect_projector(path)
        return path
    if path.suffix.lower() in OTHER_IMAGES:
        raise UsageError(f"The image {path.name} is neither PNG nor JPEG.", hint=HINT)
    return read_attachment(name)


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; nothing where it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(len(PNG))
    except OSError:
        return b""


def require_room(before: Sequence[bytes], waiting: Sequence[bytes], more: bytes) -> None:
    """Raises UsageError where one image more cannot be shown, after those that were and beside those that wait."""
    if len(waiting) >= IMAGES_LIMIT:
        raise UsageError(f"At most {IMAGES_LIMIT} images can go with a message.", hint="Show fewer.")
    all_images = (*before, *waiting, more)
    if sum(map(len, all_images)) > TOGETHER_LIMIT_BYTES:
        limit = gigabytes(TOGETHER_LIMIT_BYTES)
        raise UsageError(f"The images of a conversation may have {limit} together.", hint=BEGIN_ANEW)
    needed = decoding_bytes(all_images)
    if needed > ROOM_BYTES:
        raise UsageError(
            f"Decoding the images of this conversation takes {gigabytes(needed)} of memory; "
            f"{gigabytes(ROOM_BYTES)} is planned for it.",
            hint=BEGIN_ANEW if before or waiting else HINT,
        )


def image_tokens(session: Session, image: bytes) -> int:
    """How many tokens an image is. Raises EngineFailed where the model cannot be shown one."""
    with_it, without = ChatMessage("user", QUESTION, images=(image,)), ChatMessage("user", QUESTION)
    return session.count_conversation([with_it]) - session.count_conversation([without])


def open_to_look(
    context: Context,
    name: str | None,
    workload: Workload,
    projector: Path | None,
    opening: Callable[[Context], Opened],
) -> Opened:
    """Open a model with this projector, or else with the one that was installed with it.

    Raises what `opening` and `seeing` raise. An installed projector that cannot be used leaves a model that reads text.
    """
    if projector is not None:
        return opening(_with_room(seeing(context, projector)))
    try:
        return opening(_with_room(seeing(context, _installed(context, name, workload))))
    except _Unusable as error:
        return _blind(opening(context), str(error))
    except NotEnoughMemory:
        opened = opening(context)
        return _blind(opened, "there is not enough memory for them beside the model")


class _Unusable(Exception):
    """Why an installed projector is of no use."""


def _installed(context: Context, name: str | None, workload: Workload) -> Path | None:
    """The projector of the model that will be opened. Raises _Unusable."""
    if not any(record.projector for record in context.store.installed()):
        return None
    if name is None:
        name = best_installed(context, budget_of(context, now=True), workload).installed.id
    try:
        return projector_of(context, name)
    except LandfastError as error:
        raise _Unusable(error.message) from error


def _with_room(world: Context) -> Context:
    """With room in the plan for the images to come, where the engine sees."""
    if world.sight is None:
        return world
    wider = msgspec.structs.replace(world.sight, memory_bytes=world.sight.memory_bytes + ROOM_BYTES)
    return replace(world, sight=wider)


def _blind(opened: Opened, why: str) -> Opened:
    return replace(opened, warnings=(*opened.warnings, f"Images cannot be shown: {why.rstrip('.')}."))
