"""`landfast profile`: what this machine is, and what a model may take of it."""

import msgspec

from deploy.commands.context import Context
from deploy.results import Result, warning
from profiles.budget import Budget, budget
from profiles.machine import Machine


class ProfileData(msgspec.Struct, frozen=True, kw_only=True):
    """Facts and budget of one machine."""

    machine: Machine
    budget: Budget


def profile(context: Context) -> Result[ProfileData]:
    """Look at the machine. Never fails: what cannot be read is Unknown with its reason."""
    machine = context.profile()
    found = budget(machine)
    return Result(
        command="profile",
        data=ProfileData(machine=machine, budget=found),
        messages=tuple(warning(sentence) for sentence in found.unused),
    )
