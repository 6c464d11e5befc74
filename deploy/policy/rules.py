"""The table of all rules. A new rule is one entry here; documentation and checks are made from the table."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

import msgspec

from deploy import quantities
from deploy.policy.subject import CAPABILITIES, EVERYTHING, Place, Reading, Subject

Finding = str | None
"""Why a rule refuses, or None where it does not."""
Doubt = Literal["deny", "admit"]
"""What happens where a rule asks for what is not known."""
LOCAL: Final = frozenset({"folder", "bundle"})
EXAMPLE_FINGERPRINT: Final = "0f1e2d3c4b5a6978" * 4


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a model that can be allowed or denied by name. Patterns may hold * and ?."""

    name: str
    meaning: str
    example: str


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that every model or place must fulfil."""

    name: str
    meaning: str
    example: str
    read: Callable[[Any], Any]
    """Takes what stands in the file and gives what `judge` takes. Raises ValueError with a sentence."""
    judge: Callable[[Subject, Any, Doubt], Finding] | None = None
    judge_place: Callable[[Place, Any], Finding] | None = None
    judge_catalogue: Callable[[str | None, Any], Finding] | None = None
    """Asked of a catalogue that an update brings: fingerprint of the key whose signature was checked, or None."""
    keeping: Finding = None
    """Why conversations may not be saved where the rule is in force."""
    keeping_sessions: Finding = None
    """Why what a model has read may not be kept on the disk."""
    recording: Finding = None
    """Why nothing may run that cannot be recorded."""


def read_patterns(value: Any) -> tuple[str, ...]:
    """A list of texts. An empty list is a mistake: it would allow nothing or deny nothing without saying so."""
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ValueError('it must be a list of texts, such as ["one", "two"]')
    return tuple(value)


def read_capabilities(value: Any) -> tuple[str, ...]:
    """A list of capabilities that the catalogue speaks of."""
    names = read_patterns(value)
    strange = sorted(set(names) - set(CAPABILITIES))
    if strange:
        raise ValueError(f"there is no capability {strange[0]!r}; there are {', '.join(CAPABILITIES)}")
    return names


def read_size(value: Any) -> int:
    """A size such as "20GB", or bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return quantities.read_size(value)
    raise ValueError('it must be a size, such as "20GB"')


