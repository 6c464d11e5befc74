"""One look at machine, sources and store for the list of models. It runs in a job's thread."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from deploy.commands.context import Context
from deploy.errors import LandfastError
from deploy.fit.fit import Workload
from deploy.results import simulation_warning
from tui.messages import Look

if TYPE_CHECKING:
    from deploy.commands.profile import ProfileData


def take_look(
    context: Context, machine: str | None, workload: Workload, saw: "Callable[[ProfileData], object]"
) -> Look:
    """First the machine, since it is there at once, then the rest. Raises what the commands raise."""
    from deploy.commands.machines import as_if_on
    from deploy.commands.models import list_models
    from deploy.commands.profile import profile
    from deploy.commands.select import select
    from deploy.commands.upkeep import rubbish

    world = context if machine is None else as_if_on(context, machine)
    seen = profile(world).data
    if seen is not None:
        saw(seen)
    found = select(world, workload)
    if found.data is None:
        raise LandfastError(found.errors[0].message, hint=found.errors[0].hint)
    listed, left = list_models(context), rubbish(context)
    simulated = () if machine is None else (simulation_warning(machine),)
    return Look(
        data=found.data,
        messages=(*simulated, *found.messages, *listed.messages),
        problem=found.errors[0] if found.errors else None,
        installed=listed.data.installed if listed.data else (),
        interrupted=tuple(one for one in left.data.rubbish if one.kind == "interrupted") if left.data else (),
    )
