"""The models as rows of a list: the ranking, and what is installed beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.fit.rank import Ranked, Ranking
from deploy.store.records import Installed
from tui import text


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list, ready to be shown, with what it was made of."""

    id: str
    name: str
    quant: str
    needs: str
    verdict: str
    speed: str
    licence: str
    state: str
    searched: str
    """Everything the filter looks at, in lower case."""
    suits: bool
    """It fits and can be had: the rows that are not dimmed."""
    fits: bool
    installed: bool
    chosen: bool
    can_be_installed: bool
    """A source has it and memory would hold it; it may be slow, or not made for chat."""
    remark: str
    """What to know before it is installed: why it does not suit."""
    size_bytes: int
    ranked: Ranked | None
    """None for an installed model that the catalogue does not rank, such as a file of the user's own."""


def rows_of(ranking: Ranking, installed: Sequence[Installed]) -> tuple[Row, ...]:
    """All rows: what suits, best first, then installed models outside the ranking, then what was refused."""
    here = {record.id for record in installed}
    ranked = {candidate.fit.id for candidate in (*ranking.ranked, *ranking.refused)}
    suited = [_of_ranked(candidate, here, chosen=candidate is ranking.chosen) for candidate in ranking.ranked]
    own = [_of_installed(record) for record in installed if record.id not in ranked]
    refused = [_of_ranked(candidate, here, chosen=False) for candidate in ranking.refused]
    fitting = [row for row in refused if row.fits]
    return (*suited, *own, *fitting, *(row for row in refused if not row.fits))


def visible(rows: Sequence[Row], wanted: str, *, show_all: bool) -> list[Row]:
    """The rows that hold every word that is wanted; without `show_all` only what fits or is installed."""
    words = wanted.lower().split()
    return [
        row for row in rows if (show_all or row.fits or row.installed) and all(word in row.searched for word in words)
    ]


def _of_ranked(candidate: Ranked, here: set[str], *, chosen: bool) -> Row:
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
        licence=licence,
        state=text.state(candidate),
        searched=f"{fit.id} {fit.name} {fit.family} {fit.publisher} {licence}".lower(),
        suits=fits and candidate.obtainable,
        fits=fits,
        installed=fit.id in here,
        chosen=chosen,
        can_be_installed=candidate.obtainable and fit.verdict != "too-large",
        remark="" if fits else candidate.why,
        size_bytes=fit.size_bytes,
        ranked=candidate,
    )


def _of_installed(record: Installed) -> Row:
    return Row(
        id=record.id,
        name=text.harmless(record.name),
        quant=record.quant,
        needs="not ranked",
        verdict="- own file",
        speed="unknown",
        licence=text.licence(record.licence),
        state="● installed",
        searched=f"{record.id} {record.name} {record.publisher} {record.licence}".lower(),
        suits=True,
        fits=True,
        installed=True,
        chosen=False,
        can_be_installed=True,
        remark="",
        size_bytes=record.size_bytes,
        ranked=None,
    )
