"""The engine process: `python -m deploy.engine.worker FD`.

It is told what to do over the inherited socket FD and nothing else. When the other end goes away it ends at once,
also in the middle of a computation.
"""

import os
import queue
import socket
import sys
import threading
from typing import TYPE_CHECKING

from deploy.engine.protocol import (
    Cancel,
    Channel,
    Failed,
    Generate,
    Load,
    Loading,
    Ready,
    Rehearse,
    Request,
    request_decoder,
)

if TYPE_CHECKING:
    from deploy.engine.llama import LlamaModel
    from deploy.engine.native import Log, StopFlag


def main(descriptor: int) -> None:
    """Serve requests until the parent closes its end."""
    channel = Channel(socket.socket(fileno=descriptor))
    # The seal belongs here: before the engine's import, and before a byte of a model is read.
    from deploy.engine.native import Log, StopFlag, engine_name

    native_log = Log()
    stop = StopFlag()
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, requests, stop), daemon=True).start()
    channel.send(Ready(engine=engine_name(), sealed=False))
    worker = _Worker(channel, native_log, stop)
    while True:
        worker.serve(requests.get())


class _Worker:
    """Holds at most one model."""

    def __init__(self, channel: Channel, log: "Log", stop: "StopFlag") -> None:
        self._channel = channel
        self._log = log
        self._stop = stop
        self._model: LlamaModel | None = None

    def serve(self, request: Request) -> None:
        from deploy.engine.native import Refusal

        try:
            self._carry_out(request)
        except Refusal as refusal:
            self._channel.send(Failed(refusal.message, refusal.hint))

    def _carry_out(self, request: Request) -> None:
        match request:
            case Load():
                self._load(request)
            case Rehearse():
                from deploy.engine.llama import rehearse

                self._channel.send(rehearse(self._log, request.paths, request.plan))
            case Generate():
                self._generate(request)

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

        self._model = LlamaModel(self._log, self._stop, request.paths, request.plan, on_fraction)
        self._channel.send(self._model.loaded)

    def _generate(self, request: Generate) -> None:
        from deploy.engine.native import Refusal

        if self._model is None:
            raise Refusal("No model is loaded.")
        for event in self._model.generate(request):
            self._channel.send(event)


def _listen(channel: Channel, requests: "queue.SimpleQueue[Request]", stop: "StopFlag") -> None:
    """Pass requests on in order; a Cancel acts at once, while native code computes."""
    while True:
        try:
            request = request_decoder.decode(channel.receive_raw())
        except EOFError:
            os._exit(0)
        if isinstance(request, Cancel):
            stop.raise_()
            continue
        if isinstance(request, Generate):
            stop.lower()
        requests.put(request)


if __name__ == "__main__":
    main(int(sys.argv[1]))
