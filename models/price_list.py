"""The prices as this process last saw them.

Reading them for every batch of orders would be a second statement. So they are remembered, and the statement that
places orders confirms them (`models/placement.py`): no order is made at a price that does not hold at that moment.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

REMEMBERED_MAX = 10_000


@dataclass(frozen=True)
class Price:
    """What a product for sale is called and costs."""

    sku: str
    name: str
    price_minor: int
    currency: str


_READ = text("SELECT sku, name, price_minor, currency FROM products WHERE sku = ANY(:skus) AND active")


class PriceList:
    """Knows what is for sale; what is not for sale is asked for every time, so that it is found once it is."""

    def __init__(self) -> None:
        self._remembered: dict[str, Price] = {}

    def of(self, connection: Connection, skus: Collection[str]) -> dict[str, Price]:
        """The prices of those of `skus` that are for sale. Unless all are remembered, this is one statement."""
        found = {sku: self._remembered[sku] for sku in skus if sku in self._remembered}
        if len(found) < len(skus):
            found |= self._read(connection, [sku for sku in skus if sku not in found])
        return found

    def forget(self, skus: Iterable[str]) -> None:
        for sku in skus:
            self._remembered.pop(sku, None)

    def _read(self, connection: Connection, skus: Collection[str]) -> dict[str, Price]:
        read = {row.sku: Price(*row) for row in connection.execute(_READ, {"skus": list(skus)})}
        if len(self._remembered) + len(read) > REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered |= read
        return read
