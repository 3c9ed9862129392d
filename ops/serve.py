"""`orders serve`: the API under uvicorn, one listening socket per process, any number of processes."""

import gc
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from api.app import create_app
from api.edge import http_protocol
from ops.processes import ports, signals
from ops.processes.children import Process
from ops.processes.supervisor import Supervisor
from runtime import shutdown

BACKLOG = 2048
GC_THRESHOLD = 20_000
CHECK_SECONDS = 0.2
TICKS_PER_SECOND = 10  # uvicorn's


class Server(uvicorn.Server):
    """uvicorn, which after start-up tells the garbage collector that what exists now stays (p99 87 → 17 ms), which
    tells open streams when it is time to end, and slow clients when theirs is over."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        shutdown.begin()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_SECOND == 0:
            http_protocol.look_at(self.server_state.connections)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        # Requests make garbage that counting references frees; looking for cycles after every 700 objects is in vain.
        gc.set_threshold(GC_THRESHOLD, 20, 20)


def process(name: str, port: int, host: str = ports.LOOPBACK, env: Mapping[str, str] | None = None) -> Process:
    """One API process among several on a port that the caller has reserved."""
    arguments = ["--host", host, "--port", str(port), "--share-port"]
    command = [sys.executable, "-m", "ops", "serve", *arguments]
    return Process(name, command, env, stop_seconds=shutdown.API_SECONDS)


def run(host: str, port: int, workers: int, *, share_port: bool) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        PortTaken: unless `share_port` says that the port is known to be ours.
    """
    if share_port:
        _serve(port, host)
        return
    with ports.reserve(port, host) as reserved:  # kept open, so that a restarted process finds the port still ours
        actual_port = reserved.getsockname()[1]
        if workers == 1:
            _serve(actual_port, host)
        else:
            _keep(workers, actual_port, host)


def _keep(workers: int, port: int, host: str) -> None:
    """Raises StartError if a process dies again and again."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="orders-metrics-") as metrics,
            Supervisor() as supervisor,
            signals.obeyed(supervisor.kill),
        ):
            env = {"METRICS_DIRECTORY": metrics, **os.environ}
            for number in range(1, workers + 1):
                supervisor.spawn(process(f"api-{number}", port, host, env))
            while True:
                supervisor.check()
                time.sleep(CHECK_SECONDS)
    except signals.Stopped:
        pass


def configuration(make_app: Callable[[], ASGIApp]) -> uvicorn.Config:
    return uvicorn.Config(
        make_app,
        factory=True,
        http=http_protocol.Protocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=shutdown.ANSWER_SECONDS,
    )


def _serve(port: int, host: str) -> None:
    # uvicorn raises the signal that stopped it once more when it is done; a clean stop is to end with exit code 0.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    Server(configuration(create_app)).run(sockets=[ports.share(port, host)])
