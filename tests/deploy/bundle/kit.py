"""Hosts and bundles for the tests: one host makes bundles, another takes them in."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec

from deploy.bundle.manifest import MANIFEST, PUBLIC_KEY, SIGNATURE, Manifest, decode
from deploy.bundle.signing import sign
from deploy.commands.bundle import CreateRequest, create
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.keys import trust_key
from deploy.keys import signing_key
from tests.support.gguf import split_model
from tests.support.world import TINY, FakeSource, artifact, file_of, model, world

BIG = TINY + bytes(range(256)) * 4096
"""About a megabyte: several parts of a bundle, and still a valid model."""
SPLIT = {f"split-{number:05}-of-00003.gguf": part.build() for number, part in enumerate(split_model(3), 1)}
SPLIT_FORM = msgspec.structs.replace(artifact("Q4_0"), files=tuple(file_of(name, body) for name, body in SPLIT.items()))
MODELS = (
    model("tiny", artifact("Q4_0")),
    model("big", artifact("Q4_0", "big.gguf", BIG), parameters=2 * 10**9),
    model("split", SPLIT_FORM),
)
PART_BYTES = 300_000


def maker(home: Path) -> Context:
    """A connected host with all three models."""
    here = world(home, *MODELS, sources=(FakeSource(files={"tiny.gguf": TINY, "big.gguf": BIG, **SPLIT}),))
    for known in MODELS:
        install(here, InstallRequest(model=known.id))
    return here


def taker(home: Path, bundle: Path | None = None) -> Context:
    """A host without sources, which trusts the maker of the bundle where one is given."""
    here = world(home, *MODELS, sources=())
    if bundle is not None:
        trust_key(here, str(bundle / PUBLIC_KEY))
    return here


def bundled(here: Context, out: Path, *models: str, part_bytes: int = PART_BYTES) -> Path:
    """Make a bundle and give its folder."""
    create(here, CreateRequest(out=str(out), models=models, part_bytes=part_bytes))
    return out


def take(here: Context, bundle: Path, name: str | None = "big") -> bytes:
    """Install from a bundle and give the bytes that would be loaded."""
    result = install(here, InstallRequest(model=name, folder=str(bundle)))
    assert result.data is not None
    return b"".join(path.read_bytes() for path in here.store.open_files(result.data.installed, here.report))


def manifest_of(bundle: Path) -> Manifest:
    """What the bundle says of itself."""
    return decode((bundle / MANIFEST).read_bytes())


def rewrite(bundle: Path, here: Context, old: bytes, new: bytes) -> None:
    """Edit the manifest and sign it again, as a trusted maker gone bad would."""
    raw = (bundle / MANIFEST).read_bytes()
    assert old in raw
    raw = raw.replace(old, new)
    (bundle / MANIFEST).write_bytes(raw)
    (bundle / SIGNATURE).write_bytes(sign(raw, signing_key(here.paths)))


def parts_of(bundle: Path, name: str) -> list[Path]:
    """The files on the medium that hold parts of a model's file."""
    return sorted(path for path in bundle.rglob("*") if path.name.startswith(name))


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder and its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def copy_of(bundle: Path, to: Path) -> Path:
    """The same bundle at another place, to be spoilt there."""
    return Path(shutil.copytree(bundle, to))


def heard_by(here: Context, report: object) -> Context:
    """The same host with another listener."""
    return replace(here, report=report)  # type: ignore[arg-type]
