"""The battery: every known way out of the engine process, tried from inside.

Each attack is a function that tries one thing against what was planted for it. It returns when it worked and
raises OSError with the reason when it was stopped; its docstring is what the report says of it.
"""

import errno
from collections.abc import Callable
from typing import Final

from deploy.engine.attack_protocol import Attempt, Targets
from deploy.engine.seal import attacks_files, attacks_kernel, attacks_network, attacks_processes

ATTACKS: Final[tuple[Callable[[Targets], None], ...]] = (
    *attacks_network.ATTACKS,
    *attacks_files.ATTACKS,
    *attacks_processes.ATTACKS,
    *attacks_kernel.ATTACKS,
)


def attack_all(targets: Targets) -> tuple[Attempt, ...]:
    """Try every attack in order. None of them ends this process."""
    return tuple(_try(attack, targets) for attack in ATTACKS)


def _try(attack: Callable[[Targets], None], targets: Targets) -> Attempt:
    outcome = ""
    try:
        attack(targets)
    except OSError as error:
        outcome = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return Attempt(
        name=attack.__name__.replace("_", " "),
        what=" ".join((attack.__doc__ or "").split()),
        open=not outcome,
        outcome=outcome,
    )
