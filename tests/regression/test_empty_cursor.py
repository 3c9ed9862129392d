"""An empty cursor was no cursor (25 November 2026).

`?cursor=` and `?after=` were answered with the first page, where every other empty parameter is refused: a client that
spelled a missing `next_cursor` as nothing began anew, page after page, for ever. No cursor of ours is empty.
"""

from collections.abc import Iterator

import pytest
from api_client import Client, Shop, assert_problem
from api_server import serving
from world import World

from api.app import create_app
from models.permissions import Role


@pytest.fixture
def as_admin(world: World) -> Iterator[Client]:
    with serving(create_app()) as server:
        shop = Shop(world, server)
        yield shop.client_as(Role.ADMIN)
        shop.close()


def test_an_empty_position_is_refused(as_admin: Client) -> None:
    for path in ("/v1/orders?cursor=", "/v1/products?cursor=", "/v1/order-events?after="):
        assert_problem(as_admin.get(path), 400, "invalid_cursor")
