"""What PostgreSQL really does for a verb: the plans of the statements it sends, executed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, event

from models import order_list
from models.order_list import Filter, Position
from models.orders import Order

P = ParamSpec("P")
R = TypeVar("R")

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


@dataclass(frozen=True)
class Scan:
    """One node of a plan that reads a table."""

    table: str
    kind: str
    index: str | None
    has_condition: bool
    rows: int
    removed: int


@dataclass(frozen=True)
class Plan:
    nodes: tuple[dict[str, Any], ...]
    statement: str

    @property
    def kinds(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes}

    @property
    def buffers(self) -> int:
        root = self.nodes[0]
        return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])

    @property
    def scans(self) -> list[Scan]:
        return [_scan(node) for node in self.nodes if "Relation Name" in node]


@dataclass(frozen=True)
class Explained:
    """A page, and the plans of the statements that found it; the last one fetches its lines."""

    found: list[Order]
    plans: list[Plan]

    @property
    def buffers(self) -> int:
        return sum(plan.buffers for plan in self.plans)

    @property
    def scans(self) -> list[Scan]:
        return [scan for plan in self.plans for scan in plan.scans]

    def checked(self, table: str = "orders") -> int:
        """How many rows of the table were read, whether they were wanted or not."""
        return sum(scan.rows + scan.removed for scan in self.scans if scan.table == table)


def page(engine: Engine, narrowed: Filter, after: Position | None, limit: int, *, newest_first: bool) -> Explained:
    with engine.connect() as connection:
        found, plans = plans_of(connection, order_list.page, narrowed, after, limit, newest_first)
        return Explained(list(found), plans)


def plans_of(
    connection: Connection, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
) -> tuple[R, list[Plan]]:
    """What the verb returns, and the plans of the statements that it sends, in their sequence."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    found = verb(connection, *args, **kwargs)
    event.remove(connection, "before_cursor_execute", note)
    return found, [_plan(connection, *each) for each in sent]


def _plan(connection: Connection, statement: str, parameters: Any) -> Plan:
    [[[document]]] = connection.exec_driver_sql(EXPLAIN + statement, parameters)
    return Plan(tuple(_nodes(document["Plan"])), statement)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _scan(node: dict[str, Any]) -> Scan:
    loops = node["Actual Loops"]
    return Scan(
        table=node["Relation Name"],
        kind=node["Node Type"],
        index=node.get("Index Name"),
        has_condition="Index Cond" in node or "Recheck Cond" in node,
        rows=round(node["Actual Rows"] * loops),
        removed=round(node.get("Rows Removed by Filter", 0) * loops),
    )
