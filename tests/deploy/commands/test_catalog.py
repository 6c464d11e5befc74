"""`landfast catalog`: what is known can be searched, and only a newer, whole catalogue takes its place."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.bundle.signing import trust
from deploy.catalog.loader import load, load_newest
from deploy.catalog.model import Catalog
from deploy.catalog.signature import sign
from deploy.checksum import is_intact
from deploy.commands.catalog import CatalogFilter, find, update
from deploy.commands.context import real_context
from deploy.errors import IntegrityError, NotFound, PolicyRefused
from deploy.keys import fingerprint, public_key_pem
from deploy.policy.document import parse
from scripts.build_catalog import serialise
from scripts.sign_catalog import sign_file
from tests.support.world import artifact, catalog, model, world


def written(found: Catalog, path: Path) -> Path:
    """A catalogue as the builder writes it."""
    path.write_bytes(serialise(found))
    return path


def newer(*ids: str, dated: str = "2025-07-01") -> Catalog:
    """A catalogue of a later date with models of these names."""
    return msgspec.structs.replace(catalog(*(model(name, artifact("Q4_0")) for name in ids)), dated=dated)


def test_words_and_filters_find_models(tmp_path: Path) -> None:
    """What is known and cannot be installed is found by its name, with the reason."""
    context = world(tmp_path, model("one", artifact("Q4_0")), model("other", artifact("Q4_0")))
    for wanted, ids, left_out in (
        (CatalogFilter(), ["one", "other"], 1),
        (CatalogFilter(words=("other",)), ["other"], 0),
        (CatalogFilter(words=("locked",)), [], 1),
        (CatalogFilter(family="TEST", publisher="testers", licence="apache"), ["one", "other"], 0),
        (CatalogFilter(licence="MIT"), [], 0),
    ):
        data = find(context, wanted).data
        assert data is not None
        assert [entry.id for entry in data.models] == ids
        assert len(data.left_out) == left_out


def test_a_newer_catalogue_takes_the_place(tmp_path: Path) -> None:
    """What came and went is said, and that nobody checked who made it."""
    context = world(tmp_path, model("one", artifact("Q4_0")))
    file = written(newer("one", "two"), tmp_path / "new.json")
    found = update(context, str(file), None)
    assert found.changed
    assert found.data is not None
    assert (found.data.added, found.data.gone, found.data.signed_by) == (("two",), (), None)
    assert "not checked" in found.messages[0].text
    assert context.paths.catalogue.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["an older one", "another engine's", "a damaged one", "an unsealed one", "no JSON"])
def test_a_bad_catalogue_is_refused_and_changes_nothing(name: str, tmp_path: Path) -> None:
    """Each with its reason."""
    context = world(tmp_path)
    good = serialise(newer("one"))
    path = tmp_path / "new.json"
    path.write_bytes(
        {
            "an older one": serialise(newer("one", dated="2025-05-31")),
            "another engine's": serialise(msgspec.structs.replace(newer("one"), engine="llama-cpp-python 9")),
            "a damaged one": good.replace(b"Testers", b"Tasters"),
            "an unsealed one": msgspec.json.encode(newer("one")),
            "no JSON": b"{",
        }[name]
    )
    with pytest.raises(IntegrityError) as caught:
        update(context, str(path), None)
    assert caught.value.hint
    assert "delete" not in caught.value.hint
    assert not context.paths.catalogue.exists()


def test_a_catalogue_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(NotFound, match=r"none\.json"):
        update(world(tmp_path), str(tmp_path / "none.json"), None)


def test_with_a_key_the_signature_must_be_its_own(tmp_path: Path) -> None:
    """Missing, of another key, of another file: refused. Right: its fingerprint is told."""
    mine, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    key = tmp_path / "maker.pub"
    key.write_bytes(public_key_pem(mine.public_key()))
    context = world(tmp_path)
    file = written(newer("one"), tmp_path / "new.json")
    beside = tmp_path / "new.json.sig"
    with pytest.raises(NotFound, match="no signature"):
        update(context, str(file), str(key))
    for wrong in (sign(file.read_bytes(), other), sign(b"another file", mine), b"{}"):
        beside.write_bytes(wrong)
        with pytest.raises(IntegrityError):
            update(context, str(file), str(key))
    assert not context.paths.catalogue.exists()
    beside.write_bytes(sign(file.read_bytes(), mine))
    found = update(context, str(file), str(key))
    assert found.data is not None
    assert found.data.signed_by
    assert found.messages == ()


def test_the_newest_of_shipped_and_updated_is_in_force(tmp_path: Path) -> None:
    """An older one or one for another engine is passed over; a damaged one is an error, not a silent step back."""
    shipped, path = load(), tmp_path / "catalog.json"
    assert load_newest(path).dated == shipped.dated
    later = msgspec.structs.replace(shipped, dated="2999-01-01", models=shipped.models[:1])
    path.write_bytes(serialise(later))
    assert is_intact(path.read_bytes())
    assert load_newest(path) == later
    for passed_over in (
        msgspec.structs.replace(later, dated="2000-01-01"),
        msgspec.structs.replace(later, engine="llama-cpp-python 9"),
    ):
        path.write_bytes(serialise(passed_over))
        assert load_newest(path).dated == shipped.dated
    path.write_bytes(serialise(later)[:-20])
    with pytest.raises(IntegrityError, match="damaged"):
        load_newest(path)


def signed(found: Catalog, path: Path, key: Ed25519PrivateKey) -> Path:
    """A catalogue with its signature beside it, as the script signs."""
    pem = path.with_name("maker.pem")
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    sign_file(written(found, path), pem)
    return path


def test_a_trusted_key_needs_not_be_named(tmp_path: Path) -> None:
    """The signature beside the file is checked with it; of a key that nobody trusts nothing is said but that."""
    key, context = Ed25519PrivateKey.generate(), world(tmp_path)
    file = signed(newer("one"), tmp_path / "new.json", key)
    stranger = update(context, str(file), None)
    assert stranger.data is not None
    assert stranger.data.signed_by is None
    assert "not checked" in stranger.messages[0].text
    trust(context.paths, key.public_key())
    found = update(context, str(file), None)
    assert found.data is not None
    assert found.data.signed_by == fingerprint(key.public_key())
    (tmp_path / "new.json.sig").write_bytes(sign(b"another file", key))
    with pytest.raises(IntegrityError):
        update(context, str(file), None)


def test_a_policy_can_ask_who_made_a_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an unsigned one nor one of another key is put in force, and what slipped in before is not used."""
    monkeypatch.setenv("LANDFAST_HOME", str(tmp_path / "home"))
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    shipped = load()
    later = msgspec.structs.replace(shipped, dated="2999-01-01", models=shipped.models[:1])
    file, before = tmp_path / "new.json", real_context(lambda _: None, offline=True)
    update(before, str(written(later, file)), None)
    assert before.catalog() == later
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[require]\ncatalogue_signer = ["{fingerprint(key.public_key())}"]\n')
    monkeypatch.setenv("LANDFAST_POLICY", str(policy))
    context = real_context(lambda _: None, offline=True)
    with pytest.raises(PolicyRefused, match="no key that is trusted here") as caught:
        context.catalog()
    assert "require.catalogue_signer" in caught.value.hint
    for stranger in (None, other):
        if stranger is not None:
            signed(later, file, stranger)
            trust(context.paths, stranger.public_key())
        with pytest.raises(PolicyRefused):
            update(context, str(file), None)
    trust(context.paths, key.public_key())
    assert update(context, str(signed(later, file, key)), None).data is not None
    assert context.catalog() == later
    context.paths.catalogue.write_bytes(serialise(msgspec.structs.replace(later, dated="2999-01-02")))
    with pytest.raises(IntegrityError, match="a catalogue other than"):
        context.catalog()


