"""What an order costs is the sum of its lines, to the last cent, in every place where it is written down."""

import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from world import World

from models import money

prices = st.integers(0, money.PRICE_MINOR_MAX)
quantities = st.integers(1, money.QUANTITY_MAX)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(prices, quantities), min_size=1, max_size=money.LINES_MAX))
@example([(money.PRICE_MINOR_MAX, money.QUANTITY_MAX)] * money.LINES_MAX)
@example([(0, 1)])
def test_the_total_is_the_sum_of_the_lines_wherever_it_is_written(world: World, lines: list[tuple[int, int]]) -> None:
    user = world.user()
    world.sql(
        "INSERT INTO products (sku, name, price_minor, currency, on_hand, reserved, active)"
        " SELECT 'P-' || n, 'P', 0, 'EUR', 0, 0, true FROM generate_series(1, 100) AS n ON CONFLICT DO NOTHING"
    )
    world.sql(
        "UPDATE products SET price_minor = CAST(p.value AS bigint)"
        " FROM jsonb_array_elements_text(CAST(:prices AS jsonb)) WITH ORDINALITY AS p(value, n) WHERE sku = 'P-' || n",
        prices=json.dumps([price for price, _ in lines]),
    )
    placed = world.place(user, {f"P-{number}": quantity for number, (_, quantity) in enumerate(lines, start=1)})
    total = sum(price * quantity for price, quantity in lines)
    body = json.loads(placed.answer.body)
    assert body["total_minor"] == sum(item["amount_minor"] for item in body["items"]) == total
    assert [(item["unit_price_minor"], item["quantity"]) for item in body["items"]] == lines
    [written] = world.sql(
        "SELECT total_minor, amount_minor, (SELECT sum(quantity * unit_price_minor) FROM order_items"
        " WHERE order_id = orders.id) AS of_lines"
        " FROM orders JOIN order_events ON order_id = orders.id WHERE orders.id = :id",
        id=placed.id,
    )
    assert set(written) == {total}
