"""The record of what ran: who, when, which model, how sealed, how much, how it ended. Never what was said.

One JSON line an event, each with the hash of the line before it, so that a change anywhere breaks the chain. Every
64th line is a checkpoint signed with this installation's key, and a note beside the file says how long it is.
"""

import base64
import datetime as dt
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from filelock import FileLock

from deploy.errors import IntegrityError, NotEnoughSpace, NotWritable, explain
from deploy.keys import PUBLIC_NAME, public_key, signing_key
from deploy.paths import Paths

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CHECKPOINT_EVERY: Final = 64
FIRST: Final = "0" * 64
"""What stands for the hash of the line before the first."""
TAIL_BYTES: Final = 64 << 10
"""Much longer than a line: the end of the file holds the last one."""

NOTE_BYTES: Final = 128


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened. Fields that do not belong to a kind are left out."""

    kind: Literal["load", "answer", "keep", "resume", "audit", "apply", "begin", "checkpoint", "repair"]
    """"keep" and "resume" are of a session on the disk. "begin" is the first line of a journal that follows an ended
    one, whose last line's hash it holds."""
    model: str = ""
    sha256: tuple[str, ...] = ()
    """Of the model's files in order; empty for a file that was never hashed."""
    engine: str = ""
    seal: str = ""
    """full, two-stage or none."""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    outcome: str = ""
    """How it ended: a word, never a sentence that could hold content."""
    torn_bytes: int = 0
    """Of a last line that a crash cut off, and that was taken away."""
    torn_sha256: str = ""
    signature: str = ""
    """Over number and hash of the line before."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file."""

    n: int
    time: str
    previous: str
    """SHA-256 of the line before, without its line end."""
    uid: int
    user: str
    event: Event


class Note(msgspec.Struct, frozen=True):
    """How long the journal is, kept beside it: a journal that was cut off at a line's end is found."""

    count: int
    head: str
    """SHA-256 of the last line."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the journal is whole."""

    whole: bool
    lines: int
    checkpoints: int
    after_checkpoint: int
    """Lines that no signature covers yet."""
    head: str
    """SHA-256 of the last line: noted elsewhere, it proves later that nothing was taken away."""
    problem: str = ""
    ended: int = 0
    """Journals that came before this one and are still here: each was followed too."""
    ended_lines: int = 0


_encoder: Final = msgspec.json.Encoder()
_line_decoder: Final = msgspec.json.Decoder(Line)


