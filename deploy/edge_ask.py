"""What happens around run and embed at the command line: the prompt comes in, the answer streams out."""

import select
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from deploy.commands.context import Context
from deploy.edge import Setting, confirm, confirm_choice, serve
from deploy.engine.protocol import (
    Adapter,
    Done,
    Embedded,
    Event,
    Sampling,
    Text,
    Thinking,
)
from deploy.engine.wire import FRAME_LIMIT_BYTES
from deploy.errors import LandfastError, NotFound, UsageError
from deploy.fit.fit import Workload
from deploy.fit.suit import Purpose
from deploy.quantities import gigabytes
from deploy.results import Result
from deploy.terminal import Reporter, say, talk

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.commands.run import RunRequest

DIM, BRIGHT, BACK = "\x1b[2m", "\x1b[0m", "\r\x1b[K"
"""What a terminal takes for faint text, for usual text, and for an empty line."""
PIPE_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is to be asked."""

    system: str | None
    max_tokens: int
    sampling: Sampling
    workload: Workload
    repeatable: bool = False
    """Whether the same request must give the same answer again."""
    stop: tuple[str, ...] = ()
    schema: "Path | None" = None
    adapters: tuple[Adapter, ...] = ()
    images: "tuple[Path, ...]" = ()
    projector: "Path | None" = None
    keep: str | None = None
    resume: str | None = None
    show_thinking: bool = False
    unsealed: bool = False


def run(words: list[str], options: Asking, *, yes: bool, as_json: bool) -> int:
    """Answer one prompt. Only the answer goes to standard output."""
    from deploy.commands.run import RunData, require_prompt
    from deploy.commands.run import run as command

    model, prompt = _model_and_prompt(words)
    wrote = Writer(quiet=as_json, show_thinking=options.show_thinking)

    def work(world: Context) -> Result[RunData]:
        request = _request(model, prompt, options)
        require_prompt(request)
        if options.resume is None:
            purpose: Purpose = "vision" if options.images and options.projector is None else options.workload.purpose
            wanted = msgspec.structs.replace(options.workload, purpose=purpose)
            ensure_installed(world, model, wanted, yes=yes)
        try:
            return command(world, request, lambda event: wrote(event, world))
        finally:
            wrote.end_line()

    def show(data: RunData) -> None:
        from deploy.render import run_summary

        say(run_summary(data))

    return serve("run", work, None if as_json else show, Setting(unsealed=options.unsealed))


def embed(texts: list[str], model: str | None, workload: Workload, *, yes: bool, as_json: bool) -> int:
    """Make vectors of texts: those that were given, or the lines of what is piped in."""
    from deploy.commands.embed import EmbedData, EmbedRequest
    from deploy.commands.embed import embed as command

    lines = tuple(texts or _lines(_piped_text()))
    wrote = _VectorWriter(quiet=as_json)

    def work(world: Context) -> Result[EmbedData]:
        ensure_installed(world, model, workload, yes=yes)
        request = EmbedRequest(texts=lines, model=model, workload=workload, returns_vectors=as_json)
        return command(world, request, wrote)

    return serve("embed", work, None if as_json else lambda data: say(_embed_summary(data)), Setting())


def _request(model: str | None, prompt: str, options: Asking) -> "RunRequest":
    from deploy.commands.run import RunRequest

    return RunRequest(
        prompt=prompt,
        model=model,
        system=options.system,
        workload=options.workload,
        max_tokens=options.max_tokens,
        sampling=options.sampling,
        repeatable=options.repeatable,
        stop=options.stop,
        schema=options.schema,
        adapters=options.adapters,
        images=options.images,
        projector=options.projector,
        keep=options.keep,
        resume=options.resume,
    )


class Writer:
    """Streams an answer, and remembers whether its last line has ended. What is thought is talk."""

    def __init__(self, *, quiet: bool, show_thinking: bool) -> None:
        """Write nothing yet, and with `quiet` nothing at all."""
        self._quiet = quiet
        self._show_thinking = show_thinking
        self._open = False
        self._thinking = False

    def __call__(self, event: Event, world: Context) -> None:
        """Show what an event brings."""
        if isinstance(world.report, Reporter):
            world.report.clear()
        if self._quiet:
            return
        if isinstance(event, Thinking):
            self._think(event.text)
        elif isinstance(event, (Text, Done)):
            self._end_thinking()
        if isinstance(event, Text):
            sys.stdout.write(event.text)
            sys.stdout.flush()
            self._open = not event.text.endswith("\n")

    def end_line(self) -> None:
        """End what is on the screen, so that talk can follow."""
        self._end_thinking()
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._open = False

    def _think(self, text: str) -> None:
        if self._show_thinking:
            talk(text if self._thinking else _dimmed(text))
        elif not self._thinking and sys.stderr.isatty():
            talk("(thinking)")
        self._thinking = True

    def _end_thinking(self) -> None:
        if not self._thinking:
            return
        self._thinking = False
        at_screen = sys.stderr.isatty()
        if self._show_thinking:
            talk(f"{BRIGHT}\n\n" if at_screen else "\n\n")
        elif at_screen:
            talk(BACK)


class _VectorWriter:
    """Writes one JSON line for each vector as it comes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._count = 0

    def __call__(self, made: Embedded) -> None:
        if self._quiet:
            return
        for vector in made.vectors:
            sys.stdout.write(msgspec.json.encode({"index": self._count, "vector": vector}).decode() + "\n")
            self._count += 1
        sys.stdout.flush()


