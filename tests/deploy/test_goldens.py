"""What is chosen on every reference machine: a change shows as a difference that people can read."""

import difflib

import pytest

from profiles.simulated import list_machines, load_machine
from scripts.build_goldens import OUT, golden

RENEW = "Read the difference; if it is meant, run `python -m scripts.build_goldens` and keep it."


@pytest.mark.parametrize("name", list_machines())
def test_the_choices_are_those_that_were_reviewed(name: str) -> None:
    """For each use the first five, with figures and reasons."""
    kept = (OUT / f"{name}.txt").read_text("utf-8").splitlines()
    found = golden(name).splitlines()
    difference = "\n".join(difflib.unified_diff(kept, found, "reviewed", "now", lineterm="", n=1))
    assert not difference, f"{name}\n{difference}\n{RENEW}"


def test_every_golden_is_of_a_machine_of_the_library() -> None:
    """None is left over from a machine that is gone."""
    assert sorted(path.stem for path in OUT.glob("*.txt")) == list(list_machines())
    assert all(load_machine(name).simulated for name in list_machines())