def read_date(value: Any) -> dt.date:
    """A date, as TOML writes it or as a text."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("it must be a date, such as 2025-01-31")


def read_yes(value: Any) -> bool:
    """The word true. Leaving the rule out says the contrary."""
    if value is not True:
        raise ValueError("it must be true; leave the line out to lift the rule")
    return True


def read_fingerprints(value: Any) -> tuple[str, ...]:
    """Fingerprints of keys, as `landfast keys` shows them."""
    found = tuple(item.lower() for item in read_patterns(value))
    strange = next((item for item in found if re.fullmatch("[0-9a-f]{64}", item) is None), None)
    if strange is not None:
        raise ValueError(f"{strange!r} is not a fingerprint of 64 digits and letters from a to f")
    return found


def read_never(value: Any) -> str:
    """The word never. Leaving the rule out leaves it to the person whether to save."""
    if value != "never":
        raise ValueError('it must be "never"; leave the line out to lift the rule')
    return "never"


def matching(value: str, patterns: Sequence[str]) -> str | None:
    """The first pattern that a value matches; case does not matter."""
    return next((pattern for pattern in patterns if fnmatchcase(value.lower(), pattern.lower())), None)


def allow(name: str, reading: Reading, patterns: Sequence[str], doubt: Doubt) -> Finding:
    """Every value must be on the list."""
    outside = next((value for value in reading.values if matching(value, patterns) is None), None)
    if outside is not None:
        return f'the {name} "{outside}" is not on its list'
    unsure = [value for value in reading.unknown if value == EVERYTHING or matching(value, patterns) is None]
    return _in_doubt(name, unsure, doubt)


def deny(name: str, reading: Reading, patterns: Sequence[str], doubt: Doubt) -> Finding:
    """No value may be on the list."""
    inside = next((value for value in reading.values if matching(value, patterns) is not None), None)
    if inside is not None:
        return f'the {name} "{inside}" is denied'
    unsure = [value for value in reading.unknown if value == EVERYTHING or matching(value, patterns) is not None]
    return _in_doubt(name, unsure, doubt)


def _in_doubt(name: str, unsure: Sequence[str], doubt: Doubt) -> Finding:
    if not unsure or doubt == "admit":
        return None
    which = "" if unsure[0] == EVERYTHING else f' "{unsure[0]}"'
    return f"its {name}{which} is not known, and the policy denies what is not known"


def _needs(name: str) -> Callable[[Subject, tuple[str, ...], Doubt], Finding]:
    def judge(subject: Subject, wanted: tuple[str, ...], doubt: Doubt) -> Finding:
        reading = subject.reading(name)
        missing = [value for value in wanted if value not in reading.values]
        sure = [value for value in missing if value not in reading.unknown and EVERYTHING not in reading.unknown]
        return f'it lacks the {name} "{sure[0]}"' if sure else _in_doubt(name, missing, doubt)

    return judge


def _size_at_most(subject: Subject, limit: int, _doubt: Doubt) -> Finding:
    size = f"{subject.size_bytes / 1e9:.2f} GB"
    return None if subject.size_bytes <= limit else f"its files take {size}, more than {limit / 1e9:g} GB"


def _released_from(subject: Subject, first: dt.date, doubt: Doubt) -> Finding:
    if subject.released is None:
        return _in_doubt("release date", (EVERYTHING,), doubt)
    return None if subject.released >= first else f"it was released on {subject.released}, before {first}"


def _released_until(subject: Subject, last: dt.date, doubt: Doubt) -> Finding:
    if subject.released is None:
        return _in_doubt("release date", (EVERYTHING,), doubt)
    return None if subject.released <= last else f"it was released on {subject.released}, after {last}"


def _pinned(subject: Subject, _wanted: object, _doubt: Doubt) -> Finding:
    return None if subject.pinned else "nobody promised the hash of its files before they came"


def _signed(signer: str | None, wanted: tuple[str, ...]) -> Finding:
    if signer in wanted:
        return None
    return "the key that signed it is not on the list" if signer else "no key that is trusted here or named signed it"


def _offline(place: Place, _wanted: object) -> Finding:
    return None if place.kind in LOCAL else f"the {place.kind} needs a network"


PROPERTIES: Final = (
    Property(name="licence", meaning="Licence of the model, as SPDX writes it.", example='["Apache-2.0", "MIT"]'),
    Property(
        name="restriction",
        meaning='Notable limits of the licence, one sentence; "none" where there are none.',
        example='["*European Union*"]',
    ),
    Property(name="country", meaning="Seat of the publisher, two letters; EU for consortia.", example='["FR", "CH"]'),
    Property(name="publisher", meaning="Who trained the model.", example='["Mistral AI"]'),
    Property(name="quantiser", meaning="Who made the files.", example='["ggml-org", "bartowski"]'),
    Property(name="quantisation", meaning="Form of the weights.", example='["Q4_K_M", "Q8_0"]'),
    Property(
        name="openness",
        meaning="What is published at the least: weights, weights-and-code or fully-open.",
        example='["fully-open"]',
    ),
    Property(name="family", meaning="Family of models.", example='["qwen*"]'),
    Property(name="model", meaning="Id of the model, without its quantisation.", example='["gpt-oss-*"]'),
    Property(name="capability", meaning="What the model was made for.", example='["vision"]'),
    Property(
        name="source",
        meaning="Kind of place that files come from: hub, package index, mirror, folder (or single file) or bundle.",
        example='["mirror", "bundle"]',
    ),
    Property(
        name="host", meaning="Host that is asked for files; places without a network have none.", example='["*.lan"]'
    ),
)
PLACE_PROPERTIES: Final = frozenset({"source", "host"})

REQUIREMENTS: Final = (
    Requirement(
        name="capabilities",
        meaning="The model must have been made for all of these.",
        example='["tools"]',
        read=read_capabilities,
        judge=_needs("capability"),
    ),
    Requirement(
        name="languages",
        meaning="The model must have been made for all of these languages.",
        example='["de", "en"]',
        read=read_patterns,
        judge=_needs("language"),
    ),
    Requirement(
        name="size_at_most",
        meaning="Largest size of a model's files.",
        example='"20GB"',
        read=read_size,
        judge=_size_at_most,
    ),
    Requirement(
        name="released_from",
        meaning="Earliest release date.",
        example="2025-01-01",
        read=read_date,
        judge=_released_from,
    ),
    Requirement(
        name="released_until",
        meaning="Latest release date.",
        example="2026-06-30",
        read=read_date,
        judge=_released_until,
    ),
    Requirement(
        name="pinned",
        meaning="Somebody must have promised every file's hash before it came; no pinning on first use.",
        example="true",
        read=read_yes,
        judge=_pinned,
    ),
    Requirement(
        name="offline",
        meaning="Files may come from folders and bundles alone.",
        example="true",
        read=read_yes,
        judge_place=_offline,
    ),
    Requirement(
        name="catalogue_signer",
        meaning="A catalogue that an update brings must be signed with a key of one of these fingerprints.",
        example=f'["{EXAMPLE_FINGERPRINT}"]',
        read=read_fingerprints,
        judge_catalogue=_signed,
    ),
    Requirement(
        name="conversations",
        meaning="Conversations are never saved, whoever asks for it.",
        example='"never"',
        read=read_never,
        keeping="conversations are never saved",
        keeping_sessions="conversations are never saved, and a kept session holds one",
    ),
    Requirement(
        name="sessions",
        meaning="What a model has read is never kept on the disk, whoever asks for it.",
        example='"never"',
        read=read_never,
        keeping_sessions="sessions are never kept",
    ),
    Requirement(
        name="journal",
        meaning="Nothing runs that cannot be written into the journal first.",
        example="true",
        read=read_yes,
        recording="every run must be in the journal",
    ),
)

RULES: Final = (
    *(f"allow.{one.name}" for one in PROPERTIES),
    *(f"deny.{one.name}" for one in PROPERTIES),
    *(f"require.{one.name}" for one in REQUIREMENTS),
)
"""The name of every rule, as refusals give it."""
