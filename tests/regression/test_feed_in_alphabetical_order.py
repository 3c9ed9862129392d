"""The feed of all events was in the alphabetical order of transaction ids (25 November 2026).

The statement answered `CAST(xid AS text) AS xid` and sorted by `xid`, which in PostgreSQL is the column of the answer
before it is that of the table. So 1000 came before 999, and a reader who had seen 1000 never got 999: whenever the ids
grew by a digit, what a page did not hold was lost. It also read and sorted all there was behind the reader.
"""

from sqlalchemy import Connection, Text, Uuid, bindparam, text
from world import World

from models import order_feed
from models.order_feed import BEGINNING, Position
from runtime import database
from runtime.database import Role

SPELLED = text("UPDATE order_events SET xid = CAST(:xid AS xid8) WHERE order_id = :order_id").bindparams(
    bindparam("xid", type_=Text), bindparam("order_id", type_=Uuid)
)
# Older than any transaction of a new cluster, so that all of them are certain.
XIDS = ["9", "10", "99", "100", "101"]


def read(connection: Connection, limit: int) -> list[str]:
    """The transaction ids of all events, page by page."""
    seen: list[str] = []
    after: Position = BEGINNING
    while page := order_feed.page(connection, after, limit):
        seen += [entry.position.xid for entry in page]
        after = page[-1].position
    return seen


def test_no_event_is_lost_where_transaction_ids_grow_by_a_digit(world: World) -> None:
    bowl, user = world.product(), world.user()
    placed = [world.place(user, {bowl.sku: 1}) for _ in XIDS]
    with database.transaction(Role.OWNER) as connection:
        for order, xid in zip(placed, XIDS, strict=True):
            connection.execute(SPELLED, {"xid": xid, "order_id": order.id})
    with database.transaction(Role.API) as connection:
        for limit in (1, 2, 3, 100):
            assert read(connection, limit) == XIDS
