"""Clients that log in, one after the other on each connection, in a process of their own.

Who is told to come back later waits for as long as they are told, and tries again.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import uvloop

from benchmarks.load import LENGTH, LoadFailed, percentile_ms
from ops.processes import ports

RETRY_AFTER = b"retry-after: "
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Logins:
    """What to send: each connection logs in as one of these, all with the same password, for so long."""

    port: int
    emails: Sequence[str]
    password: str
    seconds: float


@dataclass(frozen=True)
class Seen:
    """What came back. `p99_ms` is of those that got in."""

    statuses: Mapping[str, int]
    p50_ms: float
    p99_ms: float


@dataclass
class _Tally:
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


@contextmanager
def storming(logins: Logins) -> Iterator[list[Seen]]:
    """Everybody logs in while the block lasts; what came back is in the list after it.

    Raises:
        LoadFailed: with what that process said.
    """
    seen: list[Seen] = []
    command = [sys.executable, "-m", "benchmarks.login_load"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps(asdict(logins)))
        process.stdin.close()
        process.stdin = None
        yield seen
        out, err = process.communicate(timeout=logins.seconds + 2 * PATIENCE_SECONDS)
    if process.returncode != 0:
        raise LoadFailed(f"the logins ended with {process.returncode}: {err.strip()}")
    seen.append(Seen(**json.loads(out)))


async def _play(logins: Logins) -> Seen:
    tally, ends_at = _Tally(), time.perf_counter() + logins.seconds
    await asyncio.gather(*(_log_in_again_and_again(logins, email, ends_at, tally) for email in logins.emails))
    in_order = sorted(tally.seconds)
    return Seen(dict(tally.statuses), percentile_ms(in_order, 0.5), percentile_ms(in_order, 0.99))


async def _log_in_again_and_again(logins: Logins, email: str, ends_at: float, tally: _Tally) -> None:
    reader, writer = await asyncio.open_connection(ports.LOOPBACK, logins.port)
    body = json.dumps({"email": email, "password": logins.password})
    request = (
        f"POST /v1/auth/login HTTP/1.1\r\nHost: {ports.LOOPBACK}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    while (began := time.perf_counter()) < ends_at:
        writer.write(request)
        status, head = await asyncio.wait_for(_answer(reader), PATIENCE_SECONDS)
        tally.statuses[status] += 1
        if status == "200":
            tally.seconds.append(time.perf_counter() - began)
        elif RETRY_AFTER in head:
            await asyncio.sleep(min(_number(head, RETRY_AFTER), max(0.0, ends_at - time.perf_counter())))
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(_number(head, LENGTH))
    return head[9:12].decode(), head


def _number(head: bytes, name: bytes) -> int:
    begins = head.find(name) + len(name)
    return int(head[begins : head.find(b"\r", begins)])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(uvloop.run(_play(Logins(**json.load(sys.stdin)))))))
