"""The locks hold every dependency, pinned and hashed, and nothing of the machine that made them."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

REPOSITORY: Final = Path(__file__).parents[2]
LOCKS: Final = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")
ENTRY: Final = re.compile(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)


def read_lock(name: str) -> dict[Requirement, str]:
    """Split a lock into its requirements, each with the text of its entry."""
    entries = ENTRY.findall((REPOSITORY / name).read_text())
    return {Requirement(entry.partition("\n")[0].rstrip(" \\")): entry for entry in entries}


def pins(name: str) -> set[tuple[str, str]]:
    """Each pinned package and its version; a package may have one version per Python."""
    return {(pin.name, str(pin.specifier).removeprefix("==")) for pin in read_lock(name)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_one_version_and_a_hash(name: str) -> None:
    """Only `==` pins, each with a SHA-256, so that pip's --require-hashes accepts the file."""
    for requirement, entry in read_lock(name).items():
        assert str(requirement.specifier).startswith("==")
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("name", LOCKS)
def test_no_address_and_no_path_is_in_a_lock(name: str) -> None:
    """The user's own index decides where files come from, and nothing tells where the lock was made."""
    assert not re.search(r"://|file:|-index|--find-links|(?<![\w.-])/\w", (REPOSITORY / name).read_text())


def test_the_lock_meets_what_the_project_asks_for() -> None:
    """A dependency added or raised in pyproject.toml without scripts/lock.sh is found."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["project"]["dependencies"] + project["dependency-groups"]["dev"],
        "requirements-build.lock": project["build-system"]["requires"],
    }
    for name, lines in wanted.items():
        for requirement in map(Requirement, lines):
            versions = [version for package, version in pins(name) if package == requirement.name]
            assert versions, f"{requirement.name} is not in {name}"
            assert all(requirement.specifier.contains(version) for version in versions)


def test_a_developer_runs_what_a_user_runs() -> None:
    """The dev lock adds packages and changes none."""
    assert pins("requirements.lock") < pins("requirements-dev.lock")


def test_the_locks_agree_on_what_they_share() -> None:
    """Installing one after the other never swaps a version."""
    everyone = dict(pins("requirements-build.lock"))
    assert all(everyone.get(name, version) == version for name, version in pins("requirements-dev.lock"))
