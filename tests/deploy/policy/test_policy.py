"""What policies admit: combining can only narrow, and every refusal names a rule that exists."""

import datetime as dt
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Capabilities, Licence
from deploy.errors import NotFound, PolicyRefused
from deploy.paths import resolve
from deploy.policy.document import Document, parse, read_document
from deploy.policy.policy import Policy, in_force
from deploy.policy.rules import PROPERTIES, RULES, Doubt
from deploy.policy.subject import Place, Subject, of_file, of_model
from tests.support.world import artifact, model

SHIPPED: Final = loader.load()
EVERY: Final = [of_model(known, form) for known in SHIPPED.models for form in known.artifacts]
SUBJECTS: Final = EVERY[::9]
"""Enough of them for properties that are tried a hundred times."""
VALUES: Final = {
    "licence": ["Apache-2.0", "MIT", "LicenseRef-*", "CC-BY-NC-4.0", "*"],
    "restriction": ["none", "*European Union*", "*"],
    "country": ["CN", "US", "FR", "EU", "XX", "*"],
    "publisher": ["Mistral AI", "Google", "*ai*"],
    "quantiser": ["ggml-org", "bartowski", "unsloth"],
    "quantisation": ["Q4_K_M", "Q*", "UD-*"],
    "openness": ["weights", "fully-open"],
    "family": ["qwen*", "gemma3", "olmo"],
    "model": ["gpt-oss-*", "qwen3-8b"],
    "capability": ["vision", "chat", "code", "audio"],
}
CHOICES: Final[tuple[Doubt, ...]] = ("deny", "admit")
DOUBTS: Final = st.sampled_from(CHOICES)
LISTS: Final = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3).map(tuple))
)
REQUIREMENTS: Final = st.fixed_dictionaries(
    {},
    optional={
        "require.size_at_most": st.sampled_from([10**9, 10**10, 10**12]),
        "require.released_from": st.dates(dt.date(2023, 1, 1), dt.date(2026, 1, 1)),
        "require.released_until": st.dates(dt.date(2023, 1, 1), dt.date(2026, 1, 1)),
        "require.capabilities": st.sampled_from([("tools",), ("vision",), ("chat", "reasoning")]),
        "require.languages": st.sampled_from([("de",), ("en", "fr")]),
        "require.pinned": st.just(value=True),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any policy file."""
    rules = dict(draw(REQUIREMENTS))
    for section in ("allow", "deny"):
        rules |= {f"{section}.{name}": patterns for name, patterns in draw(st.lists(LISTS, max_size=2))}
    doubts = draw(st.dictionaries(st.sampled_from([*VALUES, "default", "capabilities", "languages"]), DOUBTS))
    return Document(file="test.toml", name="test", rules=rules, doubts=doubts)


def admitted(policy: Policy, subjects: list[Subject] = SUBJECTS) -> set[str]:
    """The ids of what a policy admits."""
    return {subject.id for subject in subjects if policy.refusal(subject) is None}


@pytest.mark.no_cover
@given(documents(), LISTS)
def test_adding_a_deny_never_admits_more(document: Document, denied: tuple[str, tuple[str, ...]]) -> None:
    """Whatever else stands in the file, a longer deny list only takes away."""
    name, patterns = denied
    key = f"deny.{name}"
    longer = (*document.rules.get(key, ()), *patterns)
    stricter = msgspec.structs.replace(document, rules={**document.rules, key: longer})
    assert admitted(Policy((stricter,))) <= admitted(Policy((document,)))


@pytest.mark.no_cover
@given(st.lists(documents(), max_size=3), documents())
def test_another_file_never_admits_more(files: list[Document], more: Document) -> None:
    """What all files admit is what each of them admits; the order does not matter."""
    together = admitted(Policy((*files, more)))
    assert together == admitted(Policy((more, *files)))
    assert together == admitted(Policy(tuple(files))) & admitted(Policy((more,)))


@pytest.mark.no_cover
@given(documents(), st.sampled_from(sorted(VALUES)))
def test_denying_in_doubt_never_admits_more(document: Document, name: str) -> None:
    """The careful answer to what is not known is the narrower one."""
    careful = msgspec.structs.replace(document, doubts={**document.doubts, name: "deny"})
    bold = msgspec.structs.replace(document, doubts={**document.doubts, name: "admit"})
    assert admitted(Policy((careful,))) <= admitted(Policy((bold,)))


@given(documents(), st.sampled_from(SUBJECTS))
def test_a_refusal_names_a_rule_that_exists_and_is_in_force(document: Document, subject: Subject) -> None:
    """And its file, in a sentence."""
    refusal = Policy((document,)).refusal(subject)
    if refusal is not None:
        assert refusal.rule in RULES
        assert refusal.rule in document.rules
        assert refusal.rule in refusal.sentence
        assert refusal.file in refusal.sentence
        assert refusal.rule in refusal.error("it").hint


def test_no_file_admits_everything() -> None:
    """A machine without a policy is its user's own."""
    assert admitted(Policy()) == {subject.id for subject in SUBJECTS}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('[allow]\nlicence = ["MIT"]', "allow.licence"),
        ('[deny]\nlicence = ["apache-*"]', "deny.licence"),
        ('[deny]\ncountry = ["FR"]', "deny.country"),
        ('[deny]\npublisher = ["Testers"]', "deny.publisher"),
        ('[deny]\nquantiser = ["the test"]', "deny.quantiser"),
        ('[deny]\nquantisation = ["Q4*"]', "deny.quantisation"),
        ('[deny]\nmodel = ["one"]', "deny.model"),
        ('[deny]\nfamily = ["t?st"]', "deny.family"),
        ('[allow]\nopenness = ["fully-open"]', "allow.openness"),
        ('[deny]\nrestriction = ["*revenue*"]', "deny.restriction"),
        ('[allow]\nrestriction = ["none"]', "allow.restriction"),
        ('[deny]\ncapability = ["chat"]', "deny.capability"),
        ('[deny]\ncapability = ["vision"]', "deny.capability"),
        ('[require]\ncapabilities = ["tools"]', "require.capabilities"),
        ('[require]\nlanguages = ["de"]', "require.languages"),
        ('[require]\nsize_at_most = "1KB"', "require.size_at_most"),
        ("[require]\nreleased_from = 2025-01-02", "require.released_from"),
        ("[require]\nreleased_until = 2024-12-31", "require.released_until"),
    ],
)
def test_each_rule_refuses_what_it_is_for(text: str, rule: str) -> None:
    """One model that breaks them all, of which its eyes, tools and languages are not known."""
    known = msgspec.structs.replace(
        model("one", artifact("Q4_0")), licence=Licence(id="Apache-2.0", restrictions="limited by revenue")
    )
    subject = of_model(known, known.artifacts[0])
    refusal = Policy((parse(text, Path("p.toml")),)).refusal(subject)
    assert refusal is not None
    assert refusal.rule == rule


