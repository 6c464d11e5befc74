"""All policy files in force, as one judge."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from deploy.errors import NotFound, PolicyRefused
from deploy.paths import Paths
from deploy.policy.document import Document, read_document
from deploy.policy.rules import PLACE_PROPERTIES, PROPERTIES, REQUIREMENTS, allow, deny
from deploy.policy.subject import NOTHING_KNOWN, Place, Reading, Subject

VARIABLE: Final = "LANDFAST_POLICY"
"""Names one more file; what --policy sets."""
SYSTEM: Final = Path("/etc/landfast/policy.toml")
FILE_NAME: Final = "policy.toml"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Which rule of which file refuses, and why."""

    rule: str
    file: str
    why: str

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        return f"The policy forbids it: {self.why} (rule {self.rule} in {self.file})."

    def error(self, name: str) -> PolicyRefused:
        """The error for something that was asked for by this name."""
        return PolicyRefused(
            f"The policy forbids {name}: {self.why}.",
            hint=f"Rule {self.rule} in {self.file}. `landfast policy show` lists all rules in force.",
        )


class Policy(msgspec.Struct, frozen=True):
    """The files in force. Something is admitted when every one of them admits it; no file admits everything."""

    documents: tuple[Document, ...] = ()

    def refusal(self, subject: Subject) -> Refusal | None:
        """The first rule that refuses a model, or None where it is admitted."""
        return next((found for document in self.documents for found in _of_model(document, subject)), None)

    def refusal_of_place(self, place: Place) -> Refusal | None:
        """The first rule that refuses a place, or None where it is admitted."""
        return next((found for document in self.documents for found in _of_place(document, place)), None)

    def refusal_of_catalogue(self, signer: str | None) -> Refusal | None:
        """The first rule that refuses a catalogue from an update, by the fingerprint of its signer's key."""
        return next((found for document in self.documents for found in _of_catalogue(document, signer)), None)

    def refusal_of_keeping(self) -> Refusal | None:
        """The first rule that refuses to save conversations, or None where a person may."""
        return next((found for document in self.documents for found in _of_keeping(document)), None)

    def refusal_of_sessions(self) -> Refusal | None:
        """The first rule that refuses to keep what a model has read, or None where a person may."""
        return next((found for document in self.documents for found in _of_sessions(document)), None)

    def refusal_of_unrecorded(self) -> Refusal | None:
        """The first rule that refuses what the journal does not record, or None where it may run all the same."""
        return next((found for document in self.documents for found in _of_unrecorded(document)), None)

    def with_file(self, path: Path) -> "Policy":
        """This policy and one file more. Raises NotFound and PolicyRefused."""
        return Policy((*self.documents, read_document(path)))


NO_POLICY: Final = Policy()


def in_force(
    paths: Paths, environment: Mapping[str, str], system: Path = SYSTEM, replaced: Path | None = None
) -> Policy:
    """The policy of the system, of the user and of this call, without a file that is about to be replaced.

    Raises PolicyRefused where a file is broken or closed to this user, and NotFound where the one that was named for
    this call is not there, or a link leads to none.
    """
    places = (file for file in dict.fromkeys((system, paths.config / FILE_NAME)) if file != replaced)
    documents = [document for file in places if (document := _standing(file)) is not None]
    if named := environment.get(VARIABLE):
        documents.append(read_document(Path(named).expanduser()))
    return Policy(tuple(documents))


def _standing(file: Path) -> Document | None:
    """The policy at a place where one may stand; None where nothing is there. What cannot be read may forbid."""
    try:
        return read_document(file)
    except NotFound:
        if file.is_symlink():
            raise
        return None


def _of_model(document: Document, subject: Subject) -> Iterator[Refusal]:
    for one in PROPERTIES:
        if one.name not in PLACE_PROPERTIES:
            yield from _listed(document, one.name, subject.reading(one.name))
    for rule in REQUIREMENTS:
        wanted = document.rules.get(f"require.{rule.name}")
        if wanted is not None and rule.judge is not None:
            why = rule.judge(subject, wanted, document.doubt(rule.name))
            yield from _refusals(document, f"require.{rule.name}", why)


def _of_place(document: Document, place: Place) -> Iterator[Refusal]:
    yield from _listed(document, "source", Reading((place.kind,)))
    if place.host != "":
        yield from _listed(document, "host", NOTHING_KNOWN if place.host is None else Reading((place.host,)))
    for rule in REQUIREMENTS:
        wanted = document.rules.get(f"require.{rule.name}")
        if wanted is not None and rule.judge_place is not None:
            yield from _refusals(document, f"require.{rule.name}", rule.judge_place(place, wanted))


def _of_catalogue(document: Document, signer: str | None) -> Iterator[Refusal]:
    for rule in REQUIREMENTS:
        wanted = document.rules.get(f"require.{rule.name}")
        if wanted is not None and rule.judge_catalogue is not None:
            yield from _refusals(document, f"require.{rule.name}", rule.judge_catalogue(signer, wanted))


def _of_keeping(document: Document) -> Iterator[Refusal]:
    for rule in REQUIREMENTS:
        if f"require.{rule.name}" in document.rules:
            yield from _refusals(document, f"require.{rule.name}", rule.keeping)


def _of_sessions(document: Document) -> Iterator[Refusal]:
    for rule in REQUIREMENTS:
        if f"require.{rule.name}" in document.rules:
            yield from _refusals(document, f"require.{rule.name}", rule.keeping_sessions)


def _of_unrecorded(document: Document) -> Iterator[Refusal]:
    for rule in REQUIREMENTS:
        if f"require.{rule.name}" in document.rules:
            yield from _refusals(document, f"require.{rule.name}", rule.recording)


def _listed(document: Document, name: str, reading: Reading) -> Iterator[Refusal]:
    for section, judge in (("deny", deny), ("allow", allow)):
        patterns = document.rules.get(f"{section}.{name}")
        if patterns is not None:
            why = judge(name, reading, patterns, document.doubt(name))
            yield from _refusals(document, f"{section}.{name}", why)


def _refusals(document: Document, rule: str, why: str | None) -> Iterator[Refusal]:
    if why is not None:
        yield Refusal(rule=rule, file=document.file, why=why)
