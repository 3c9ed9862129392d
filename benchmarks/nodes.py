"""Celery nodes on the stand, as `orders up` starts them, and how they are made to stand still while others play."""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import psutil

from benchmarks.stand import Stand
from ops.failures import LocalError
from ops.local import profile
from ops.processes.children import Child, Process

POLL_SECONDS = 0.05


@contextmanager
def pipeline(stood: Stand, environment: Mapping[str, str], *, beat: bool) -> Iterator[dict[str, Sequence[int]]]:
    """One relay, one worker node with two children, and beat if wanted; name → process ids."""
    processes = [profile.relay(stood.directory, environment), profile.worker(stood.directory, environment)]
    if beat:
        processes.append(profile.beat(stood.directory, environment))
    with running(stood, processes) as children:
        yield {child.process.name: [child.pid] for child in children}


@contextmanager
def running(stood: Stand, processes: Sequence[Process]) -> Iterator[list[Child]]:
    """These processes, ready; stopped properly at the end."""
    with ExitStack() as stack:
        children = []
        for process in processes:
            log = stack.enter_context((stood.directory / f"{process.name}.log").open("wb"))
            child = Child(process, log)
            stack.callback(child.stop)
            children.append(child)
        for child in children:
            _await_ready(child)
        yield children


def _await_ready(child: Child) -> None:
    deadline = time.monotonic() + child.process.ready_timeout
    while not child.process.ready():
        if child.exit_code is not None or time.monotonic() > deadline:
            raise LocalError(f"{child.process.name} did not start.")
        time.sleep(POLL_SECONDS)


@contextmanager
def standing_still(pids: Sequence[int]) -> Iterator[None]:
    """These processes and their children do nothing while the block lasts."""
    _signal_all(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_all(pids, signal.SIGCONT)


def _signal_all(pids: Sequence[int], signum: signal.Signals) -> None:
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(signum)
