"""What the parent and the engine process say to each other when the process attacks its own seal."""

import msgspec


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What was planted for an attack, all of it on this machine and made for the purpose."""

    tcp4_port: int
    tcp6_port: int
    udp_port: int
    abstract_name: str
    socket_path: str
    secret_path: str
    drop_path: str
    """A file name in a folder that its user may write to."""
    mount_path: str
    model_path: str
    victim: int
    """Another process of the same user."""
    victim_address: int
    """Where its secret lies in its memory."""


class Attack(msgspec.Struct, frozen=True, tag=True):
    """Try every way out. Only a process that was started for an audit obeys."""

    targets: Targets
    while_loading: bool = False
    """In the state in which a model is read; otherwise in the one in which it answers."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attack and how it ended."""

    name: str
    what: str
    """What it tries, in a sentence."""
    open: bool
    """Whether it worked."""
    outcome: str
    """The name of the error that stopped it; empty when nothing did."""


class Attacked(msgspec.Struct, frozen=True, tag=True):
    """All attacks, in order."""

    attempts: tuple[Attempt, ...]
