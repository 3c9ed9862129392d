"""When the database is slow or gone for a moment, callers are told to come back, and then they are served."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from api_client import ORDERS, Client, Shop, assert_problem
from httpx2 import Response
from psycopg import Connection

from runtime import settings


@pytest.fixture
def meddler() -> Iterator[Connection]:
    """Somebody else at the database."""
    with psycopg.connect(settings.current().database_url.get_secret_value()) as connection:
        yield connection
        connection.rollback()


def assert_come_back(response: Response) -> None:
    assert_problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "1"


def test_a_table_that_is_locked_too_long_is_503_and_then_fine(
    shop: Shop, as_customer: Client, meddler: Connection
) -> None:
    path = as_customer.order().headers["Location"]
    meddler.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    assert_come_back(as_customer.get(path))
    meddler.rollback()
    assert as_customer.get(path).status_code == 200


def test_lost_connections_cost_nobody_anything(shop: Shop, as_customer: Client, meddler: Connection) -> None:
    as_customer.order()
    meddler.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'orders_api' AND datname = current_database()"
    )
    assert [as_customer.get(ORDERS).status_code for _ in range(5)] == [200] * 5
    assert as_customer.order().status_code == 201


def test_too_many_who_wait_for_a_connection_are_sent_away(shop: Shop, meddler: Connection) -> None:
    clients = [shop.client(shop.world.user()) for _ in range(shop.services.settings.database_pool_size + 3)]
    meddler.execute("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
    with ThreadPoolExecutor(len(clients)) as threads:
        answers = list(threads.map(lambda client: client.get("/v1/products/BOWL"), clients))
    for answer in answers:
        assert_come_back(answer)
    meddler.rollback()
    assert clients[0].get("/v1/products/BOWL").status_code == 200
