"""A child for the tests: the app in this terminal, with a record of every byte that its driver writes.

Arguments: the home of the small world, the file for the record, and what the engine does ("answers" or "loads",
which never ends).
"""

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from textual.drivers.linux_driver import LinuxDriver

from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.load_plan import LoadPlan
from tests.tui.kit import app_over, small_world


class StuckEngine(FakeEngine):
    """An engine whose load reports nothing and does not end."""

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> FakeSession:
        """Wait for ever, as on a disk that does not answer."""
        threading.Event().wait()
        return super().open(files, plan, on_loading)


def main(home: str, record: str, does: str) -> int:
    """Run the app; return its exit code."""
    engine = StuckEngine() if does == "loads" else FakeEngine("word " * 500, tok_s=50)
    app = app_over(small_world(Path(home), engine=engine))
    with Path(record).open("wb", buffering=0) as file:

        class RecordingDriver(LinuxDriver):
            """Writes down what it writes."""

            def write(self, data: str) -> None:
                """Write, and remember."""
                file.write(data.encode())
                super().write(data)

        app.driver_class = RecordingDriver
        app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
