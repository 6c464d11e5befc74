"""The policy screen: rules, seal and journal are those of the commands."""

import dataclasses
from pathlib import Path

import pytest

from deploy.commands import audit as audit_command
from deploy.errors import EngineFailed
from deploy.journal import Event, Journal
from deploy.policy.policy import NO_POLICY
from tests.tui.kit import LARGE, SMALL, AppPilot, app_over, looked, painted, small_world, until
from tests.tui.scenes import POLICY, journal_world, rules


async def at_the_rules(pilot: AppPilot) -> None:
    """Go to the rules and wait until they are there."""
    await looked(pilot)
    await rules(pilot)


async def test_each_rule_stands_with_its_file_and_what_it_refuses(tmp_path: Path) -> None:
    """Rule, value, count, file and every refused form with the reason."""
    app = app_over(dataclasses.replace(small_world(tmp_path), policy=POLICY))
    async with app.run_test(size=LARGE) as pilot:
        await at_the_rules(pilot)
        for part in (
            "allow.licence",
            "MIT",
            "✗ refuses 3",
            "/etc/landfast/policy.toml",
            "tiny:Q4_0",
            "not on its list",
        ):
            assert part in painted(app)


async def test_without_a_policy_it_says_so(tmp_path: Path) -> None:
    """And how one comes into force."""
    app = app_over(dataclasses.replace(small_world(tmp_path), policy=NO_POLICY))
    async with app.run_test(size=SMALL) as pilot:
        await at_the_rules(pilot)
        assert "No policy is in force" in painted(app)
        assert "/etc/landfast/policy.toml" in painted(app)


async def test_a_file_is_tested_without_coming_into_force(tmp_path: Path) -> None:
    """What it would take away is shown under the word TEST; an empty answer brings back what holds."""
    file = tmp_path / "p.toml"
    file.write_text('[deny]\nlicence = ["Apache-2.0"]\n')
    app = app_over(small_world(tmp_path / "home"))
    async with app.run_test(size=LARGE) as pilot:
        await at_the_rules(pilot)
        await pilot.press("t", *str(file), "enter")
        await until(pilot, lambda: "TEST of" in painted(app))
        assert "refuse 3 of 3" in painted(app)
        assert app.context.policy == NO_POLICY
        await pilot.press("t", "enter")
        await until(pilot, lambda: "No policy is in force" in painted(app))


async def test_a_file_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    """The rules in force stay on the screen."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=LARGE) as pilot:
        await at_the_rules(pilot)
        await pilot.press("t", *"/nowhere.toml", "enter")
        await until(pilot, lambda: "✗" in painted(app))
        assert "no rules" in painted(app)


async def test_a_changed_journal_is_said_to_be_broken(tmp_path: Path) -> None:
    """The line of the journal says where the chain breaks."""
    app = app_over(journal_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await at_the_rules(pilot)
        await pilot.press("v")
        await until(pilot, lambda: "✗ broken" in painted(app) and "chain breaks" in painted(app))


async def test_a_whole_journal_shows_its_head_and_newest_lines(tmp_path: Path) -> None:
    """What to note elsewhere, and what ran, without a word of what was said."""
    context = small_world(tmp_path)
    Journal(context.paths).append(Event(kind="answer", model="tiny:Q4_0", outcome="stop", answer_tokens=7))
    app = app_over(context)
    async with app.run_test(size=(100, 40)) as pilot:
        await at_the_rules(pilot)
        await pilot.press("v")
        await until(pilot, lambda: "✓ whole" in painted(app) and "7 written" in painted(app))
        assert Journal(context.paths).verify().head in painted(app)


async def test_an_audit_that_cannot_run_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another one can be started."""

    def fail(*_: object) -> None:
        raise EngineFailed("The engine cannot be started.", hint="Run `landfast doctor`.")

    monkeypatch.setattr(audit_command, "audit", fail)
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=LARGE) as pilot:
        await at_the_rules(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "The engine cannot be started. Run `landfast doctor`." in painted(app))
        await pilot.press("a")
        await until(pilot, lambda: "cannot be started" in painted(app))


@pytest.mark.engine
async def test_the_real_engine_is_audited_from_the_screen(tmp_path: Path) -> None:
    """The result of the attacks is on the screen, and the report that it names is there."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=(140, 60)) as pilot:
        await at_the_rules(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "The seal holds:" in painted(app) or "not hold:" in painted(app), 120)
        assert "attacks from inside" in painted(app)
        assert list((app.context.paths.state / "audits").glob("audit-*.json"))