@pytest.mark.parametrize(
    "text",
    [
        '[allow]\nlicence = ["MIT", "Apache-2.0"]',
        '[deny]\nlicence = ["MIT"]',
        '[deny]\ncapability = ["audio"]\n[unknown]\ncapability = "admit"',
        '[require]\ncapabilities = ["chat"]',
        '[require]\ncapabilities = ["tools"]\n[unknown]\ndefault = "admit"',
        '[require]\nsize_at_most = "1GB"\nreleased_from = 2025-01-01\nreleased_until = 2025-01-01\npinned = true',
    ],
)
def test_what_no_rule_is_against_is_admitted(text: str) -> None:
    """Also exactly at a limit."""
    known = model("one", artifact("Q4_0"))
    assert Policy((parse(text, Path("p.toml")),)).refusal(of_model(known, known.artifacts[0])) is None


def test_a_capability_that_is_known_to_be_missing_is_no_doubt() -> None:
    """What is not known and what is not so are different."""
    known = msgspec.structs.replace(model("one", artifact("Q4_0")), capabilities=Capabilities(chat=True, tools=False))
    subject = of_model(known, known.artifacts[0])
    text = '[require]\ncapabilities = ["tools"]\n[unknown]\ndefault = "admit"'
    refusal = Policy((parse(text, Path("p.toml")),)).refusal(subject)
    assert refusal is not None
    assert "lacks" in refusal.why


