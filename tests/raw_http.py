"""HTTP/1.1 by hand: bytes out, answers in, and nothing made right on the way as a library would."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """One answer; `body` is as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class HungUp(Exception):
    """The server closed the connection before an answer was complete."""


class Wire:
    """One connection."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._received = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next final answer; one `to_head` says how long a body would be that does not come.

        Raises:
            HungUp, TimeoutError
        """
        status, headers = self._head()
        while status // 100 == 1:
            status, headers = self._head()
        is_empty = to_head or status in (204, 304)
        body = b"" if is_empty else self._chunks() if "transfer-encoding" in headers else self._take(headers)
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Whether the server says nothing more, as soon as it has shown that."""
        try:
            while self._receive():
                self._received = b""
        except (HungUp, ConnectionError):
            return True
        except TimeoutError:
            return False
        return False

    def _head(self) -> tuple[int, dict[str, str]]:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines[1:]]
        return int(lines[0].split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def _take(self, headers: dict[str, str]) -> bytes:
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            self._receive()
        taken, self._received = self._received[:length], self._received[length:]
        return taken

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self._take({"content-length": str(size)})
            self._until(b"\r\n")
        self._until(b"\r\n")
        return body

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(mark)
        return found

    def _receive(self) -> bool:
        part = self._socket.recv(65536)
        if not part:
            raise HungUp
        self._received += part
        return True


@contextmanager
def connected(address: tuple[str, int], patience_seconds: float = PATIENCE_SECONDS) -> Iterator[Wire]:
    with socket.create_connection(address, timeout=patience_seconds) as connection:
        yield Wire(connection)


def ask(address: tuple[str, int], request: bytes) -> Answer:
    with connected(address) as wire:
        wire.send(request)
        return wire.answer()


def request(method: str, target: str, *headers: str, body: bytes = b"", host: str | None = "Host: x") -> bytes:
    """A request in good order; the length of a body is added."""
    lines = [f"{method} {target} HTTP/1.1", *([host] if host else []), *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def dripped(wire: Wire, data: bytes, pause_seconds: float) -> None:
    """Send byte by byte."""
    for each in data:
        wire.send(bytes([each]))
        time.sleep(pause_seconds)
