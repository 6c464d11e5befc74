"""`landfast sessions`, and what `--keep` and `--resume` do: what a model has read, kept on the disk and taken up again.

Nothing is written unless a person asks for it by name. A kept session holds the whole conversation and the engine's
state of it, not encrypted, in a file that its owner alone can read and that nobody else can make.
"""

import datetime as dt
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.context import Context
from deploy.commands.plan import PlanData
from deploy.commands.session import Opened, open_model
from deploy.conversations import title_of
from deploy.engine.protocol import Adapter, ChatMessage
from deploy.engine.state_file import Header, Origin, StateFile, length_bytes, opened, write
from deploy.errors import EngineFailed, IntegrityError, LandfastError, NotEnoughSpace, NotFound, UsageError
from deploy.fit.fit import Workload
from deploy.keys import secret_key
from deploy.quantities import gigabytes
from deploy.results import Message, Result, info, warning
from deploy.sources.base import Progress
from deploy.store.files import becoming, delete, disk_errors, sha256_of
from deploy.store.locks import hold

LIMIT_BYTES: Final = 8 << 30
"""Of one session; what a mistyped context could fill a disk with is more."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SUFFIX: Final = ".session"
UNFINISHED: Final = ".part"
"""What a file is called until it is whole."""
LOCK_WAIT_S: Final = 60.0
ANY: Final = b""
"""Stands for whatever session has a name, where a person has just been told of it."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was just written to the disk."""

    name: str
    file: str
    tokens: int
    size_bytes: int


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was taken up again."""

    name: str
    tokens: int
    """In its state."""
    why_not: str
    """Why the state was not used and all was read again; empty where it was used."""


class ListedSession(msgspec.Struct, frozen=True, kw_only=True):
    """One kept session in a list."""

    name: str
    size_bytes: int
    model: str = ""
    tokens: int = 0
    context_tokens: int = 0
    created: str = ""
    begins: str = ""
    """The first words of what the user said."""
    problem: str = ""
    """Why it cannot be resumed; what else stands here is then not known."""


class SessionList(msgspec.Struct, frozen=True, kw_only=True):
    """All kept sessions, by name."""

    sessions: tuple[ListedSession, ...]
    folder: str
    """Where they are; it is not there before the first of them."""
    forbidden: str
    """Why none may be kept; empty where the policy allows it."""


class SessionRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    removed: tuple[str, ...]
    freed_bytes: int


def list_sessions(context: Context) -> Result[SessionList]:
    """List what is kept. Creates nothing."""
    folder = context.paths.sessions
    refusal = context.policy.refusal_of_sessions()
    data = SessionList(
        sessions=tuple(_listed(context, path) for path in _files(folder)),
        folder=str(folder),
        forbidden="" if refusal is None else refusal.sentence,
    )
    notes = (warning(f"{data.forbidden} `landfast sessions remove --all` removes them."),)
    return Result(command="sessions", data=data, messages=notes if data.forbidden and data.sessions else ())


def removable(context: Context, name: str | None) -> list[Path]:
    """The files of one kept session, or of all, before anybody is asked whether they may go. Raises NotFound."""
    found = [path for path in _files(context.paths.sessions) if name is None or path.stem == name]
    if name is not None and not found:
        raise _unknown(name)
    return found


def remove(context: Context, name: str | None) -> Result[SessionRemoval]:
    """Remove one kept session, or all. Raises NotFound."""
    found = removable(context, name)
    with disk_errors(context.paths.sessions):
        freed = sum(map(delete, found))
    names = tuple(dict.fromkeys(path.stem for path in found))
    return Result(command="sessions remove", changed=bool(found), data=SessionRemoval(removed=names, freed_bytes=freed))


def require_keepable(context: Context, keep: str | None, resume: str | None) -> None:
    """Before a model is loaded: raises PolicyRefused, UsageError for a name that is none or taken."""
    if keep is None and resume is None:
        return
    refusal = context.policy.refusal_of_sessions()
    if refusal is not None:
        raise refusal.error("keeping or resuming a session")
    for name in (keep, resume):
        if name is not None and not NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the name of a session.", hint="Use letters, digits, dots and hyphens."
            )
    if keep is not None and keep != resume and _file(context, keep).exists():
        raise UsageError(
            f"A session is kept as {keep} already.",
            hint=f"Choose another name, continue it (--resume {keep} --keep {keep}), or remove it first: "
            f"`landfast sessions remove {keep}`.",
        )


@contextmanager
def resuming(context: Context, name: str | None) -> Iterator[StateFile | None]:
    """The kept session of this name, its header proved. Raises NotFound and IntegrityError."""
    if name is None:
        yield None
        return
    if not _file(context, name).exists():
        raise _unknown(name)
    with opened(_file(context, name), secret_key(context.paths), name) as kept:
        yield kept


def open_like(
    context: Context, kept: StateFile | None, name: str | None, workload: Workload, adapters: tuple[Adapter, ...]
) -> Opened:
    """Open the model of a kept session in the way in which it was kept; without one, what was asked for.

    Raises as `open_model` does.
    """
    if kept is None:
        return open_model(context, name, workload, adapters)
    was = kept.header
    wanted = msgspec.structs.replace(workload, context_tokens=was.plan.context_tokens)
    return open_model(context, name or was.origin.model, wanted, adapters, lambda plan, _: _as_kept(was, plan))


def _as_kept(was: Header, plan: PlanData) -> PlanData:
    """The plan with which the session was kept, where there is memory for it now: its state fits no other."""
    if was.plan_id != plan.id or was.hard_bytes > plan.room_bytes:
        return plan
    load = msgspec.structs.replace(was.plan, threads=plan.plan.threads)
    return msgspec.structs.replace(plan, plan=load, peak_bytes=was.peak_bytes, hard_bytes=was.hard_bytes)


def take_over(context: Context, model: Opened, kept: StateFile | None) -> Resumed | None:
    """Give a loaded model what it had in memory when the session was kept; where that cannot be, say why not."""
    if kept is None:
        return None
    header = kept.header
    why_not = header.mismatch(origin_of(context, model), model.plan.plan)
    if not why_not:
        try:
            model.session.restore_state(header.shape, kept.pieces())
        except IntegrityError as error:
            why_not = error.message.partition(": ")[2].rstrip(".")
        except EngineFailed as error:
            if model.session.ended:
                raise
            why_not = error.message.rstrip(".")
    return Resumed(name=header.name, tokens=len(header.shape.tokens), why_not=why_not)


def try_keep(
    context: Context,
    model: Opened,
    name: str | None,
    messages: Sequence[ChatMessage],
    resumed: StateFile | None,
) -> tuple[Kept | None, LandfastError | None]:
    """Keep the session where that was asked for; what stands in the way does not take the answer away.

    It takes the place of the session that it resumed, or a name that was free: of two runs at once the first is kept.
    """
    over = resumed.header.salt if resumed is not None and resumed.header.name == name else None
    try:
        return (None if name is None else keep(context, model, name, messages, over=over)), None
    except LandfastError as error:
        return None, error


def keep(
    context: Context, model: Opened, name: str, messages: Sequence[ChatMessage], *, over: bytes | None = ANY
) -> Kept:
    """Write down what the model has in memory, in the place of the session with the salt `over`, or of none.

    Raises NotEnoughSpace, NotWritable, EngineFailed, and UsageError for another one in its place; nothing is kept then.
    """
    shape = model.session.describe_state()
    header = Header(
        name=name,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        origin=origin_of(context, model),
        plan_id=model.plan.id,
        plan=model.plan.plan,
        peak_bytes=model.plan.peak_bytes,
        hard_bytes=model.plan.hard_bytes,
        messages=tuple(messages),
        shape=shape,
        salt=secrets.token_bytes(16),
    )
    path = _file(context, name)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.chmod(0o700)
        _require_room(path.parent, length_bytes(header))
    with hold(path.parent / ".lock", "keeps a session", context.report, LOCK_WAIT_S), disk_errors(path.parent):
        _require_place(context, name, over)
        context.report(Progress(step="note", text=f"Keeping the session as {name}: {gigabytes(length_bytes(header))}."))
        unfinished = path.with_suffix(UNFINISHED)
        delete(unfinished)  # of one who was killed
        with becoming(path, unfinished, 0o600) as file:
            write(file, secret_key(context.paths), header, model.session.save_state(shape))
    return Kept(name=name, file=str(path), tokens=len(shape.tokens), size_bytes=path.stat().st_size)


def notes_of(resumed: Resumed | None, kept: Kept | None) -> tuple[Message, ...]:
    """What a person should know about a session that was taken up or kept."""
    unused = resumed is not None and resumed.why_not
    return (
        *((warning(f"The kept state is not used: {unused}. Everything was read again."),) if unused else ()),
        *((info(_kept_as(kept)),) if kept is not None else ()),
    )


def _kept_as(kept: Kept) -> str:
    return (
        f"The session is kept as {kept.name}: {kept.tokens:,} tokens, {gigabytes(kept.size_bytes)} in {kept.file}. "
        "The file holds what was said, not encrypted; you alone can read it. "
        f"Continue with --resume {kept.name}, or remove it with `landfast sessions remove {kept.name}`."
    )


def origin_of(context: Context, model: Opened) -> Origin:
    """What a state of this model is bound to. A file that is named by its path is hashed here."""
    hashes = model.sha256 or tuple(sha256_of(file, f"hash {file.name}", context.report)[0] for file in model.files)
    return Origin(
        model=model.asked, sha256=hashes, adapters=model.adapters, engine=f"{model.session.ready.engine} {_build()}"
    )


def _build() -> str:
    """What tells one build of the engine from another: the list of its files with their hashes, as it was installed."""
    import hashlib
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        record = distribution("llama-cpp-python").read_text("RECORD") or ""
    except PackageNotFoundError:
        record = ""
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def _require_place(context: Context, name: str, over: bytes | None) -> None:
    """Raises UsageError where another run has kept a session under this name since this one began."""
    path = _file(context, name)
    if over == ANY or not path.exists():
        return
    with opened(path, secret_key(context.paths), name) as there:
        if there.header.salt == over:
            return
    raise UsageError(
        f"Another run has kept the session {name} meanwhile, so this one is not kept.",
        hint=f"To continue from there, ask again with --resume {name} --keep {name}.",
    )


def _require_room(folder: Path, size_bytes: int) -> None:
    if size_bytes > LIMIT_BYTES:
        raise NotEnoughSpace(
            f"The session takes {gigabytes(size_bytes)}, and at most {gigabytes(LIMIT_BYTES)} is kept.",
            hint="Keep one with less text.",
        )
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise NotEnoughSpace(
            f"The session takes {gigabytes(size_bytes)}, and {folder} has {gigabytes(free)} free.",
            hint="Free some space, or remove sessions that are not needed: `landfast sessions`.",
        )


def _listed(context: Context, path: Path) -> ListedSession:
    size = path.stat().st_size
    if path.suffix == UNFINISHED:
        return ListedSession(name=path.stem, size_bytes=size, problem="It was not finished.")
    try:
        with opened(path, secret_key(context.paths), path.stem) as kept:
            header, whole = kept.header, kept.whole
    except LandfastError as error:
        return ListedSession(name=path.stem, size_bytes=size, problem=error.message)
    said = next((message.content for message in header.messages if message.role == "user"), "")
    return ListedSession(
        name=path.stem,
        size_bytes=size,
        model=header.origin.model,
        tokens=len(header.shape.tokens),
        context_tokens=header.plan.context_tokens,
        created=header.created,
        begins=title_of(said),
        problem="" if whole else "Its file is cut short: everything would be read again.",
    )


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.glob("*") if path.suffix in {SUFFIX, UNFINISHED} and NAME.fullmatch(path.stem)
    )


def _file(context: Context, name: str) -> Path:
    return context.paths.sessions / (name + SUFFIX)


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no kept session {name}.", hint="`landfast sessions` lists those that are kept.")
