"""`landfast profile`: what this machine is, and what a model may take of it."""

from pathlib import Path

import msgspec

from deploy.commands.context import Context
from deploy.results import Result, warning
from profiles.budget import Budget, budget
from profiles.machine import Machine


class ProfileData(msgspec.Struct, frozen=True, kw_only=True):
    """Facts and budget of one machine."""

    machine: Machine
    budget: Budget


def profile(context: Context, *, disk_rate: bool = False) -> Result[ProfileData]:
    """Look at the machine. Never fails: what cannot be read is Unknown with its reason.

    `disk_rate` also times the disk that holds the store: takes a few seconds and writes a file meanwhile. The rate is
    kept, and forecasts of how long a model takes to load rest on it.
    """
    machine = context.profile()
    if disk_rate and not machine.simulated:
        machine = _with_disk_rate(machine)
        rate = machine.disk.read_bytes_s.known
        if rate is not None:
            from deploy.commands.pace import keep_disk_rate

            keep_disk_rate(context.paths, machine, rate)
    found = budget(machine)
    return Result(
        command="profile",
        data=ProfileData(machine=machine, budget=found),
        messages=tuple(warning(sentence) for sentence in found.unused),
    )


def _with_disk_rate(machine: Machine) -> Machine:
    from profiles.disk_rate import measure

    disk = msgspec.structs.replace(machine.disk, read_bytes_s=measure(Path(machine.disk.path)))
    return msgspec.structs.replace(machine, disk=disk)
