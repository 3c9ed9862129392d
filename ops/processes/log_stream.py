"""One log for everything that runs locally: a file that always has all of it, and the terminal when asked."""

import threading
from collections import deque
from pathlib import Path
from typing import IO, Self, TextIO

FILE_BYTES_MAX = 50_000_000
TAIL_LINES = 30


class LogStream:
    """Lines from many processes, each prefixed with its sender's name. Safe to write to from any thread.

    The file is moved aside to `<name>.1` when it grows beyond `FILE_BYTES_MAX`, so the disk holds at most two of them.
    """

    def __init__(self, path: Path, terminal: TextIO | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._terminal = terminal
        self._lock = threading.Lock()
        self._file = self._open()

    def write(self, name: str, line: str) -> None:
        text = f"{name:<10} {line}\n"
        with self._lock:
            if self._file.closed:
                return
            self._file.write(text)
            if self._terminal:
                self._terminal.write(text)
            if self._file.tell() > FILE_BYTES_MAX:
                self._file.close()
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                self._file = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _open(self) -> TextIO:
        # Written unbuffered line by line: what was said just before a crash is what one wants to read.
        return self.path.open("a", encoding="utf-8", errors="replace", buffering=1)


class Pump(threading.Thread):
    """Carries one child's output into the stream until the child and all its heirs have closed it."""

    def __init__(self, name: str, source: IO[bytes], stream: LogStream) -> None:
        super().__init__(name=f"log of {name}", daemon=True)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._sender = name
        self._source = source
        self._stream = stream
        self.start()

    def run(self) -> None:
        with self._source:
            for raw in self._source:
                line = raw.decode(errors="replace").rstrip()
                self.tail.append(line)
                self._stream.write(self._sender, line)