def test_an_update_cures_a_damaged_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error that stops everything else says."""
    monkeypatch.setenv("LANDFAST_HOME", str(tmp_path / "home"))
    context = real_context(lambda _: None, offline=True)
    later = msgspec.structs.replace(load(), dated="2999-01-01", models=load().models[:1])
    context.paths.catalogue.parent.mkdir(parents=True)
    context.paths.catalogue.write_bytes(b"{")
    with pytest.raises(IntegrityError) as caught:
        context.catalog()
    assert "landfast catalog update FILE" in caught.value.hint
    assert update(context, str(written(later, tmp_path / "new.json")), None).changed
    assert context.catalog() == later


def test_a_policy_names_signers_by_whole_fingerprints(tmp_path: Path) -> None:
    """A slip is a broken file, with its line."""
    with pytest.raises(PolicyRefused, match=r"line 2.*not a fingerprint"):
        parse('[require]\ncatalogue_signer = ["abc"]', tmp_path / "p.toml")


def test_another_catalogue_of_the_same_date_comes_into_force(tmp_path: Path) -> None:
    """A site that adds a model on the day of a release is not passed over, and nobody is told of a date before."""
    shipped, path = load(), tmp_path / "catalog.json"
    context = dataclasses.replace(world(tmp_path / "home"), catalog=lambda: shipped)
    own = msgspec.structs.replace(shipped, models=shipped.models[:1])
    found = update(context, str(written(own, path)), None)
    assert found.changed
    assert load_newest(context.paths.catalogue) == own
    assert found.data is not None
    assert found.data.before == found.data.dated
