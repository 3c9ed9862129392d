"""S28: clients who take their time are cut when it is over, by the process itself, and the others do not notice.

The limits are a tenth of the real ones, so that nobody has to wait; that the real ones are 10 and 30 seconds is in the
table of settings.
"""

import json
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from api_process import ApiProcess, running
from raw_http import HungUp, ask, connected, request
from running_system import eventually
from world import World

pytestmark = pytest.mark.timeout(300)

HEADERS_SECONDS, REQUEST_SECONDS, STALL_SECONDS = 2.0, 4.0, 2.0
SETTINGS = {
    "HEADERS_TIMEOUT": str(HEADERS_SECONDS),
    "REQUEST_TIMEOUT": str(REQUEST_SECONDS),
    "STALL_TIMEOUT": str(STALL_SECONDS),
}
# A process looks once a second, and hears a refused client out for 5 s more.
SLACK_SECONDS = 15.0
SLOW_CLIENTS = 500

HEAD = request("POST", "/v1/auth/login", "Content-Type: application/json", "Content-Length: 1000")
# What a client sends at once, and what it then sends byte by byte.
WAYS = {
    "silence": (b"", b""),
    "half a header": (HEAD[:40], b""),
    "a head byte by byte": (b"", HEAD),
    "a body that never comes": (HEAD, b""),
    "a body byte by byte": (HEAD, b" " * 1000),
    "chunks byte by byte": (
        request("POST", "/v1/auth/login", "Content-Type: application/json", "Transfer-Encoding: chunked"),
        b"1\r\n \r\n" * 200,
    ),
    "nothing but line ends": (b"", b"\r\n" * 500),
    "silence after an answer": (request("GET", "/health/liveness"), b""),
    "line ends after an answer": (request("GET", "/health/liveness"), b"\r\n" * 500),
    "half a header after an answer": (request("GET", "/health/liveness") + HEAD[:40], b""),
    "half a header and line ends by the byte": (HEAD[:40], b"x" * 500),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with running(tmp_path_factory.mktemp("slow"), SETTINGS) as started:
        yield started


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[ApiProcess]:
    """Another one, to which no slow client goes."""
    with running(tmp_path, SETTINGS) as started:
        yield started


@dataclass
class Crowd:
    """Many slow clients on one thread."""

    address: tuple[str, int]
    dripping: dict[socket.socket, list[bytes]] = field(default_factory=dict)
    said: dict[socket.socket, bytes] = field(default_factory=dict)
    cut: int = 0

    def join(self, way: str) -> None:
        at_once, dripped = WAYS[way]
        connection = socket.create_connection(self.address, timeout=10)
        connection.sendall(at_once)
        connection.setblocking(False)
        self.dripping[connection] = [dripped[index : index + 1] for index in range(len(dripped))]
        self.said[connection] = b""

    def drip_until_cut(self, seconds: float) -> Counter[str]:
        """What they were told last, once every one of them has been cut off."""
        selector = selectors.DefaultSelector()
        for connection in self.dripping:
            selector.register(connection, selectors.EVENT_READ)
        ends_at, next_drop = time.monotonic() + seconds, 0.0
        while selector.get_map() and time.monotonic() < ends_at:
            for key, _ in selector.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                if not self._hear(key.fileobj):
                    selector.unregister(key.fileobj)
            if time.monotonic() > next_drop:
                next_drop = time.monotonic() + 0.25
                self._drip(selector)
        left = len(selector.get_map())
        assert left == 0, f"{left} of {len(self.said)} were not cut"
        return Counter(said.rpartition(b"HTTP/1.1 ")[2][:3].decode() for said in self.said.values())

    def _drip(self, selector: selectors.BaseSelector) -> None:
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            if drops := self.dripping[key.fileobj]:
                try:
                    key.fileobj.send(drops.pop(0))
                except ConnectionError:
                    drops.clear()

    def _hear(self, connection: socket.socket) -> bool:
        try:
            part = connection.recv(65536)
        except ConnectionError:
            part = b""
        self.said[connection] += part
        return bool(part)

    def leave(self) -> None:
        for connection in self.dripping:
            connection.close()


def cut_within(api: ApiProcess, ways: list[str], seconds: float) -> Counter[str]:
    crowd = Crowd(api.address)
    try:
        for way in ways:
            crowd.join(way)
        return crowd.drip_until_cut(seconds)
    finally:
        crowd.leave()


def test_s28_a_slow_client_is_cut_and_told_why(api: ApiProcess) -> None:
    assert cut_within(api, list(WAYS), REQUEST_SECONDS + SLACK_SECONDS) == {
        "408": len(WAYS) - 2,
        "200": 2,  # Between two requests, nothing is owed to anybody.
    }


def test_s28_who_is_told_408_gets_a_problem_like_every_other(api: ApiProcess) -> None:
    for sent in (HEAD[:40], HEAD + b"x"):
        with connected(api.address) as wire:
            wire.send(sent)
            answer = wire.answer()
            problem = json.loads(answer.body)
            assert (answer.status, problem["status"], problem["code"]) == (408, 408, "request_timeout")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["connection"] == "close"
            assert answer.headers["x-request-id"] == problem["request_id"]
            assert answer.headers["cache-control"] == "no-store"
            assert wire.is_closed()
    expected = ["none", "/v1/auth/login"]
    eventually(lambda: late_routes(api)[-2:] == expected, "their lines, which are written behind the answers")


def late_routes(api: ApiProcess) -> list[str]:
    return [line["route"] for line in api.lines("request") if line["status"] == 408]


def test_s28_who_keeps_within_the_limits_is_served_however_slow_the_whole_is(api: ApiProcess) -> None:
    """Request after request on one connection, for longer than a single one may take."""
    with connected(api.address) as wire:
        for _ in range(int(1.5 * REQUEST_SECONDS / (HEADERS_SECONDS / 2))):
            wire.send(b"GET /health/liveness HTTP/1.1\r\n")
            time.sleep(HEADERS_SECONDS / 2)
            wire.send(b"Host: x\r\n\r\n")
            assert wire.answer().status == 200


def answered(api: ApiProcess, clients: int, during: threading.Event) -> Counter[int]:
    """What ordinary clients are answered until the event happens."""
    statuses: Counter[int] = Counter()

    def go_on() -> None:
        with connected(api.address) as wire:
            while not during.is_set():
                wire.send(request("GET", "/health/liveness"))
                statuses[wire.answer().status] += 1

    threads = [threading.Thread(target=go_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def counted(seconds: float, *apis: ApiProcess) -> list[int]:
    """How many answers two ordinary clients of each get in the same time, all of them good."""
    done = threading.Event()
    timer = threading.Timer(seconds, done.set)
    timer.start()
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda api: answered(api, 2, done), apis))
    assert all(set(statuses) == {200} for statuses in found)
    return [statuses.total() for statuses in found]


def test_s28_500_slow_clients_are_cut_and_the_others_do_not_notice(api: ApiProcess, quiet: ApiProcess) -> None:
    """At the same time as many clients ask a process without slow ones: whatever else the machine does hits both."""
    for each in (api, quiet):
        ask(each.address, request("GET", "/health/liveness"))
    before = api.resident_bytes
    crowd, names = Crowd(api.address), list(WAYS)
    try:
        for number in range(SLOW_CLIENTS):
            crowd.join(names[number % len(names)])
        cut: list[Counter[str]] = []
        slow = threading.Thread(target=lambda: cut.append(crowd.drip_until_cut(REQUEST_SECONDS + SLACK_SECONDS)))
        slow.start()
        beside, without = counted(REQUEST_SECONDS, api, quiet)
        slow.join()
    finally:
        crowd.leave()
    assert cut, "they were cut in time"
    assert cut[0].total() == SLOW_CLIENTS
    assert beside > 0.5 * without, f"{beside} answers beside {SLOW_CLIENTS} slow clients, {without} without"
    assert api.resident_bytes - before < 50_000_000
    assert counted(1, api)[0] > 0


def test_s28_an_answer_that_nobody_reads_is_taken_back(api: ApiProcess, world: World) -> None:
    """A client that asks again and again and never reads: what is written for it must not pile up."""
    before = api.resident_bytes
    asking = request("GET", "/openapi.json")
    with socket.create_connection(api.address, timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.5)
        ends_at = time.monotonic() + SLACK_SECONDS + 2
        with pytest.raises(ConnectionError):
            while time.monotonic() < ends_at:
                try:
                    connection.send(asking)
                except TimeoutError:
                    continue
    eventually(lambda: bool(api.lines("a client does not read its answer")), "that somebody says so")
    assert api.resident_bytes - before < 30_000_000


def test_s28_who_reads_slowly_but_steadily_gets_all_of_it(api: ApiProcess) -> None:
    answers = 60
    whole = len(ask(api.address, request("GET", "/openapi.json")).body)
    with socket.create_connection(api.address, timeout=10) as connection:
        connection.sendall(request("GET", "/openapi.json") * (answers - 1))
        connection.sendall(request("GET", "/openapi.json", "Connection: close"))
        received, slow_until = 0, time.monotonic() + 3 * STALL_SECONDS
        while part := connection.recv(20_000):
            received += len(part)
            if time.monotonic() < slow_until:
                time.sleep(0.25)  # One answer takes longer than the time in which something has to be taken.
    assert received > answers * whole
    assert answers * whole > 10_000_000, "more than the kernel keeps for a connection"


def test_nobody_is_left_behind(api: ApiProcess) -> None:
    ends_at = time.monotonic() + SLACK_SECONDS
    while api.open_connections and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert api.open_connections == 0
    with pytest.raises(HungUp), connected(api.address) as wire:
        wire.send(request("GET", "/health/liveness", "Connection: close"))
        assert wire.answer().status == 200
        wire.answer()
