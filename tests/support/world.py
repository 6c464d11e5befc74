"""A small world for the commands: a machine, a catalogue, sources and a store that need nothing of the real ones."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

import msgspec

from deploy.catalog import loader
from deploy.catalog.model import (
    Artifact,
    Capabilities,
    Catalog,
    CataloguedFile,
    LeftOut,
    Licence,
    MemoryCurve,
    Merit,
    Model,
    Use,
)
from deploy.commands.context import Context
from deploy.engine.base import Engine
from deploy.engine.fake import FakeEngine
from deploy.errors import Unreachable
from deploy.paths import resolve
from deploy.sources.base import NoOffer, Offer, Progress, Reach, Report, Source
from profiles.machine import Cpu, Disk, Fact, Limits, Machine, Memory, Unknown
from tests.support.gguf import tiny_model

GB: Final = 10**9
TINY: Final = tiny_model().build()
"""A valid GGUF file of a few kilobytes, quantised as Q4_0."""
CURVE: Final = next(known for known in loader.load().models if known.id == "smollm2-135m-instruct").memory
"""A real one: 189 MB of cache for 8,192 tokens, and a compute buffer of about a hundred."""


def machine(
    *,
    total_bytes: int = 16 * GB,
    available_bytes: int | None = None,
    cores: int = 4,
    disk_free_bytes: int = 100 * GB,
) -> Machine:
    """A machine without limits and accelerators; all of its memory is available unless said otherwise."""

    def fact(value: int) -> Fact[int]:
        return Fact(value, "the test")

    def text(value: str) -> Fact[str]:
        return Fact(value, "the test")

    return Machine(
        operating_system=text("Testix"),
        architecture=text("x86_64"),
        cpu=Cpu(
            model=text("Test processor"),
            vendor=text("test"),
            physical_cores=fact(cores),
            logical_cores=fact(cores),
            instruction_sets=Fact(("avx2",), "the test"),
        ),
        memory=Memory(
            total_bytes=fact(total_bytes),
            available_bytes=fact(total_bytes if available_bytes is None else available_bytes),
            swap_total_bytes=fact(0),
        ),
        limits=Limits(),
        accelerators=Fact((), "the test"),
        disk=Disk(path="here", total_bytes=fact(disk_free_bytes), free_bytes=fact(disk_free_bytes)),
        engine_backends=Fact(("cpu",), "the test"),
    )


def blind_machine() -> Machine:
    """A machine of which nothing could be read."""
    unknown = Unknown("the test hides it")
    return Machine(
        operating_system=Fact(unknown, "the test"),
        architecture=Fact(unknown, "the test"),
        cpu=Cpu(**{name: Fact(unknown, "the test") for name in _CPU_FACTS}),
        memory=Memory(**{name: Fact(unknown, "the test") for name in _MEMORY_FACTS}),
        limits=Limits(),
        accelerators=Fact(unknown, "the test"),
        disk=Disk(path="here", total_bytes=Fact(unknown, "the test"), free_bytes=Fact(unknown, "the test")),
        engine_backends=Fact(unknown, "the test"),
    )


_CPU_FACTS: Final = ("model", "vendor", "physical_cores", "logical_cores", "instruction_sets")
_MEMORY_FACTS: Final = ("total_bytes", "available_bytes", "swap_total_bytes")


def file_of(name: str, body: bytes) -> CataloguedFile:
    """A fully pinned file."""
    return CataloguedFile(name=name, size_bytes=len(body), size_exact=True, sha256=hashlib.sha256(body).hexdigest())


def artifact(quant: str, name: str = "tiny.gguf", body: bytes = TINY) -> Artifact:
    """A form of one file with these bytes."""
    return Artifact(quant=quant, publisher="the test", files=(file_of(name, body),))


def sized(quant: str, size_bytes: int) -> Artifact:
    """A form that is only planned with: of a size, without a hash."""
    file = CataloguedFile(name=f"{quant}-{size_bytes}.gguf", size_bytes=size_bytes, size_exact=True)
    return Artifact(quant=quant, publisher="the test", files=(file,))


def model(
    model_id: str,
    *artifacts: Artifact,
    parameters: int = GB,
    chat: bool | None = True,
    curve: MemoryCurve = CURVE,
    context_tokens: int = 8192,
) -> Model:
    """A catalogued model. More parameters make it a better one."""
    return Model(
        id=model_id,
        name=model_id.title(),
        family="test",
        publisher="Testers",
        country="FR",
        licence=Licence(id="Apache-2.0", restrictions=None),
        release_date="2025-01-01",
        parameters_total=parameters,
        parameters_active=parameters,
        architecture="llama",
        context_tokens=context_tokens,
        capabilities=Capabilities(chat=chat),
        memory=curve,
        artifacts=artifacts,
        sources=("the test",),
        merits=tuple(Merit(use, math.log2(parameters / GB), 0.0, 1, 0) for use in get_args(Use)),
    )


def sighted(known: Model, *projectors: Artifact) -> Model:
    """The same model, made for images, with these projectors."""
    return msgspec.structs.replace(
        known, capabilities=Capabilities(chat=known.capabilities.chat, vision=True), projectors=projectors
    )


def catalog(*models: Model) -> Catalog:
    """A catalogue of these models, and one that cannot be installed."""
    return Catalog(
        schema="landfast.catalog/1",
        dated="2025-06-01",
        engine="the test",
        models=models,
        left_out=(LeftOut("locked", "Locked", "Its files are not public."),),
    )


@dataclass
class FakeSource:
    """A place that holds files by name; `reachable` False is one that does not answer."""

    name: str = "test shelf"
    files: Mapping[str, bytes] = field(default_factory=lambda: {"tiny.gguf": TINY})
    reachable: bool = True
    fetched: list[str] = field(default_factory=list)

    def reach(self, timeout_s: float) -> Reach:
        """Answer at once, or be away."""
        reason = "it answers" if self.reachable else "connection refused"
        return Reach(source=self.name, reachable=self.reachable, reason=reason)

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer what has all its files here."""
        if all(file.name in self.files for file in artifact.files):
            return Offer(source=self.name)
        return NoOffer(source=self.name, reason="it is not on the shelf")

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Write the files, or do not answer."""
        if not self.reachable:
            raise Unreachable(f"The {self.name} does not answer.", hint="Look at the network.")
        return tuple(self._fetch_file(file, staging, report) for file in artifact.files)

    def _fetch_file(self, file: CataloguedFile, staging: Path, report: Report) -> Path:
        path = staging / file.name
        path.write_bytes(self.files[file.name])
        self.fetched.append(file.name)
        report(Progress(step="download", text=f"download {file.name}", done_bytes=path.stat().st_size))
        return path


@dataclass
class Heard:
    """A report that remembers."""

    all: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        """Hear one progress."""
        self.all.append(progress)


def world(
    home: Path,
    *models: Model,
    sources: tuple[Source, ...] | None = None,
    engine: Engine | None = None,
    on: Machine | None = None,
) -> Context:
    """A context over a store in `home`: by default one tiny model and one source that has it."""
    known = catalog(*(models or (model("tiny", artifact("Q4_0")),)))
    here = on or machine()
    return Context(
        paths=resolve({"LANDFAST_HOME": str(home)}),
        engine=engine or FakeEngine(),
        sources=(FakeSource(),) if sources is None else sources,
        profile=lambda: here,
        catalog=lambda: known,
        report=Heard(),
    )
