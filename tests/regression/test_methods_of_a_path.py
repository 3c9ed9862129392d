"""`Allow` named one method of a path that has two (25 November 2026).

A 405 said `Allow: POST` for /v1/orders, which also answers GET, and `Allow: GET` for /v1/orders/batch, where only POST
finds anything: Starlette names the methods of the first route that knows the path. RFC 9110, section 15.5.6, wants all.
"""

from collections.abc import Iterator

import pytest
from api_client import Client, assert_problem
from api_server import serving

from api.app import create_app


@pytest.fixture(scope="module")
def anonymous() -> Iterator[Client]:
    with serving(create_app()) as server, Client(server.url, None, None) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/orders", "GET, POST"),
        ("/v1/orders/batch", "GET, POST"),
        ("/v1/products/BOWL", "GET, PUT"),
        ("/v1/order-events", "GET"),
        ("/v1/auth/login", "POST"),
    ],
)
def test_a_refused_method_is_told_all_that_are_there(anonymous: Client, path: str, allowed: str) -> None:
    response = anonymous.delete(path)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == allowed
