"""Lists and analytics are read from a replica while it is there and not late, and from the primary otherwise."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from api_server import Server, serving
from httpx2 import Client
from replicas import DATABASE, Pair, pair
from running_system import eventually
from sqlalchemy import event

from api.app import create_app
from models import products
from models.identifiers import uuid7
from models.identity import users
from models.identity.permissions import Role
from models.products import Product
from runtime import database
from runtime.database import Role as DatabaseRole

# One pair of servers for all of them.
pytestmark = pytest.mark.timeout(300)

LIST, PER_DAY = "/v1/orders", "/v1/analytics/orders-per-day"
FROM_THE_REPLICA = (
    LIST,
    f"{LIST}?status=pending&limit=1",
    PER_DAY,
    "/v1/analytics/status-counts",
    "/v1/analytics/revenue-by-user",
    "/v1/analytics/fulfilment-times",
    "/v1/users/me/spend",
)
# What is true at this moment, or is asked for by its id, only the primary knows.
FROM_THE_PRIMARY = (f"{PER_DAY}?exact=true", "/v1/users/me/spend?exact=true", "/v1/order-events", "/v1/ops/pipeline")
PATIENCE_SECONDS = 40
# An API process also looks at how far the replica is, and at what was revoked.
ABOUT_ORDERS = re.compile(r"\b(?:orders|order_events|rollup_state)\b")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as started:
        yield started


@pytest.fixture(scope="module")
def server(servers: Pair) -> Iterator[Server]:
    with serving(create_app(servers.settings)) as running:
        yield running


@pytest.fixture(scope="module")
def staff(servers: Pair, server: Server) -> Iterator[Client]:
    engine = database.engine(servers.settings, DatabaseRole.API)
    with engine.begin() as connection:
        user = users.register(connection, "staff@example.com", "x", Role.STAFF, "Staff")
        products.put(connection, Product("BOWL", "Bowl", 1000, "EUR", on_hand=1_000_000, reserved=0, active=True))
    engine.dispose()
    headers = {"Authorization": f"Bearer {server.services.tokens.issue(user, uuid7())}"}
    with Client(base_url=server.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@contextmanager
def statements(server: Server) -> Iterator[dict[str, int]]:
    """How many statements about orders each server got while the block ran."""
    replica = server.services.replica
    assert replica is not None
    engines = {"primary": server.services.database.engine, "replica": replica.replica.engine}
    counted = dict.fromkeys(engines, 0)

    def counter(name: str) -> Callable[..., None]:
        def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            counted[name] += bool(ABOUT_ORDERS.search(statement))

        return count

    counters = {name: counter(name) for name in engines}
    for name, engine in engines.items():
        event.listen(engine.sync_engine, "before_cursor_execute", counters[name])
    try:
        yield counted
    finally:
        for name, engine in engines.items():
            event.remove(engine.sync_engine, "before_cursor_execute", counters[name])


def read(server: Server, client: Client, path: str = LIST) -> set[str]:
    """Which servers were asked for this."""
    with statements(server) as counted:
        response = client.get(path)
    assert response.status_code == 200, response.text
    return {name for name, number in counted.items() if number}


@pytest.fixture(autouse=True)
def _well(servers: Pair, server: Server, staff: Client) -> None:
    """The replica follows, and the API knows it."""
    if servers.server.exit_code is not None:
        servers.restart()
    servers.on_replica("SELECT pg_wal_replay_resume()")
    eventually(lambda: read(server, staff) == {"replica"}, "reads from the replica")


def place(client: Client, key: str) -> str:
    body = {"items": [{"sku": "BOWL", "quantity": 1}]}
    response = client.post(LIST, json=body, headers={"Idempotency-Key": key})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def listed(client: Client) -> set[str]:
    return {order["id"] for order in client.get(LIST, params={"limit": 100}).json()["data"]}


def test_lists_and_analytics_are_read_from_the_replica(server: Server, staff: Client) -> None:
    for path in FROM_THE_REPLICA:
        assert read(server, staff, path) == {"replica"}, path
    with statements(server) as counted:
        assert staff.get(LIST, headers={"Accept": "text/csv"}).status_code == 200
    assert (counted["primary"], counted["replica"] > 0) == (0, True)


def test_what_has_to_be_true_now_is_read_from_the_primary(server: Server, staff: Client) -> None:
    for path in (*FROM_THE_PRIMARY, f"{LIST}/{place(staff, 'now')}"):
        assert read(server, staff, path) == {"primary"}, path


def test_an_answer_from_the_replica_says_as_of_when_it_is(servers: Pair, staff: Client) -> None:
    with psycopg.connect(servers.primary.url(DATABASE), autocommit=True) as primary:
        primary.execute("UPDATE rollup_state SET as_of = now() - interval '5 minutes'")
        wanted = str(primary.execute("SELECT extract(epoch FROM now() - as_of) FROM rollup_state").fetchall()[0][0])
    eventually(lambda: staff.get(PER_DAY).json()["lag_seconds"] >= float(wanted), "the replica's own watermark")


def test_nobody_notices_when_the_replica_is_killed_and_it_is_used_again_when_it_is_back(
    servers: Pair, server: Server, staff: Client
) -> None:
    servers.kill()
    for _ in range(20):
        assert staff.get(LIST).status_code == 200
    assert read(server, staff) == {"primary"}
    servers.restart()
    eventually(lambda: read(server, staff) == {"replica"}, "reads from the replica that is back")


def test_a_replica_that_is_late_is_left_alone_until_it_has_caught_up(
    servers: Pair, server: Server, staff: Client
) -> None:
    servers.on_replica("SELECT pg_wal_replay_pause()")
    missing = place(staff, "missing")
    assert missing not in listed(staff), "the replica does not have it, and is not late yet"
    eventually(lambda: missing in listed(staff), "an answer from the primary")
    assert read(server, staff) == {"primary"}
    servers.on_replica("SELECT pg_wal_replay_resume()")
    eventually(lambda: read(server, staff) == {"replica"}, "reads from the replica that has caught up")
    assert missing in listed(staff)


def test_a_replica_that_hangs_holds_up_no_request_for_longer_than_a_statement(
    servers: Pair, server: Server, staff: Client
) -> None:
    """Every process of it stands still, and keeps its sockets."""
    pids = servers.processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert staff.get(LIST).status_code == 200
        assert time.monotonic() - began < PATIENCE_SECONDS / 2, "about as long as a statement may take"
        eventually(lambda: read(server, staff) == {"primary"}, "reads from the primary")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_replica_that_was_promoted_is_not_read_from(servers: Pair, server: Server, staff: Client) -> None:
    """The last one of this file: afterwards, there is no replica any more."""
    servers.on_replica("SELECT pg_promote()")
    servers.on_replica("CREATE TABLE its_own_way AS SELECT generate_series(1, 100000)")  # its log is longer now
    eventually(lambda: read(server, staff) == {"primary"}, "reads from the primary")
    time.sleep(2)
    assert read(server, staff) == {"primary"}
