"""The models as rows of a list: the ranking, and what is installed beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from deploy.quantities import gigabytes
from tui import text

if TYPE_CHECKING:
    from deploy.fit.rank import Ranked, Ranking
    from deploy.store.records import Installed, Promise


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list, ready to be shown, with what it was made of."""

    id: str
    name: str
    quant: str
    needs: str
    verdict: str
    speed: str
    publisher: str
    licence: str
    state: str
    searched: str
    """Everything the filter looks at, in lower case."""
    suits: bool
    """It fits and can be had: the rows that are not dimmed."""
    fits: bool
    forbidden: bool
    """The policy refuses it. Such rows stay in sight: whoever wrote the policy must be able to see what it does."""
    installed: bool
    chosen: bool
    can_be_installed: bool
    """A source has it and memory would hold it; it may be slow, or not made for chat."""
    remark: str
    """What to know before it is installed: why it does not suit; of what is not ranked, why, and what was foretold."""
    size_bytes: int
    ranked: "Ranked | None"
    """None for an installed model that the catalogue does not rank, such as a file of the user's own."""


def rows_of(ranking: "Ranking", installed: "Sequence[Installed]") -> tuple[Row, ...]:
    """All rows: what suits, best first, then installed models outside the ranking, then what was refused."""
    here = {record.id for record in installed}
    ranked = {candidate.fit.id for candidate in (*ranking.ranked, *ranking.refused)}
    suited = [_of_ranked(candidate, here, chosen=candidate is ranking.chosen) for candidate in ranking.ranked]
    models = {candidate.fit.model_id for candidate in (*ranking.ranked, *ranking.refused)}
    own = [_of_installed(r, known=r.model_id in models) for r in installed if r.id not in ranked]
    refused = [_of_ranked(candidate, here, chosen=False) for candidate in ranking.refused]
    fitting = [row for row in refused if row.fits]
    forbidden = [row for row in refused if row.forbidden]
    rest = [row for row in refused if not row.fits and not row.forbidden]
    return (*suited, *own, *fitting, *forbidden, *rest)


Shown = Literal["fits", "all", "installed"]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which of the rows are in sight."""

    words: str = ""
    show: Shown = "fits"
    publisher: str | None = None
    licence: str | None = None

    def admits(self, row: Row) -> bool:
        """Whether a row holds every word and is of the kind that is wanted."""
        kind = {"all": True, "fits": row.fits or row.installed or row.forbidden, "installed": row.installed}[self.show]
        same = self.publisher in {None, row.publisher} and self.licence in {None, row.licence}
        return kind and same and all(word in row.searched for word in self.words.lower().split())


def _of_ranked(candidate: "Ranked", here: set[str], *, chosen: bool) -> Row:
    fit = candidate.fit
    fits = fit.verdict == "fits"
    licence = text.licence(fit.licence)
    return Row(
        id=fit.id,
        name=fit.name,
        quant=fit.quant,
        needs=text.needs(fit),
        verdict=text.VERDICTS[fit.verdict],
        speed=text.speed(fit.speed.decode_tok_s),
        publisher=fit.publisher,
        licence=licence,
        state=text.state(candidate),
        searched=f"{fit.id} {fit.name} {fit.family} {fit.publisher} {licence}".lower(),
        suits=fits and candidate.obtainable,
        fits=fits,
        forbidden=fit.verdict == "policy",
        installed=fit.id in here,
        chosen=chosen,
        can_be_installed=candidate.obtainable and fit.verdict not in {"too-large", "policy"},
        remark="" if fits else candidate.why,
        size_bytes=fit.size_bytes,
        ranked=candidate,
    )


def _of_installed(record: "Installed", *, known: bool) -> Row:
    """A form that is not ranked: a file of one's own, or not the best form of a model that the catalogue knows."""
    promise = record.promise
    return Row(
        id=record.id,
        name=text.harmless(record.name),
        quant=record.quant,
        needs=f"~{gigabytes(promise.peak_bytes)}" if promise else "unknown",
        verdict="- unranked" if known else "- own file",
        speed=f"~{promise.decode_tok_s:.0f} tok/s" if promise and promise.decode_tok_s else "unknown",
        publisher=text.harmless(record.publisher),
        licence=text.licence(record.licence),
        state="● installed",
        searched=f"{record.id} {record.name} {record.publisher} {record.licence}".lower(),
        suits=True,
        fits=True,
        forbidden=False,
        installed=True,
        chosen=False,
        can_be_installed=True,
        remark=_why_unranked(record.promise, known=known),
        size_bytes=record.size_bytes,
        ranked=None,
    )


def _why_unranked(promise: "Promise | None", *, known: bool) -> str:
    why = (
        "Another form of a model that the list ranks by its best form."
        if known
        else "An installed file that the catalogue does not know."
    )
    if promise is None:
        return f"{why} There is no forecast for it."
    speed = "an unknown speed" if promise.decode_tok_s is None else f"~{promise.decode_tok_s:.0f} tok/s"
    peak, room = gigabytes(promise.peak_bytes), gigabytes(promise.room_bytes)
    return f"{why} When it was installed, it was to take ~{peak} of {room} in {promise.pool}, and {speed} was forecast."
