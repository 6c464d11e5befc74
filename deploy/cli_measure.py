"""The command line of what is measured on this machine."""

from typing import Any

from deploy.cli_common import AsJson, rendered_by, serve
from deploy.results import Result


def calibrate(*, as_json: AsJson = False) -> None:
    """Measure in ten seconds how fast this machine is.

    Speeds are then forecast from what was measured here, and not from assumed rates.
    """
    from deploy.commands.calibrate import CalibrateData
    from deploy.commands.calibrate import calibrate as command
    from deploy.edge import Setting

    def work(world: Any) -> Result[CalibrateData]:
        return command(world)

    serve(
        "calibrate",
        as_json,
        work,
        rendered_by("deploy.render_measure", lambda render: render.calibration),
        Setting(offline=True),
    )
