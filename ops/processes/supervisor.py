"""Keeps a handful of named processes running: starts them, waits until they are ready, restarts what dies, stops all.

A restart waits 0.2 s, then twice as long each time up to 5 s, and begins anew once a process has lived for 10 s. A
process that dies five times before it was ever ready is given up, with its last words.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

from ops.failures import StartError
from ops.processes.children import Child, Process, stop_together
from ops.processes.log_stream import LogStream, Pump

TICK_SECONDS = 0.05
DELAY_SECONDS_MIN = 0.2
DELAY_SECONDS_MAX = 5.0
STEADY_SECONDS = 10.0
DEATHS_BEFORE_READY_MAX = 5


class _Kept:
    """One process under supervision, across its restarts."""

    def __init__(self, process: Process, log: LogStream | None) -> None:
        self.process = process
        self.ready = False
        self.deaths_before_ready = 0
        self.child: Child | None = None
        self.due_at = 0.0
        self._delay = DELAY_SECONDS_MIN
        self._log = log
        self._pump: Pump | None = None

    @property
    def given_up(self) -> bool:
        return self.deaths_before_ready >= DEATHS_BEFORE_READY_MAX

    @property
    def last_words(self) -> str:
        return "\n".join(self._pump.tail) if self._pump else ""

    def spawn(self) -> None:
        """Raises StartError where the program cannot be run at all."""
        try:
            self.child = Child(self.process, subprocess.PIPE if self._log else None)
        except OSError as error:
            raise StartError(f"{self.process.name} cannot be run: {error}") from error
        if self._log and self.child.output:
            self._pump = Pump(self.process.name, self.child.output, self._log)

    def _bury(self, child: Child, exit_code: int) -> None:
        """Note a death, take along what the dead left in its group, and set the time of the next attempt."""
        child.kill()
        if self._pump:
            self._pump.join(1.0)
        if time.monotonic() - child.started_at > STEADY_SECONDS:
            self._delay = DELAY_SECONDS_MIN
            self.ready = True
        self.due_at = time.monotonic() + self._delay
        self.deaths_before_ready += not self.ready
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit {exit_code}"
        then = "given up" if self.given_up else f"restarting in {self._delay:.1f} s"
        self.say(f"{self.process.name} (process {child.pid}) died: {how}; {then}")
        self._delay = min(self._delay * 2, DELAY_SECONDS_MAX)
        self.child = None

    def tend(self) -> None:
        """Look after it once: bury it, or start it again when that is due."""
        if self.child:
            if (exit_code := self.child.exit_code) is not None:
                self._bury(self.child, exit_code)
        elif not self.given_up and time.monotonic() >= self.due_at:
            try:
                self.spawn()
            except StartError as error:
                self.due_at = time.monotonic() + DELAY_SECONDS_MAX
                self.say(str(error))

    def say(self, line: str) -> None:
        if self._log:
            self._log.write("supervisor", line)
        else:
            sys.stderr.write(f"{line}\n")


class Supervisor:
    """Use as a context manager: leaving the block stops everything, and last what the rest needs.

    Without a `log` the processes write to our own stdout and stderr.
    """

    def __init__(self, log: LogStream | None = None) -> None:
        self._log = log
        self._kept: dict[str, _Kept] = {}
        # The kernel ties a child's life to the thread that spawned it, so the watching thread, which spawns again what
        # died, must not end before the last child has been stopped.
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def spawn(self, process: Process) -> None:
        """Start a process and keep it running from now on; several may run under different names."""
        with self._lock:
            if self._stopping.is_set() or process.name in self._kept:
                raise ValueError(f"{process.name} cannot be started")
            kept = self._kept[process.name] = _Kept(process, self._log)
            kept.spawn()

    def await_ready(self, name: str) -> None:
        """Wait until the process says that it is ready.

        Raises:
            StartError: it was given up or did not become ready in time; the message ends with its last lines.
        """
        kept = self._kept[name]
        deadline = time.monotonic() + kept.process.ready_timeout
        while not (kept.child and kept.process.ready()):
            self.check()
            if time.monotonic() > deadline:
                seconds = kept.process.ready_timeout
                raise StartError(f"{name} was not ready within {seconds:.0f} s. {self._words(kept)}")
            time.sleep(TICK_SECONDS)
        kept.ready = True

    def check(self) -> None:
        """Raises StartError if a process was given up."""
        for name, kept in self._kept.items():
            if kept.given_up:
                raise StartError(f"{name} died {kept.deaths_before_ready} times and was given up. {self._words(kept)}")

    def start(self, process: Process) -> None:
        """`spawn` and `await_ready`."""
        self.spawn(process)
        self.await_ready(process.name)

    def pid(self, name: str) -> int | None:
        """None in the moments between a death and the restart."""
        child = self._kept[name].child
        return child.pid if child else None

    def stop(self) -> None:
        """Stop everything, and last what the rest needs; returns when nothing of it is left. Safe to call twice.

        Those that need nobody are asked all at once: to end takes as long as the slowest of them, however many there
        are. Whoever stops us waits for that long, too.
        """
        self._stopping.set()
        with self._lock:
            running = [kept for kept in self._kept.values() if kept.child]
            for is_needed in (False, True):
                self._stop([kept for kept in running if kept.process.is_needed is is_needed])
        self._finish()

    def _stop(self, ending: Sequence[_Kept]) -> None:
        killed = stop_together([kept.child for kept in ending if kept.child])
        for kept in ending:
            if kept.child in killed:
                kept.say(f"{kept.process.name} did not end when it was asked to, and was killed")

    def kill(self) -> None:
        """End everything at once, for those who press Ctrl-C a second time. Takes no lock: `stop` may be holding it."""
        self._stopping.set()
        for child in list(self._children()):
            child.kill_group()

    def _children(self) -> Iterator[Child]:
        return (kept.child for kept in self._kept.values() if kept.child)

    def _finish(self) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            with self._lock:
                for kept in self._kept.values():
                    if not self._stopping.is_set():
                        kept.tend()

    def _words(self, kept: _Kept) -> str:
        said = kept.last_words
        where = f"The whole log is {self._log.path}." if self._log else ""
        return f"It said:\n{said}\n{where}" if said else f"It said nothing. {where}"
