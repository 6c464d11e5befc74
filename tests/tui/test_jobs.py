"""The list of installs: one after another, stopped, tried again, and what an earlier run left."""

from pathlib import Path

from deploy.catalog.model import Artifact
from deploy.commands.context import Context
from deploy.errors import Unreachable
from deploy.sources.base import Report
from tests.support.world import FakeSource, artifact, model, world
from tests.tui.kit import SMALL, AppPilot, app_over, looked, painted, small_world, table, until
from tests.tui.scenes import HeldSource
from tui.app import LandfastApp


def two_models(home: Path, source: FakeSource) -> Context:
    """Two models that one source holds."""
    first, second = model("tiny", artifact("Q4_0")), model("other", artifact("Q4_0", "other.gguf"))
    source.files = {"tiny.gguf": source.files["tiny.gguf"], "other.gguf": source.files["tiny.gguf"]}
    return world(home, first, second, sources=(source,))


async def both_asked(pilot: AppPilot) -> LandfastApp:
    """Ask for two installs and go to the list of them."""
    app = await looked(pilot)
    for _ in range(2):
        await pilot.press("i")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("escape", "j")
    await pilot.press("f4")
    await until(pilot, lambda: app.current_mode == "jobs")
    return app


async def test_installs_come_one_after_another(tmp_path: Path) -> None:
    """The second waits, says so, and begins when the first is over."""
    source = HeldSource()
    app = app_over(two_models(tmp_path, source))
    async with app.run_test(size=SMALL) as pilot:
        await both_asked(pilot)
        assert [job.state for job in app.installs.jobs] == ["running", "queued"]
        await until(pilot, lambda: "· waits" in painted(app))
        assert "F4 Jobs ▸2" in painted(app)
        source.go.set()
        await until(pilot, lambda: [job.state for job in app.installs.jobs] == ["done", "done"])
        await until(pilot, lambda: painted(app).count("✓ installed") == 2)
        assert "SHA-256" in painted(app)
        assert len(app.context.store.installed()) == 2


async def test_one_that_waits_can_be_taken_out_of_the_line(tmp_path: Path) -> None:
    """It is not begun, and can be started later."""
    source = HeldSource()
    app = app_over(two_models(tmp_path, source))
    async with app.run_test(size=SMALL) as pilot:
        await both_asked(pilot)
        await pilot.press("j", "x")
        await until(pilot, lambda: "? to confirm" in painted(app))
        source.go.set()
        await until(pilot, lambda: app.installs.jobs[0].state == "done")
        assert app.installs.jobs[1].state == "asked"
        await pilot.press("enter")
        await until(pilot, lambda: app.installs.jobs[1].state == "done")


async def test_what_failed_is_tried_again_and_what_is_over_can_be_cleared(tmp_path: Path) -> None:
    """Cause and cure stand below the list; Enter goes on, c empties it."""
    source = HeldSource(Unreachable("The shelf does not answer.", hint="Look behind it."))
    app = app_over(small_world(tmp_path, sources=(source,)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i", "escape", "f4")
        await until(pilot, lambda: "Look behind it." in painted(app))
        source.error = None
        source.go.set()
        await pilot.press("enter")
        await until(pilot, lambda: "✓ installed" in painted(app))
        await pilot.press("c")
        await until(pilot, lambda: "Nothing is being installed" in painted(app))


async def test_enter_on_what_is_installed_opens_the_chat(tmp_path: Path) -> None:
    """The next step after an install."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i", "escape", "f4")
        await until(pilot, lambda: "✓ installed" in painted(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready")


class PartlySource(FakeSource):
    """A source that leaves a part behind and fails."""

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Write some bytes."""
        (staging / "part").write_bytes(b"x" * 5000)
        raise Unreachable("Gone.", hint="Later.")


async def test_what_an_earlier_run_left_half_done_goes_on(tmp_path: Path) -> None:
    """A new start finds the interrupted install on the list, and Enter brings it to its end."""
    app = app_over(small_world(tmp_path, sources=(PartlySource(),)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i")
        await until(pilot, lambda: app.installs.jobs[0].state == "failed")
    again = app_over(small_world(tmp_path))
    async with again.run_test(size=SMALL) as pilot:
        await looked(pilot)
        assert table(again).row_count
        await pilot.press("f4")
        await until(pilot, lambda: "■ interrupted" in painted(again))
        await pilot.press("enter")
        await until(pilot, lambda: "✓ installed" in painted(again))
