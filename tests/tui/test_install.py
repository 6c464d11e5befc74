"""Installing from the UI: the steps, the ways it ends, and that stopping loses nothing."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from textual.widgets import Static

from deploy.catalog.model import Artifact
from deploy.errors import Unreachable
from deploy.sources.base import Progress, Report
from tests.support.world import TINY, FakeSource, artifact, model, world
from tests.tui.kit import GB, SMALL, app_over, looked, names, small_world, table, until
from tui.app import LandfastApp
from tui.screens.install import InstallScreen


class SlowSource(FakeSource):
    """A source that reports and reports until it is let go, and can fail then."""

    def __init__(self, error: Exception | None = None) -> None:
        """Hold back until `go` is set."""
        super().__init__()
        self.go = threading.Event()
        self.error = error

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Tell of the download until it may end."""
        done = 0
        while not self.go.wait(0.01):
            done += 1
            report(Progress(step="download", text="download tiny", done_bytes=done, total_bytes=1000))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return super().fetch(artifact, staging, report)


def installing(app: LandfastApp) -> Callable[[], bool]:
    """Whether the steps are shown."""
    return lambda: isinstance(app.screen, InstallScreen)


def is_installed(app: LandfastApp) -> bool:
    """Whether the list says so of the row under the cursor."""
    row = table(app).current
    return row is not None and row.installed


def box(app: LandfastApp) -> str:
    """The text of the install window, as it is drawn."""
    assert isinstance(app.screen, InstallScreen)
    app.screen.show()
    region = app.screen.query_one("#install-text", Static).region
    lines = app.screen._compositor.render_strips()
    return "\n".join(line.text[region.x : region.right] for line in lines[region.y : region.bottom])


async def test_enter_installs_and_leads_to_the_chat(tmp_path: Path) -> None:
    """From the first start to a loaded model with one key; afterwards the list says installed."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready")
        assert [record.id for record in app.context.store.installed()] == ["tiny:Q4_0"]
        await pilot.press("f2")
        await until(pilot, lambda: is_installed(app))
        assert not app.screen.query_one("#advice").display


async def test_i_installs_and_stays(tmp_path: Path) -> None:
    """The window says that it is done, and Enter opens the chat from there."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "✓ Installed" in box(app))
        assert "✓ verify" in box(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready")


async def test_a_failure_is_a_sentence_and_enter_tries_again(tmp_path: Path) -> None:
    """The step is marked, cause and cure are shown, and the second try brings the chat."""
    source = SlowSource(Unreachable("The shelf does not answer.", hint="Look behind it."))
    app = app_over(small_world(tmp_path, sources=(source,)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: installing(app)() and "of" in box(app))
        source.go.set()
        await until(pilot, lambda: "The shelf does not answer." in box(app))
        assert "✗ download" in box(app)
        assert "Look behind it." in box(app)
        assert app.context.store.installed() == ()
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready")


async def test_wrong_bytes_are_refused(tmp_path: Path) -> None:
    """A file with another hash never gets into the store."""
    app = app_over(small_world(tmp_path, sources=(FakeSource(files={"tiny.gguf": TINY[:-1] + b"x"}),)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "✗" in box(app))
        assert "✗ verify" in box(app)
        assert app.context.store.installed() == ()


async def test_stopping_leaves_an_install_that_goes_on_later(tmp_path: Path) -> None:
    """Pressing x stops at once, nothing is installed, and Enter goes on."""
    source = SlowSource()
    app = app_over(small_world(tmp_path, sources=(source,)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "of" in box(app))
        await pilot.press("x")
        await until(pilot, lambda: "■ Stopped" in box(app))
        assert app.installs.running_count == 0
        assert app.context.store.installed() == ()
        source.go.set()
        await pilot.press("enter")
        await until(pilot, lambda: "✓ Installed" in box(app))


async def test_an_install_goes_on_behind_a_closed_window_and_tells_when_it_is_over(tmp_path: Path) -> None:
    """Escape leaves the window; i shows it again; the end is a notice, not a leap to another place."""
    source = SlowSource()
    app = app_over(small_world(tmp_path, sources=(source,)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("enter")
        await until(pilot, installing(app))
        await pilot.press("escape")
        assert app.installs.running_count == 1
        await pilot.press("i")
        await until(pilot, installing(app))
        await pilot.press("escape")
        source.go.set()
        await until(pilot, lambda: any("is installed" in note.message for note in app._notifications))
        assert app.current_mode == "models"


async def test_a_large_install_is_asked_for(tmp_path: Path) -> None:
    """Above a gigabyte nothing begins before a second Enter; Escape leaves it."""
    big = model("big", artifact("Q4_0"))
    file = big.artifacts[0].files[0]
    large = msgspec.structs.replace(
        big,
        artifacts=(
            msgspec.structs.replace(big.artifacts[0], files=(msgspec.structs.replace(file, size_bytes=2 * GB),)),
        ),
    )
    app = app_over(world(tmp_path, large))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        assert names(app) == ["Big"]
        await pilot.press("enter")
        await until(pilot, installing(app))
        assert "2.0 GB will be installed here" in box(app)
        assert app.installs.running_count == 0
        await pilot.press("escape")
        await pilot.pause()
        assert not installing(app)()


async def test_quitting_stops_an_install(tmp_path: Path) -> None:
    """No thread goes on writing after the app is gone."""
    source = SlowSource()
    app = app_over(small_world(tmp_path, sources=(source,)))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("i")
        await until(pilot, lambda: app.installs.running_count and "of" in box(app))
        await pilot.press("ctrl+q")
    (job,) = app.installs.jobs
    assert job.over
    assert job.stopped