def test_a_file_of_ones_own_is_judged_by_what_it_says() -> None:
    """Its licence is not known, so a rule about licences refuses it; a rule about sizes can be kept."""
    own = of_file("mine.gguf", "Q4_0", 1000)
    assert Policy((parse('[allow]\nlicence = ["*"]', Path("p.toml")),)).refusal(own) is not None
    assert Policy((parse('[require]\nsize_at_most = "1MB"', Path("p.toml")),)).refusal(own) is None
    assert Policy((parse("[require]\npinned = true", Path("p.toml")),)).refusal(own) is not None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("[require]\noffline = true", {"folder", "bundle"}),
        ('[deny]\nsource = ["hub"]', {"package index", "mirror", "folder", "bundle"}),
        ('[allow]\nsource = ["mirror"]', {"mirror"}),
        ('[allow]\nhost = ["*.lan"]', {"mirror", "folder", "bundle"}),
        ('[allow]\nhost = ["*.lan"]\n[unknown]\nhost = "admit"', {"mirror", "folder", "bundle", "package index"}),
    ],
)
def test_places_are_judged_by_kind_and_host(text: str, kept: set[str]) -> None:
    """A host that is not known is denied unless the file says otherwise; a folder has none."""
    places = [
        Place(kind="hub", host="hub.example"),
        Place(kind="mirror", host="files.lan"),
        Place(kind="package index", host=None),
        Place(kind="folder", host=""),
        Place(kind="bundle", host=""),
    ]
    policy = Policy((parse(text, Path("p.toml")),))
    assert {place.kind for place in places if policy.refusal_of_place(place) is None} == kept


def test_system_user_and_call_are_in_force_together(tmp_path: Path) -> None:
    """Each file that is there is read; a later one cannot lift an earlier one."""
    paths = resolve({"LANDFAST_HOME": str(tmp_path)})
    system, user, named = tmp_path / "system.toml", paths.config / "policy.toml", tmp_path / "named.toml"
    assert in_force(paths, {}, system).documents == ()
    paths.config.mkdir()
    for file, country in ((system, "US"), (user, "CN"), (named, "FR")):
        file.write_text(f'[deny]\ncountry = ["{country}"]\n')
    found = in_force(paths, {"LANDFAST_POLICY": str(named)}, system)
    assert [document.file for document in found.documents] == [str(system), str(user), str(named)]
    countries = {subject.reading("country").values[0] for subject in SUBJECTS if found.refusal(subject) is None}
    assert countries.isdisjoint({"US", "CN", "FR"})
    assert countries


def test_one_broken_file_stops_everything(tmp_path: Path) -> None:
    """As does one that was named and is not there."""
    paths = resolve({"LANDFAST_HOME": str(tmp_path)})
    system = tmp_path / "system.toml"
    system.write_text("[allow]\nlicence = 5\n")
    with pytest.raises(PolicyRefused, match=r"system\.toml, line 2"):
        in_force(paths, {}, system)
    with pytest.raises(NotFound):
        in_force(paths, {"LANDFAST_POLICY": str(tmp_path / "none.toml")}, tmp_path / "no-system.toml")


def test_a_file_that_cannot_be_looked_at_is_not_passed_over(tmp_path: Path) -> None:
    """What cannot be read may forbid something: a link that leads in a circle, one whose share is not mounted."""
    paths = resolve({"LANDFAST_HOME": str(tmp_path)})
    circle, away = tmp_path / "circle.toml", tmp_path / "away.toml"
    circle.symlink_to(circle)
    away.symlink_to(tmp_path / "share" / "policy.toml")
    with pytest.raises(PolicyRefused, match=r"circle\.toml, line 1: it cannot be read"):
        in_force(paths, {}, circle)
    with pytest.raises(NotFound, match=r"away\.toml"):
        in_force(paths, {}, away)


EXAMPLES: Final = Path(__file__).resolve().parents[3] / "docs" / "policies"


@pytest.mark.parametrize("name", ["finance", "eu-only", "fully-open", "air-gapped"])
def test_every_example_admits_some_models_and_refuses_others(name: str) -> None:
    """An example that admits nothing, or everything, is none."""
    found = admitted(Policy((read_document(EXAMPLES / f"{name}.toml"),)), EVERY)
    assert 0 < len(found) < len(EVERY)


def test_the_eu_example_refuses_what_its_name_says() -> None:
    """No publisher from elsewhere and no licence that leaves the Union out."""
    found = admitted(Policy((read_document(EXAMPLES / "eu-only.toml"),)), EVERY)
    models = {known.id: known for known in SHIPPED.models}
    kept = [models[name.partition(":")[0]] for name in found]
    assert {known.country for known in kept} <= {"EU", "FR", "DE", "ES", "IT", "NL", "FI", "SE"}
    assert not any("non-commercial" in (known.licence.restrictions or "") for known in kept)


def test_every_property_of_models_is_read_from_the_catalogue() -> None:
    """A property that a subject lacks would be unknown for every model."""
    known = of_model(SHIPPED.models[0], SHIPPED.models[0].artifacts[0])
    missing = {one.name for one in PROPERTIES} - set(known.properties)
    assert missing == {"source", "host"}
