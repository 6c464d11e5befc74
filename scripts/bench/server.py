"""llama.cpp's own server on the loopback interface, without flags but for the file and the port."""

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from scripts.bench.tools import program

HOST: Final = "127.0.0.1"
START_LIMIT_S: Final = 60.0
ANSWER_LIMIT_S: Final = 600.0
POLL_S: Final = 0.2


class Served(NamedTuple):
    """The server's own figures of one request, in tokens per second."""

    prompt: float
    decode: float


class Server:
    """One that runs."""

    def __init__(self, port: int) -> None:
        """It listens there."""
        self._port = port

    def complete(self, tokens: Sequence[int], count: int) -> Served:
        """Have it read these tokens, but for those it has in memory, and write so many."""
        body = {"prompt": list(tokens), "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": True}
        timings = self._ask("POST", "/completion", body)["timings"]
        return Served(timings["prompt_per_second"], timings["predicted_per_second"])

    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        with contextlib.suppress(OSError, ValueError):
            return bool(self._ask("GET", "/health", None).get("status") == "ok")
        return False

    def _ask(self, method: str, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=ANSWER_LIMIT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextlib.contextmanager
def serving(model: Path) -> Iterator[Server]:
    """A server for as long as the block lasts. Raises SystemExit where it does not start."""
    path, environment = program("llama-server")
    port = _free_port()
    with subprocess.Popen(
        [path, "-m", model, "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield _started(process, Server(port))
        finally:
            process.kill()


def _started(process: "subprocess.Popen[bytes]", server: Server) -> Server:
    end = time.monotonic() + START_LIMIT_S
    while not server.is_ready():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"llama-server does not start (status {process.poll()})")
        time.sleep(POLL_S)
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