class Journal:
    """The journal of one user. Several processes may write to it at once."""

    def __init__(self, paths: Paths) -> None:
        """Touch nothing yet."""
        self._paths = paths
        self._file = paths.journal / "journal.jsonl"
        self._note = paths.journal / "length.json"

    def append(self, event: Event) -> None:
        """Add an event. Raises NotWritable, and IntegrityError where the last line is not one of a journal."""
        try:
            self._paths.journal.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise explain(error, self._paths.journal) from error
        with self._locked():
            self._append(event)

    def begin_anew(self, first: dt.date, last: dt.date) -> None:
        """End this journal, which is kept beside the new one; the new one's first line names its end.

        Raises NotWritable. Cut off at any point, the journal is the old one or the new one.
        """
        with self._locked():
            descriptor = os.open(self._file, os.O_RDWR | os.O_APPEND)
            try:
                old = _repaired_end(descriptor)
            finally:
                os.close(descriptor)
            ended = self._ended() / f"journal-{first:%Y%m%d}-{last:%Y%m%d}-{old.head[:16]}.jsonl"
            ended.parent.mkdir(mode=0o700, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            begun = _End(0, FIRST, ())
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                begun.write(descriptor, Event(kind="begin", sha256=(old.head,), outcome=f"after {old.count} lines"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if not ended.exists():
                ended.hardlink_to(self._file)
            fresh.replace(self._file)
            self._write_note(Note(begun.count, begun.head))

    def raw_lines(self) -> Iterator[bytes]:
        """All whole lines as they stand. Raises NotWritable when the file cannot be read."""
        return _lines_of(self._file)

    def verify(self, noted: Note | None = None) -> Verdict:
        """Follow the chain from the first line, and those of ended journals that are still here.

        `noted` is a length and a hash that were kept elsewhere. Where this user may not write, as on a read-only
        copy, nobody is kept from writing meanwhile.
        """
        if not self._paths.journal.exists():
            return self._verify(noted)
        try:
            with self._locked():
                return self._verify(noted)
        except (NotWritable, NotEnoughSpace):
            return self._verify(noted)

    def _verify(self, noted: Note | None) -> Verdict:
        chain = _Chain(self._paths)
        problem = next((found for line in self.raw_lines() if (found := chain.follow(line))), "")
        problem = problem or chain.against(self._read_note(), "noted beside it", slack=1)
        ended = {file: _Chain(self._paths) for file in self._ended_files()}
        problem = problem or next((found for file in ended if (found := _problem_of_ended(file, ended[file]))), "")
        if noted is not None and not problem:
            problem = _unlike_noted(noted, (chain, *ended.values()))
        verdict = chain.verdict(problem or _unnamed(chain, ended))
        return msgspec.structs.replace(verdict, ended=len(ended), ended_lines=sum(one.count for one in ended.values()))

    def _ended_files(self) -> tuple[Path, ...]:
        """Without one that a crash left as a second name of the journal that still goes on."""
        files = sorted(self._ended().glob("*.jsonl"))
        return tuple(file for file in files if not (self._file.exists() and file.samefile(self._file)))

    def _ended(self) -> Path:
        return self._paths.journal / "ended"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with FileLock(self._paths.journal / "lock"):
                yield
        except OSError as error:
            raise explain(error, self._file) from error

    def _append(self, event: Event) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            end = _repaired_end(descriptor)
            for entry in (*end.repairs, *self._missing(end), event):
                if end.count % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1:
                    self._add(descriptor, end, Event(kind="checkpoint", signature=self._sign(end)))
                    os.fsync(descriptor)
                self._add(descriptor, end, entry)
        finally:
            os.close(descriptor)

    def _add(self, descriptor: int, end: "_End", event: Event) -> None:
        """Add one line, noting the length before and after: a crash leaves a note that lacks one line at most."""
        self._write_note(Note(end.count, end.head))
        end.write(descriptor, event)
        self._write_note(Note(end.count, end.head))

    def _missing(self, end: "_End") -> tuple[Event, ...]:
        """What is to be said where more lines were noted than there are: the next note would hide it."""
        note = self._read_note()
        if note is None or note.count <= end.count or self._ended_at(note):
            return ()
        return (Event(kind="repair", outcome=f"{note.count - end.count} lines missing"),)

    def _ended_at(self, note: Note) -> bool:
        """Whether the note is still of the journal before this one, as after a crash in between."""
        chain = _Chain(self._paths)
        chain.follow(next(self.raw_lines(), b""))
        return chain.after == note.head

    def _sign(self, end: "_End") -> str:
        return base64.b64encode(signing_key(self._paths).sign(_checkpoint(end.count, end.head))).decode()

    def _read_note(self) -> Note | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=Note)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return Note(-1, "")

    def _write_note(self, note: Note) -> None:
        """Write over the old one, of the same length: a rename would wait for the disk at every event."""
        descriptor = os.open(self._note, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, _encoder.encode(note).ljust(NOTE_BYTES), 0)
        finally:
            os.close(descriptor)


class _End:
    """The end of the chain, to which lines are added."""

    def __init__(self, count: int, head: str, repairs: tuple[Event, ...]) -> None:
        self.count = count
        self.head = head
        self.repairs = repairs

    def write(self, descriptor: int, event: Event) -> None:
        uid = os.getuid() if hasattr(os, "getuid") else 0
        line = Line(n=self.count, time=_now(), previous=self.head, uid=uid, user=_user(uid), event=event)
        raw = _encoder.encode(line)
        if os.write(descriptor, raw + b"\n") <= len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # the next event repairs the line
        self.count += 1
        self.head = _sha256(raw)


class _Chain:
    """Follows the lines from the first, remembering every hash."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._heads: list[str] = []
        self.checkpoints = 0
        self.signed = 0
        self.after = ""
        """SHA-256 of the last line of the journal before, as the first line of this one says."""

    @property
    def count(self) -> int:
        return len(self._heads)

    @property
    def head(self) -> str:
        return self._heads[-1] if self._heads else FIRST

    def verdict(self, problem: str) -> Verdict:
        return Verdict(
            whole=not problem,
            lines=self.count,
            checkpoints=self.checkpoints,
            after_checkpoint=self.count - self.signed,
            head=self.head,
            problem=problem,
        )

    def follow(self, raw: bytes) -> str:
        """Take the next line; a sentence says what is wrong with it."""
        where = f"line {self.count + 1}"
        if not raw.endswith(b"\n"):
            return f"The last line ({where}) is cut off; the next event repairs that."
        try:
            line = _line_decoder.decode(raw[:-1])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return f"{where.capitalize()} is not a line of a journal."
        if line.n != self.count or line.previous != self.head:
            return f"The chain breaks at {where}: something before it was changed, removed or inserted."
        if line.n == 0 and line.event.kind == "begin" and line.event.sha256:
            self.after = line.event.sha256[0]
        problem = self._check_signature(line, where)
        self._heads.append(_sha256(raw[:-1]))
        return problem

    def against(self, note: Note | None, where: str, *, slack: int | None) -> str:
        """Compare with a length that was written down. A crash may come between a line and its note."""
        if note is None:
            return f"The journal has lines, and its length is not {where}." if self._heads else ""
        if slack is not None and self.count == 1 and self.after and self.after == note.head:
            return ""  # a crash came between the end of a journal and the note of the next one
        known = self._heads[note.count - 1] if 0 < note.count <= self.count else FIRST if note.count == 0 else ""
        if known != note.head:
            return f"The end does not match the length that was {where}: lines were changed or removed."
        if slack is not None and self.count - note.count > slack:
            return f"The journal has more lines than the length that was {where}."
        return ""

    def _check_signature(self, line: Line, where: str) -> str:
        due = line.n % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1
        if due != (line.event.kind == "checkpoint"):
            return f"{where.capitalize()} should {'' if due else 'not '}be a signed checkpoint."
        if not due:
            return ""
        key = public_key(self._paths)
        if key is None:
            missing = self._paths.keys / PUBLIC_NAME
            return f"The signature of the checkpoint in {where} cannot be checked: there is no file {missing}."
        if not _is_signed(line, key):
            return f"The signature of the checkpoint in {where} does not match the key that is here."
        self.checkpoints += 1
        self.signed = line.n + 1
        return ""


def _is_signed(line: Line, key: "Ed25519PublicKey") -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(line.event.signature, validate=True), _checkpoint(line.n, line.previous))
    except (InvalidSignature, ValueError):
        return False
    return True


def _lines_of(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from lines
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotWritable(
            f"The journal {file} cannot be read: {error.strerror}.",
            hint="Run the command as the user whose journal it is.",
        ) from error


def _problem_of_ended(file: Path, chain: _Chain) -> str:
    """Follow an ended journal. Its name, or after a crash one of its names, holds the start of its last line's hash."""
    problem = next((found for line in _lines_of(file) if (found := chain.follow(line))), "")
    names = (one.stem for one in file.parent.glob("*.jsonl") if one.samefile(file))
    if not problem and not any(name.endswith(chain.head[:16]) for name in names):
        problem = "Its last line is not the one that it is named after."
    return f"{file.name}: {problem}" if problem else ""


def _unlike_noted(noted: Note, chains: tuple[_Chain, ...]) -> str:
    """A sentence where no journal that is here ever ended as was noted elsewhere; it may have ended since."""
    if any(not chain.against(noted, "given", slack=None) for chain in chains):
        return ""
    if {chain.after for chain in chains} - {"", *(chain.head for chain in chains)}:
        return (
            "No journal that is here matches the length that was given: lines were changed or removed, or the journal "
            "that had it was deleted after its end."
        )
    return chains[0].against(noted, "given", slack=None)


def _unnamed(chain: _Chain, ended: dict[Path, _Chain]) -> str:
    """A sentence where an ended journal is not the one that a later one goes on from."""
    by_head = {one.head: (file, one) for file, one in ended.items()}
    while chain.after in by_head:
        _, chain = by_head.pop(chain.after)
    for file, _ in by_head.values():
        return f"{file.name}: no later journal continues from its last line."
    return ""


def _repaired_end(descriptor: int) -> _End:
    """Find the last whole line. What a crash left of another one is taken away, and said in the next line."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(descriptor, TAIL_BYTES, start)
    whole, newline, torn = tail.rpartition(b"\n")
    repairs: tuple[Event, ...] = ()
    if torn:
        os.ftruncate(descriptor, size - len(torn))
        repairs = (Event(kind="repair", torn_bytes=len(torn), torn_sha256=_sha256(torn)),)
    if not newline:
        return _End(0, FIRST, repairs)
    last = whole.rpartition(b"\n")[2]
    try:
        line = _line_decoder.decode(last)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            "The last line of the journal is damaged, so nothing is added to it.",
            hint="Run `landfast journal verify`, then move the journal to a safe place; a new one begins.",
        ) from error
    return _End(line.n + 1, _sha256(last), repairs)


def _checkpoint(count: int, head: str) -> bytes:
    return f"landfast.journal/1 {count} {head}".encode()


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def _user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
