"""Money is integers of minor units, in currencies that exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import money

BIGINT_MAX = 2**63 - 1


@pytest.mark.parametrize("code", ["EUR", "JPY", "BHD", "CHF"])
def test_real_currencies_are_known(code: str) -> None:
    assert money.is_currency(code)


@pytest.mark.parametrize("code", ["eur", "EURO", "ABC", "", "XXX", "XAU", "E R"])
def test_anything_else_is_not_a_currency(code: str) -> None:
    assert not money.is_currency(code)


@given(
    st.lists(
        st.tuples(st.integers(0, money.PRICE_MINOR_MAX), st.integers(1, money.QUANTITY_MAX)), max_size=money.LINES_MAX
    )
)
def test_the_largest_order_and_a_day_of_them_fit_a_bigint(lines: list[tuple[int, int]]) -> None:
    total = sum(money.amount_minor(price, quantity) for price, quantity in lines)
    a_thousand_of_the_largest = 1000 * money.LINES_MAX * money.PRICE_MINOR_MAX * money.QUANTITY_MAX
    assert total <= a_thousand_of_the_largest <= BIGINT_MAX
