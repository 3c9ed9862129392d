"""Real API processes that share a port, as `orders serve --workers` runs them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
from running_system import eventually

from ops import serve
from ops.processes import ports
from ops.processes.children import Child


@contextmanager
def api_processes(count: int) -> Iterator[str]:
    """So many of them, listening; yields the URL of all. Who connects anew is answered by any."""
    with ExitStack() as stack:
        port = stack.enter_context(ports.reserve(ports.free())).getsockname()[1]
        children = [Child(serve.process(f"api-{n}", port, env=os.environ), subprocess.DEVNULL) for n in range(count)]
        for child in children:
            stack.callback(child.stop)
        eventually(lambda: all(_listens(child.pid) for child in children), f"{count} API processes")
        yield f"http://{ports.LOOPBACK}:{port}"


def _listens(pid: int) -> bool:
    return any(each.status == psutil.CONN_LISTEN for each in psutil.Process(pid).net_connections("tcp"))
