"""The pictures and tables in README.md and docs/, made from the code they describe; tests keep them equal to it.

`python -m ops.diagrams` prints them.
"""

import sys
from collections.abc import Iterator

from sqlalchemy import Index, Table

from models import tables
from models.lifecycle import FINAL, MOVES, Actor, Move, Status
from schedules.timetable import TIMETABLE

# The diagram's reader knows customers, not owners.
WHO = {Actor.SYSTEM: "pipeline", Actor.OWNER: "customer", Actor.STAFF: "staff"}


def lifecycle() -> str:
    """An order's way as a Mermaid state diagram."""
    lines = [f"    [*] --> {Status.PENDING}", *map(_arrow, MOVES)]
    lines += [f"    {status} --> [*]" for status in Status if status in FINAL]
    return "\n".join(["stateDiagram-v2", *lines])


def _arrow(move: Move) -> str:
    return f"    {move.source} --> {move.target}: {', '.join(WHO[actor] for actor in WHO if actor in move.by)}"


def schema() -> str:
    """Every table, its key, and its other indexes with the query each one serves, as a Markdown table."""
    lines = [line for table in tables.metadata.sorted_tables for line in _rows(table)]
    return "\n".join(["| table | key or index | serves |", "|---|---|---|", *lines])


def _rows(table: Table) -> Iterator[str]:
    key = ", ".join(column.name for column in table.primary_key)
    yield f"| `{table.name}` | primary key ({key}) | rows by their key |"
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        yield f"| | {_described(index)} | {index.info['serves']} |"


def timetable() -> str:
    """What runs when, and why, as a Markdown table."""
    lines = [f"| `{entry.kind}` | {entry.every} | {entry.why} |" for entry in TIMETABLE]
    return "\n".join(["| task | every | what for |", "|---|---|---|", *lines])


def _described(index: Index) -> str:
    columns = ", ".join(column.name for column in index.columns)
    where = index.dialect_options["postgresql"].get("where")
    return f"{'unique ' if index.unique else ''}({columns})" + (f" where `{where}`" if where is not None else "")


if __name__ == "__main__":
    sys.stdout.write(f"{lifecycle()}\n\n{schema()}\n\n{timetable()}\n")
