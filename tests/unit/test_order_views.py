"""An order is spelled once, and its documentation is true."""

import pytest

from api.description import demo_order
from api.views.orders import OrderView, order_body


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_what_is_sent_is_to_the_byte_what_is_documented(version: int) -> None:
    record = demo_order.record(version)
    assert order_body(record) == OrderView.of(record).model_dump_json().encode()
