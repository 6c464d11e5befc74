"""The command line of what is measured on this machine."""

from deploy.cli_common import AsJson, serve


def calibrate(*, as_json: AsJson = False) -> None:
    """Measure in ten seconds how fast this machine is.

    Speeds are then forecast from what was measured here, and not from assumed rates.
    """
    from deploy.commands.calibrate import calibrate as command

    serve(
        "calibrate",
        as_json,
        command,
        lambda render: render.calibration,
        shown_by="deploy.render_measure",
        offline=True,
    )
