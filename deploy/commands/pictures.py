"""Images for a model: their files are read and measured here, and decoded in the sealed engine process alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.commands.context import Context, UsedProjector
from deploy.commands.pace import budget_of
from deploy.commands.resolve import best_installed, installed_as, resolve
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
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
from deploy.errors import LandfastError, NotFound, UsageError
from deploy.fit.fit import Workload
from deploy.gguf.projector import inspect_projector
from deploy.quantities import gigabytes
from deploy.store.files import sha256_of
from deploy.store.records import Installed, StoredProjector

HINT: Final = "Open it in an image program and save it again, smaller, as PNG or JPEG."
OWN_PROJECTOR: Final = "Give its mmproj file with --projector FILE; models made for images are published with one."


def read_images(files: Sequence[Path], *, projector: Path | None, kept: str | None = None) -> tuple[bytes, ...]:
    """The files, read whole and measured; none can be shown in a session that is kept on the disk.

    Raises NotFound, and UsageError for what cannot be shown to a model.
    """
    if files and projector is None:
        raise UsageError(
            "To read an image, the model needs its projector.",
            hint=OWN_PROJECTOR,
        )
    if files and kept is not None:
        raise UsageError("A session with images cannot be kept.", hint="Leave out --keep and --resume, or the images.")
    if len(files) > IMAGES_LIMIT:
        raise UsageError(
            f"{len(files)} images are too many: at most {IMAGES_LIMIT} can be shown at once.", hint="Show fewer."
        )
    found = tuple(map(read_image, files))
    if sum(map(len, found)) > TOGETHER_LIMIT_BYTES:
        raise UsageError(f"The images have more than {gigabytes(TOGETHER_LIMIT_BYTES)} together.", hint=HINT)
    return found


def projector_of(context: Context, model: str | Installed) -> Path | None:
    """The projector that was installed with a model, ready to be read; None where there is none.

    A name that is not an installed model's has none. Raises NotFound, Incomplete or IntegrityError for a projector
    that is no longer what was installed.
    """
    record = model if isinstance(model, Installed) else installed_as(context, model)
    return None if record is None else context.store.open_projector(record, context.report)


def eyes_of(context: Context, model: str | None, workload: Workload) -> tuple[str, Path]:
    """The installed model to show images to, and its projector: the one that was named, or the best that has one.

    Raises NotFound with the command that brings what is missing, and UsageError for a model that has no eyes.
    """
    if model is None:
        target = best_installed(context, budget_of(context, now=True), workload, seeing=True)
    else:
        named = resolve(context, model, workload)
        if not isinstance(named, InstalledTarget):
            raise blind(named)
        target = named
    projector = projector_of(context, target.installed)
    if projector is None:
        raise blind(target)
    return target.installed.id, projector


def blind(target: Target) -> LandfastError:
    """Why a model cannot be shown an image now, and what brings its eyes."""
    if isinstance(target, FileTarget):
        return UsageError("To read an image, the model needs its projector.", hint=OWN_PROJECTOR)
    if isinstance(target, CatalogueTarget):
        hint = f"Run `landfast install {target.id} --for vision` first."
        return NotFound(f"{target.id} is not installed.", hint=hint)
    model_id = target.installed.id
    if target.catalogued is not None and target.catalogued[0].projectors:
        hint = f"Run `landfast install {model_id} --for vision`, or give a file with --projector."
        return NotFound(f"The projector that {model_id} looks at images with is not installed.", hint=hint)
    if target.catalogued is not None and target.catalogued[0].capabilities.vision is False:
        hint = "Run `landfast install --for vision` for a model that was."
        return UsageError(f"{model_id} was not made for images.", hint=hint)
    return UsageError("To read an image, the model needs its projector.", hint=OWN_PROJECTOR)


def seeing(context: Context, projector: Path | None, images: Sequence[bytes] = ()) -> Context:
    """The world with an engine that can be shown these images; the projector is judged before native code sees it.

    Raises NotFound, Incomplete and InvalidModel.
    """
    if projector is None:
        return context
    judged = inspect_projector(projector)
    kept = _installed_at(context, projector)
    sha256 = kept.sha256 if kept else sha256_of(projector, f"check {projector.name}", context.report)[0]
    sight = UsedProjector(
        file=kept.name if kept else projector.name,
        kind=judged.kind,
        sha256=sha256,
        memory_bytes=judged.memory_bytes + decoding_bytes(images),
    )
    engine = context.engine.with_adapters((), Projector(projector.resolve(), sha256))
    return replace(context, engine=engine, sight=sight)


def _installed_at(context: Context, path: Path) -> StoredProjector | None:
    """The installed projector that lies there: in the store a file is called by its hash, which opening it has checked.

    The engine process hashes what it loads once more.
    """
    found = (record.projector for record in context.store.installed() if record.projector is not None)
    return next((one for one in found if one.sha256 == path.name), None)


def decoding_bytes(images: Sequence[bytes]) -> int:
    """What decoding takes at most: one image after the other, and all of them kept until they are encoded."""
    pixels = [size_of(image).pixels for image in images]
    return DECODING_BYTES * max(pixels, default=0) + DECODED_BYTES * sum(pixels)


def read_image(path: Path) -> bytes:
    """A file, read whole and measured. Raises NotFound, and UsageError for what is no image that can be shown."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"There is no file {path}.", hint="Check the path.") from error
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    try:
        size_of(data)
    except NoPicture as error:
        raise UsageError(f"The image {path.name} {error}.", hint=HINT) from error
    return data
