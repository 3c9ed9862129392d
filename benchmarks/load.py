"""The load: keep-alive connections that post one order after the other, in a process of its own.

It shares the machine with what it measures, so it does as little as can be: requests are joined from bytes prepared
before the clock starts, and of an answer only the status and the length are read. Each request carries an
Idempotency-Key of its own and the next of the planned tokens.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from uuid import uuid4

import uvloop

from ops.failures import LocalError
from ops.processes import ports

BODIES = 1009  # a prime, so that tokens and bodies meet in ever new pairs
LINES = 3
QUANTITY_MAX = 3
PATIENCE_SECONDS = 30.0
LENGTH = b"content-length: "


class LoadFailed(LocalError):
    """The load generator could not do its work; what it measured means nothing."""


@dataclass(frozen=True)
class Plan:
    """What to send where. With `orders_max`, the load ends after so many orders, if not by time."""

    port: int
    path: str
    tokens: Sequence[str]
    skus: Sequence[str]
    connections: int
    seconds: float
    orders_max: int | None = None


@dataclass(frozen=True)
class Result:
    """What came back. `refusal` is the beginning of the first answer that was no 201."""

    statuses: Mapping[str, int]
    lost: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    refusal: str = ""

    @property
    def accepted(self) -> int:
        return self.statuses.get("201", 0)

    def expect_only_accepted(self) -> None:
        """Raises LoadFailed if anything but 201 was answered."""
        if self.lost or set(self.statuses) != {"201"}:
            raise LoadFailed(f"answers {dict(self.statuses)}, connections lost {self.lost}. First: {self.refusal!r}")


def run(plan: Plan) -> Result:
    """Play a plan in a process of its own.

    Raises:
        LoadFailed: with what that process said.
    """
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed(f"the load generator ended with {done.returncode}: {done.stderr.strip()}")
    return Result(**json.loads(done.stdout))


def percentile_ms(sorted_seconds: Sequence[float], share: float) -> float:
    return sorted_seconds[int(share * (len(sorted_seconds) - 1))] * 1000 if sorted_seconds else 0.0


def _requests(plan: Plan) -> Iterator[bytes]:
    """All requests of the plan, one after the other; there is no end of them."""
    chosen = random.Random(1)  # noqa: S311 - which products are bought is no secret
    heads = [
        f"POST {plan.path} HTTP/1.1\r\nHost: {ports.LOOPBACK}:{plan.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {str(uuid4())[:24]}".encode()
        for token in plan.tokens
    ]
    tails = [
        _tail([(sku, chosen.randint(1, QUANTITY_MAX)) for sku in chosen.sample(plan.skus, LINES)])
        for _ in range(BODIES)
    ]
    for number in count():
        yield b"%b%012d\r\n%b" % (heads[number % len(heads)], number, tails[number % BODIES])


def _tail(items: Sequence[tuple[str, int]]) -> bytes:
    body = json.dumps({"items": [{"sku": sku, "quantity": quantity} for sku, quantity in items]})
    return f"Content-Length: {len(body)}\r\n\r\n{body}".encode()


@dataclass
class _Load:
    """What the connections share."""

    requests: Iterator[bytes]
    ends_at: float
    left: int
    running: int
    ended: asyncio.Future[None]
    statuses: Counter[bytes] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    refusal: bytes = b""

    def next(self) -> bytes | None:
        if self.left == 0 or time.perf_counter() >= self.ends_at:
            return None
        self.left -= 1
        return next(self.requests)

    def leave(self) -> None:
        self.running -= 1
        if self.running == 0 and not self.ended.done():
            self.ended.set_result(None)


class _Connection(asyncio.Protocol):
    """One request at a time, and the next one as soon as its answer is complete."""

    def __init__(self) -> None:
        self._answer = b""
        self._is_waiting = False

    def start(self, load: _Load, transport: asyncio.WriteTransport) -> None:
        self._load, self._transport = load, transport
        self._send()

    def data_received(self, data: bytes) -> None:
        answer = self._answer + data
        body_at = answer.find(b"\r\n\r\n") + 4
        length_at = answer.find(LENGTH) + len(LENGTH)
        if body_at < length_at or len(answer) < body_at + int(answer[length_at : answer.find(b"\r", length_at)]):
            self._answer = answer
            return
        self._answer = b""
        load, status = self._load, answer[9:12]
        load.seconds.append(time.perf_counter() - self._sent_at)
        load.statuses[status] += 1
        if status != b"201" and not load.refusal:
            load.refusal = answer[:1000]
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._load.lost += 1
            self._load.leave()

    def _send(self) -> None:
        request = self._load.next()
        self._is_waiting = request is not None
        if request is None:
            self._load.leave()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


async def _play(plan: Plan) -> Result:
    loop = asyncio.get_running_loop()
    requests = _requests(plan)
    first = next(requests)  # prepares the bytes
    assert first
    pairs = [await loop.create_connection(_Connection, ports.LOOPBACK, plan.port) for _ in range(plan.connections)]
    left = -1 if plan.orders_max is None else plan.orders_max
    cpu_at_start, started_at = time.process_time(), time.perf_counter()
    load = _Load(requests, started_at + plan.seconds, left, plan.connections, loop.create_future())
    for transport, connection in pairs:
        connection.start(load, transport)
    await asyncio.wait_for(load.ended, plan.seconds + PATIENCE_SECONDS)
    seconds, cpu_seconds = time.perf_counter() - started_at, time.process_time() - cpu_at_start
    for transport, _ in pairs:
        transport.close()
    in_order = sorted(load.seconds)
    return Result(
        statuses={status.decode(): number for status, number in load.statuses.items()},
        lost=load.lost,
        seconds=seconds,
        p50_ms=percentile_ms(in_order, 0.5),
        p99_ms=percentile_ms(in_order, 0.99),
        cpu_seconds=cpu_seconds,
        refusal=load.refusal.decode(errors="replace"),
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(uvloop.run(_play(Plan(**json.load(sys.stdin)))))))
