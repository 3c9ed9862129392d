"""Money is an integer of minor units (cents, yen, fils) and an ISO 4217 code; nothing here is ever a float."""

from functools import cache

from iso4217 import Currency

# 100 lines of 10 000 pieces at this price still fit a bigint with room for the sums of a day.
PRICE_MINOR_MAX = 1_000_000_000
QUANTITY_MAX = 10_000
LINES_MAX = 100


@cache
def is_currency(code: str) -> bool:
    """Whether `code` is an active ISO 4217 currency with minor units, spelled in capitals."""
    try:
        return Currency(code).exponent is not None
    except ValueError:
        return False


def amount_minor(unit_price_minor: int, quantity: int) -> int:
    return unit_price_minor * quantity
