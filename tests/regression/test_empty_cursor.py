"""An empty cursor was no cursor (25 November 2026).

`?cursor=` and `?after=` were answered with the first page, where every other empty parameter is refused: a client that
spelled a missing `next_cursor` as nothing began anew, page after page, for ever. No cursor of ours is empty.
"""

from api_client import Client, assert_problem


def test_an_empty_position_is_refused(as_admin: Client) -> None:
    for path in ("/v1/orders?cursor=", "/v1/products?cursor=", "/v1/order-events?after="):
        assert_problem(as_admin.get(path), 400, "invalid_cursor")
