"""A bundle that brings rules: they hold for what is installed from it, and can only forbid more."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from deploy.commands.bundle import CreateRequest, create, inspect
from deploy.commands.places import only_from
from deploy.errors import IntegrityError, NotFound, PolicyRefused
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.deploy.bundle.kit import MODELS, PART_BYTES, bundled, maker, take, taker, tree
from tests.support.world import catalog


def with_policy(here: Path, text: str) -> Path:
    """A bundle of two models and these rules."""
    rules = here / "rules.toml"
    rules.write_text(text)
    request = CreateRequest(out=str(here / "bundle"), models=("tiny", "big"), part_bytes=PART_BYTES, policy=str(rules))
    create(maker(here / "maker"), request)
    return here / "bundle"


def test_the_bundles_rules_hold_for_what_is_installed_from_it(tmp_path: Path) -> None:
    """The refusal names the file in the bundle; what the rules allow goes in."""
    bundle = with_policy(tmp_path, '[deny]\nquantiser = ["the test"]\n')
    here = taker(tmp_path / "taker", bundle)
    with pytest.raises(PolicyRefused) as caught:
        take(here, bundle)
    assert str(bundle / "policy.toml") in caught.value.hint
    assert inspect(here, str(bundle)).data.policy  # type: ignore[union-attr]


def test_rules_that_allow_everything_change_nothing(tmp_path: Path) -> None:
    """And a bundle without rules says so."""
    bundle = with_policy(tmp_path, "[deny]\nquantiser = ['nobody']\n")
    assert take(taker(tmp_path / "taker", bundle), bundle)
    plain = bundled(maker(tmp_path / "other"), tmp_path / "plain", "tiny")
    assert not inspect(taker(tmp_path / "taker"), str(plain)).data.policy  # type: ignore[union-attr]


def test_a_broken_policy_makes_no_bundle(tmp_path: Path) -> None:
    """It is told where it is made, not on a host without internet."""
    with pytest.raises(PolicyRefused):
        with_policy(tmp_path, "[deny\n")
    assert not (tmp_path / "bundle").exists()


def test_altered_or_missing_rules_install_nothing(tmp_path: Path) -> None:
    """Who takes the policy off the stick does not get the models without it."""
    bundle = with_policy(tmp_path, '[deny]\nquantiser = ["the test"]\n')
    here = taker(tmp_path / "taker", bundle)
    rules = bundle / "policy.toml"
    kept = rules.read_bytes()
    rules.write_bytes(kept.replace(b"the test", b"nobody!!"))
    with pytest.raises(IntegrityError):
        take(here, bundle)
    rules.unlink()
    with pytest.raises(NotFound, match=r"policy\.toml"):
        take(here, bundle)
    assert here.store.installed() == ()


def test_the_same_input_with_rules_gives_the_same_bytes(tmp_path: Path) -> None:
    """Reproducible with everything that it can hold but wheels."""
    here = maker(tmp_path / "maker")
    (tmp_path / "rules.toml").write_text("[deny]\nquantiser = ['nobody']\n")
    for name in ("one", "two"):
        rules = str(tmp_path / "rules.toml")
        create(here, CreateRequest(out=str(tmp_path / name), part_bytes=PART_BYTES, policy=rules))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_catalogue_of_a_bundle_must_be_signed_as_the_policy_asks(tmp_path: Path) -> None:
    """A bundle is no way around the signer of catalogues; with the right signer it counts."""
    newer = msgspec.structs.replace(catalog(*MODELS), dated="2031-01-01")
    here = dataclasses.replace(maker(tmp_path / "maker"), catalog=lambda: newer)
    bundle = bundled(here, tmp_path / "bundle", "tiny")
    signed_by = inspect(here, str(bundle)).data.made_by  # type: ignore[union-attr]
    for signer, dated in (("0" * 64, "2025-06-01"), (signed_by, "2031-01-01")):
        rules = parse(f"[require]\ncatalogue_signer = ['{signer}']", tmp_path / "policy.toml")
        other = dataclasses.replace(taker(tmp_path / "taker", bundle), policy=Policy((rules,)))
        assert only_from(other, str(bundle)).catalog().dated == dated
