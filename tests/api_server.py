"""A real uvicorn in a thread of the test process, as `orders serve` configures it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from api.services import Services
from ops import serve
from ops.processes import ports


@dataclass(frozen=True)
class Server:
    """A running API: where it is, and what it holds."""

    url: str
    app: FastAPI

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)


@contextmanager
def serving(app: FastAPI) -> Iterator[Server]:
    listener = ports.reserve(ports.free())
    running = serve.Server(serve.configuration(lambda: app))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not running.started and thread.is_alive():
        time.sleep(0.01)
    assert running.started
    try:
        yield Server(f"http://{ports.LOOPBACK}:{listener.getsockname()[1]}", app)
    finally:
        running.should_exit = True
        thread.join()
        listener.close()
