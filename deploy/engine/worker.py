"""The engine process: `python -m deploy.engine.worker FD START`.

It seals itself as START says, and is told what to do over the inherited socket FD and nothing else. When the other
end goes away it ends at once, also in the middle of a computation.
"""

import fcntl
import os
import queue
import resource
import socket
import stat
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.engine import crew
from deploy.engine.attack_protocol import Attack, Attacked
from deploy.engine.gathering import gathered
from deploy.engine.measure_protocol import Measure
from deploy.engine.memory import resident_bytes
from deploy.engine.protocol import (
    Cancel,
    Count,
    Devices,
    Embed,
    Failed,
    Generate,
    ListDevices,
    Load,
    Loading,
    Ready,
    Rehearse,
    Request,
    Start,
    StateRequest,
)
from deploy.engine.seal.seal import Seal, Unsealable, seal
from deploy.engine.state_protocol import BeginState, DescribeState, EndState, SaveState, StateDescribed, StatePiece
from deploy.engine.wire import Channel, request_decoder

if TYPE_CHECKING:
    from deploy.engine.llama import LlamaModel
    from deploy.engine.native import Log, StopFlag

CANNOT_LOAD_HINT: Final = "Install it again, or run Landfast as a user who may read the folder that it is installed in."
STANDARD_ERROR: Final = 2
STACK_BYTES: Final = 8 << 20
"""The usual stack of a thread. Where the user's limit is higher every thread takes as much of the memory limit."""


def main(descriptor: int, start: Start) -> None:
    """Serve requests until the parent closes its end."""
    _end_with_the_parent()
    channel = Channel(socket.socket(fileno=descriptor))
    resident_bytes()  # opens what it reads, which the seal then lets it keep
    crew.hold()
    if start.audit:
        import deploy.engine.seal.attacks  # noqa: F401 - no file can be opened when it is wanted
    try:
        applied = seal(start)
        from deploy.engine.native import Log, StopFlag, engine_name

        if start.sees:
            from deploy.engine import vision  # noqa: F401 - no code can be loaded any more when it is wanted

        native_log = Log()
        name = engine_name()
        applied.before_model()
    except Unsealable as reason:
        channel.send(Failed(reason.message, reason.hint))
        return
    except (ImportError, OSError, RuntimeError) as error:  # of loading the engine's own code
        channel.send(Failed(f"The engine cannot be loaded: {error}.", CANNOT_LOAD_HINT))
        return
    stop = StopFlag()
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, requests, stop), daemon=True).start()
    channel.send(Ready(engine=name, sealed=applied.report.level != "none", seal=applied.report))
    worker = _Worker(channel, native_log, stop, applied, may_attack=start.audit)
    while True:
        worker.serve(requests.get())


def _end_with_the_parent() -> None:
    """Have the kernel end this process with its parent, also in the middle of what lets nothing else in.

    The parent alone holds the other end of standard error. When that is closed a signal comes (SIGIO), which ends it.
    """
    if sys.platform == "linux" and stat.S_ISFIFO(os.fstat(STANDARD_ERROR).st_mode):
        with suppress(OSError):  # a kernel that has no such signals
            fcntl.fcntl(STANDARD_ERROR, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(STANDARD_ERROR, fcntl.F_SETFL, fcntl.fcntl(STANDARD_ERROR, fcntl.F_GETFL) | os.O_ASYNC)


class _Worker:
    """Holds at most one model."""

    def __init__(self, channel: Channel, log: "Log", stop: "StopFlag", applied: Seal, *, may_attack: bool) -> None:
        self._channel = channel
        self._log = log
        self._stop = stop
        self._seal = applied
        self._may_attack = may_attack
        self._narrowed = False
        self._model: LlamaModel | None = None

    def serve(self, request: Request) -> None:
        from deploy.engine.native import Refusal

        try:
            self._carry_out(request)
        except (Refusal, Unsealable) as refusal:
            self._channel.send(Failed(refusal.message, refusal.hint))

    def _carry_out(self, request: Request) -> None:
        match request:
            case Load():
                self._load(request)
            case Rehearse():
                from deploy.engine.llama import rehearse

                self._channel.send(rehearse(self._log, request.paths, request.plan))
            case Measure():
                from deploy.engine.calibrate import measure

                self._channel.send(measure(self._log, request))
            case Generate():
                self._generate(request)
            case Count():
                self._channel.send(self._loaded_model().count(request))
            case Embed():
                self._channel.send(self._loaded_model().embed(request))
            case DescribeState() | SaveState() | BeginState() | StatePiece() | EndState():
                self._move_state(request)
            case Attack():
                self._attack(request)
            case ListDevices():
                from deploy.engine.devices import list_devices

                self._channel.send(Devices(list_devices()))

    def _load(self, request: Load) -> None:
        from deploy.engine.llama import LlamaModel

        if self._model is not None:
            self._model.close()
            self._model = None
        shown = -1

        def on_fraction(fraction: float) -> None:
            nonlocal shown
            percent = int(fraction * 100)
            if percent > shown:
                shown = percent
                self._channel.send(Loading(fraction))

        model = LlamaModel(self._log, self._stop, request, on_fraction)
        self._narrow()
        self._model = model
        self._channel.send(self._model.loaded)

    def _generate(self, request: Generate) -> None:
        for event in gathered(self._loaded_model().generate(request)):
            self._channel.send(event)

    def _move_state(self, request: StateRequest) -> None:
        states = self._loaded_model().states
        match request:
            case DescribeState():
                self._channel.send(StateDescribed(states.shape()))
            case SaveState():
                for piece in states.pieces():
                    self._channel.send(piece)
            case BeginState(shape):
                states.begin(shape)
            case StatePiece():
                states.add(request)
            case EndState(whole):
                self._channel.send(states.end(whole=whole))

    def _loaded_model(self) -> "LlamaModel":
        from deploy.engine.native import Refusal

        if self._model is None:
            raise Refusal("No model is loaded.")
        return self._model

    def _narrow(self) -> None:
        """Give up opening files, once: the filter for it cannot be laid a second time."""
        if not self._narrowed:
            self._seal.after_model()
            self._narrowed = True

    def _attack(self, request: Attack) -> None:
        from deploy.engine.native import Refusal

        if not self._may_attack:
            raise Refusal("This engine process was not started for an audit.")
        from deploy.engine.seal.attacks import attack_all

        if not request.while_loading:
            self._narrow()
        self._channel.send(Attacked(attack_all(request.targets)))


def _listen(channel: Channel, requests: "queue.SimpleQueue[Request]", stop: "StopFlag") -> None:
    """Pass requests on in order; a Cancel acts at once, while native code computes.

    A frame that is no request ends the process: no parent sends one, and nobody would notice the parent's end after it.
    """
    while True:
        try:
            request = request_decoder.decode(channel.receive_raw())
        except EOFError:
            os._exit(0)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            os._exit(1)
        if isinstance(request, Cancel):
            stop.raise_()
            continue
        if isinstance(request, (Generate, Embed)):
            stop.lower()
        requests.put(request)


def _begin_with_usual_stacks() -> None:
    """Begin anew where threads would get larger stacks: how large is read from the limit when a program begins."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft > STACK_BYTES:  # no limit at all is -1, and gives small stacks
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, hard))
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program


if __name__ == "__main__":
    _begin_with_usual_stacks()
    main(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Start))