def _dimmed(text: str) -> str:
    return DIM + text if sys.stderr.isatty() else text


def _embed_summary(data: Any) -> str:
    how = "" if data.made_for_it else ", the mean of its tokens"
    vectors = "1 vector" if data.count == 1 else f"{data.count:,} vectors"
    tokens = "1 token" if data.tokens == 1 else f"{data.tokens:,} tokens"
    return f"{data.model} · {vectors} of {data.dimensions:,} numbers{how} · {tokens}"


def _model_and_prompt(words: list[str]) -> tuple[str | None, str]:
    """MODEL PROMPT, or PROMPT alone; text from a pipe or file is added to it."""
    if len(words) > 2:  # noqa: PLR2004 - MODEL and PROMPT
        raise UsageError(
            "More than a model and a prompt were given.", hint='Put the prompt in quotes: `landfast run "..."`.'
        )
    piped = _piped_text(FRAME_LIMIT_BYTES)
    model = words[0] if len(words) == 2 else None  # noqa: PLR2004
    prompt = words[-1] if words else ""
    if len(words) == 1 and _names_model(words[0]):
        model, prompt = words[0], ""
    return model, "\n\n".join(part for part in (prompt, piped) if part.strip())


def _lines(text: str) -> list[str]:
    """What line ends divide, and nothing else does: a text may hold other separators of Unicode."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _names_model(word: str) -> bool:
    """Whether a single argument is a model rather than a prompt: a known name, or a GGUF file."""
    from deploy.catalog.loader import load_newest
    from deploy.catalog.search import find
    from deploy.commands.context import catalogue_in_force
    from deploy.paths import current
    from deploy.store.stores import store_of

    if any(character.isspace() for character in word):
        return False
    if word.lower().endswith(".gguf"):
        return True
    if any(word.lower() in {record.id.lower(), record.model_id.lower()} for record in store_of(current()).installed()):
        return True
    try:
        find(load_newest(catalogue_in_force(current())), word)
    except LandfastError:
        return False
    return True


def _piped_text(limit_bytes: int | None = None) -> str:
    """What comes in by a pipe or from a file. Raises UsageError for too much of it, and for what is no text."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    _tell_of_waiting()
    raw = sys.stdin.buffer.read(-1 if limit_bytes is None else limit_bytes + 1)
    if limit_bytes is not None and len(raw) > limit_bytes:
        raise UsageError(
            f"More than {gigabytes(limit_bytes)} are piped in, and no model reads that much at once.",
            hint="Cut the text into pieces, and ask about each.",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            "The text that is piped in is not UTF-8.", hint="Convert it first, such as with iconv."
        ) from error


def _tell_of_waiting() -> None:
    """Say after a while what is waited for: ssh and many programs leave a pipe open that nobody ever writes to."""
    try:
        waits = not select.select([sys.stdin.fileno()], [], [], PIPE_PATIENCE_S)[0]
    except (OSError, ValueError):  # Windows has it for sockets alone
        return
    if waits:
        say("Waiting for text on standard input, since it is no terminal. Where there is none to give: `< /dev/null`.")


def ensure_installed(world: Context, model: str | None, workload: Workload, *, yes: bool) -> None:
    """Install what is missing when the user says so, or has said so with --yes."""
    from deploy.commands.install import InstallRequest, install
    from deploy.commands.resolve import resolve
    from deploy.commands.targets import CatalogueTarget
    from deploy.store.stores import closed_to

    if model is None:
        if world.store.installed():
            return
    elif not isinstance(resolve(world, model, workload), CatalogueTarget):
        return
    selecting = msgspec.structs.replace(workload, min_decode_tok_s=Workload().min_decode_tok_s)
    if not yes and not sys.stdin.isatty():
        what = f"{model} is not installed." if model else "No model is installed."
        closed = closed_to(world.store)
        own = "Add --yes to install it first, or run `landfast install`."
        raise NotFound(what, hint=f"{closed.message} {own}" if closed else own)
    wanted = model
    if not yes:
        if model is None:
            wanted = confirm_choice(world, selecting)
        else:
            confirm(f"{model} is not installed. Install it?")
    result = install(world, InstallRequest(model=wanted, workload=selecting))
    if isinstance(world.report, Reporter):
        world.report.clear()
    if result.data is not None:
        say(f"Installed {result.data.installed.id}. {result.data.reason}")
