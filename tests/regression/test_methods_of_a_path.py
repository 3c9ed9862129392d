"""`Allow` named one method of a path that has two (25 November 2026).

A 405 said `Allow: POST` for /v1/orders, which also answers GET, and `Allow: GET` for /v1/orders/batch, where only POST
finds anything: Starlette names the methods of the first route that knows the path. RFC 9110, section 15.5.6, wants all.

Then it said `GET, POST` for /v1/orders/batch, because that could be the path of an order, whose id it never is.
schemathesis found it.
"""

import pytest
from api_client import Client, assert_problem


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/orders", "GET, POST"),
        ("/v1/orders/batch", "POST"),
        ("/v1/products/BOWL", "GET, PUT"),
        ("/v1/order-events", "GET"),
        ("/v1/auth/login", "POST"),
    ],
)
def test_a_refused_method_is_told_all_that_are_there(anonymous: Client, path: str, allowed: str) -> None:
    response = anonymous.delete(path)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == allowed
