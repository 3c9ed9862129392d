"""The API as clients meet it: a real uvicorn on a real socket, one per xdist worker, on the worker's own database."""

from collections.abc import Iterator

import pytest
from api_client import Client, Shop
from api_server import Server, serving
from world import World

from api.app import create_app
from models.identity.permissions import Role


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running API, for all tests of this worker."""
    with serving(create_app()) as running:
        yield running


@pytest.fixture(scope="module")
def second_server(server: Server) -> Iterator[Server]:
    """Another API process, as far as the first can tell: it has a lookout and a memory of its own."""
    with serving(create_app()) as running:
        yield running


@pytest.fixture
def shop(world: World, server: Server) -> Iterator[Shop]:
    """The small shop, and clients to visit it with."""
    opened = Shop(world, server)
    yield opened
    opened.close()


@pytest.fixture
def anonymous(shop: Shop) -> Client:
    return shop.client()


@pytest.fixture
def as_customer(shop: Shop) -> Client:
    return shop.client_as(Role.CUSTOMER)


@pytest.fixture
def as_staff(shop: Shop) -> Client:
    return shop.client_as(Role.STAFF)


@pytest.fixture
def as_analyst(shop: Shop) -> Client:
    return shop.client_as(Role.ANALYST)


@pytest.fixture
def as_admin(shop: Shop) -> Client:
    return shop.client_as(Role.ADMIN)
