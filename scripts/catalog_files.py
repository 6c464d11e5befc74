"""Which files of a model, and which projectors, the catalogue takes of all that are known."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, HubOrigin
from scripts.catalog_facts import DefaultFile, FileRow
from scripts.catalog_tables import MXFP4_MARGIN, PROJECTOR_RULES, QUANT_RULES, TRUST


class Candidate(msgspec.Struct, frozen=True):
    """A whole set of files, in order, that one quantisation of a model could come from."""

    quant: str
    rows: tuple[FileRow, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(row.size_bytes or 0 for row in self.rows)

    def rank(self, default: DefaultFile | None) -> tuple[Any, ...]:
        """What sorts first is taken: pinned, then trusted, then addressable, then the plainest name."""
        first = self.rows[0]
        hashed = all(row.pin for row in self.rows)
        return (
            not (hashed and all(row.size_exact for row in self.rows)),
            not hashed,
            first.standing,
            not _revision(self.rows),
            default is None or (first.repo, first.file) != (default.repo, default.file),
            len(first.file),
            len(self.rows),
            first.repo,
            first.file,
        )


def _revision(rows: Sequence[FileRow]) -> str | None:
    """The commit that all files have in common."""
    revisions = {row.revision for row in rows}
    return revisions.pop() if len(revisions) == 1 else None


_FILE_NAME: Final = re.compile(r"(?P<stem>.+?)(?:-\d{5}-of-\d{5})?\.gguf")


def _set_key(row: FileRow) -> tuple[str, str, int] | None:
    """What the parts of one set share; None for a file whose name does not end in its quantisation.

    Such names are special builds ("Q4_0_4_4", "Q8_0_L", "-hip-optimized") under a plain quantisation's label.
    """
    folder, _, name = row.file.rpartition("/")
    match = _FILE_NAME.fullmatch(name)
    if match is None or row.quant is None:
        return None
    if not re.search(rf"[-._]{re.escape(row.quant)}$", match["stem"], re.IGNORECASE):
        return None
    return row.repo, f"{folder}/{match['stem']}", row.split_count or 0


def candidates(rows: Iterable[FileRow]) -> dict[str, list[Candidate]]:
    """All whole sets of files with known sizes, by quantisation. A split set counts with all parts or not at all."""
    sets: defaultdict[tuple[str, str, int], list[FileRow]] = defaultdict(list)
    for row in rows:
        key = _set_key(row)
        if key is not None:
            sets[key].append(row)
    found: defaultdict[str, list[Candidate]] = defaultdict(list)
    for (_, _, split_count), parts in sets.items():
        parts.sort(key=lambda row: row.split_no or 0)
        whole = [row.split_no for row in parts] == (list(range(1, split_count + 1)) if split_count else [None])
        if whole and all(row.size_bytes for row in parts):
            found[str(parts[0].quant)].append(Candidate(str(parts[0].quant), tuple(parts)))
    return found


def chosen_quants(available: Iterable[str], parameters: int) -> tuple[str, ...]:
    """The quantisations of a model of this size that the table admits."""
    there = frozenset(available)
    return tuple(
        rule.quant
        for rule in QUANT_RULES
        if rule.quant in there
        and rule.from_parameters <= parameters < rule.below_parameters
        and there.isdisjoint(rule.unless)
    )


def worth_having(best: Iterable[Candidate]) -> Iterator[Candidate]:
    """Leave out what loses on both counts: coarser than another form, and no smaller. Takes the finest first.

    It happens where quantisers differ, and where a model's widths force coarse forms to keep fine tensors.
    """
    smallest = float("inf")
    for candidate in best:
        if candidate.size_bytes < smallest:
            yield candidate
            smallest = candidate.size_bytes * (MXFP4_MARGIN if candidate.quant == "MXFP4" else 1)


def choose(rows: Iterable[FileRow], parameters: int, default: DefaultFile | None) -> list[Candidate]:
    """One set of files per admitted quantisation, the finest and largest first."""
    found = candidates(rows)
    return list(worth_having(min(found[q], key=lambda c: c.rank(default)) for q in chosen_quants(found, parameters)))


def choose_projectors(rows: Iterable[FileRow]) -> list[Candidate]:
    """One projector for each admitted form, the one to take first.

    Every form of a model reads what any of them gives: only its own width must be the model's.
    """
    found = candidates(rows)
    forms = [rule.quant for rule in PROJECTOR_RULES if rule.quant in found and not set(rule.unless) & set(found)]
    best = [min(found[quant], key=lambda c: c.rank(None)) for quant in forms]
    return sorted(best, key=_projector_order)


def _projector_order(candidate: Candidate) -> tuple[bool, int]:
    """Those with a promised hash first; of these, and of the others, in the order of the table."""
    unpinned = not all(row.pin for row in candidate.rows)
    return unpinned, [rule.quant for rule in PROJECTOR_RULES].index(candidate.quant)


def artifact(candidate: Candidate, organisation: str) -> Artifact:
    """The catalogue's entry for a set of files."""
    rows = candidate.rows
    return Artifact(
        quant=candidate.quant,
        publisher=_quantiser(rows[0], organisation),
        files=tuple(
            CataloguedFile(
                name=row.file.rpartition("/")[2],
                size_bytes=row.size_bytes or 0,
                size_exact=row.size_exact,
                sha256=row.pin,
            )
            for row in rows
        ),
        hub=HubOrigin(repository=rows[0].repo, revision=_revision(rows), paths=tuple(row.file for row in rows)),
    )


def _quantiser(row: FileRow, organisation: str) -> str:
    """Who made the files."""
    if row.trust == "official":
        return organisation
    return row.trust if row.trust in TRUST else row.repo.partition("/")[0]
