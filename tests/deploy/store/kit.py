"""A small installer for the tests of the store: it stages bytes as a source would and commits them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.sources.base import Progress
from deploy.store.records import Description, Installed, Pin
from deploy.store.store import Store
from deploy.store.transaction import Transaction

KEY = "tiny:Q4_K_M"
OTHER = "other:Q8_0"
ONE = {"tiny.gguf": b"GGUF" + bytes(range(256)) * 64}
TWO = {"tiny.gguf": b"GGUF" + bytes(reversed(range(256))) * 64}
EVEN = {"even.gguf": b"GGUF even", "shared.gguf": ONE["tiny.gguf"]}
ODD = {"odd.gguf": b"GGUF odd", "shared.gguf": ONE["tiny.gguf"]}


def quiet(_: Progress) -> None:
    """Take a progress report and do nothing with it."""


def sha256(content: bytes) -> str:
    """The hash under which the store keeps these bytes."""
    return hashlib.sha256(content).hexdigest()


def description(model_id: str = KEY) -> Description:
    """The facts of a model that the store writes down and does not judge."""
    name, quant = model_id.split(":")
    return Description(
        id=model_id,
        model_id=name,
        name=name.title(),
        quant=quant,
        publisher="Nobody",
        architecture="llama",
        licence="Apache-2.0",
        source="Made for a test.",
    )


def pins(contents: Mapping[str, bytes]) -> tuple[Pin, ...]:
    """What a catalogue that knows everything promises of these files."""
    return tuple(Pin(name=name, size_bytes=len(content), sha256=sha256(content)) for name, content in contents.items())


def stage(transaction: Transaction, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Bring the files into the staging folder; one that is there in full is taken as it is, as a source does."""
    paths = tuple(transaction.staging / name for name in contents)
    for path, content in zip(paths, contents.values(), strict=True):
        if not path.exists() or path.stat().st_size != len(content):
            path.write_bytes(content)
    return paths


def check(paths: Sequence[Path]) -> int:
    """A validator that accepts every file and says how many there are."""
    return len(paths)


def install(
    store: Store, contents: Mapping[str, bytes], model_id: str = KEY, *, promised: Sequence[Pin] | None = None
) -> Installed:
    """Install a model in one go."""
    with store.transaction(model_id, 0, quiet) as transaction:
        paths = stage(transaction, contents)
        return transaction.commit(
            paths, pins(contents) if promised is None else promised, check, lambda _: description(model_id)
        )


def loaded(store: Store, model_id: str = KEY) -> dict[str, bytes] | None:
    """What an engine would read of a model, by file name; None when the model is not installed."""
    record = store.get(model_id)
    if record is None:
        return None
    paths = store.open_files(record, quiet)
    return {file.name: path.read_bytes() for file, path in zip(record.files, paths, strict=True)}


def snapshot(root: Path) -> dict[str, bytes]:
    """Everything that the store keeps, without locks and staging: to see that nothing changed."""
    kept = [path for place in ("blobs", "models") for path in (root / place).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in kept}
