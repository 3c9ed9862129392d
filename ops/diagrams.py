"""The pictures and tables in README.md and docs/, made from the code they describe; tests keep them equal to it.

`python -m ops.diagrams` prints them, `python -m ops.diagrams --write` puts them into the pages.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Column, ForeignKeyConstraint, Index, Table, make_url

from models import tables
from models.lifecycle import FINAL, MOVES, Actor, Move, Status
from schedules.timetable import TIMETABLE

ROOT = Path(__file__).resolve().parents[1]
POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()
# In a page, the paragraph that follows is ours.
MARK = "<!-- from ops/diagrams.py; a test keeps it equal -->\n"
# The diagram's reader knows customers, not owners.
WHO = {Actor.SYSTEM: "pipeline", Actor.OWNER: "customer", Actor.STAFF: "staff"}


def lifecycle() -> str:
    """An order's way as a Mermaid state diagram."""
    lines = [f"    [*] --> {Status.PENDING}", *map(_arrow, MOVES)]
    lines += [f"    {status} --> [*]" for status in Status if status in FINAL]
    return "\n".join(["stateDiagram-v2", *lines])


def _arrow(move: Move) -> str:
    return f"    {move.source} --> {move.target}: {', '.join(WHO[actor] for actor in WHO if actor in move.by)}"


def relations() -> str:
    """Every table with the columns of its keys, and what refers to what, as a Mermaid entity-relationship diagram."""
    known = tables.metadata.sorted_tables
    keys = sorted((key for table in known for key in table.foreign_key_constraints), key=lambda key: str(key.name))
    return "\n".join(["erDiagram", *map(_reference, keys), *(line for table in known for line in _entity(table))])


def _reference(key: ForeignKeyConstraint) -> str:
    parent = "|o" if any(column.nullable for column in key.columns) else "||"
    child = "o|" if set(key.columns) == set(key.table.primary_key) else "o{"
    return f'    {key.referred_table.name} {parent}--{child} {key.table.name} : "{", ".join(key.column_keys)}"'


def _entity(table: Table) -> Iterator[str]:
    yield f"    {table.name} {{"
    yield from (f"        {_type(each)} {each.name} {marks}" for each in table.columns if (marks := _marks(each)))
    yield "    }"


def _type(column: Column[object]) -> str:
    return column.type.compile(POSTGRESQL).lower().replace(" ", "_")


def _marks(column: Column[object]) -> str:
    return ", ".join(["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys))


def schema() -> str:
    """Every table, its key, and its other indexes with the query each one serves, as a Markdown table."""
    lines = [line for table in tables.metadata.sorted_tables for line in _rows(table)]
    return "\n".join(["| table | key or index | serves |", "|---|---|---|", *lines])


def _rows(table: Table) -> Iterator[str]:
    key = ", ".join(column.name for column in table.primary_key)
    yield f"| `{table.name}` | primary key ({key}) | rows by their key |"
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        yield f"| | {_described(index)} | {index.info['serves']} |"


def _described(index: Index) -> str:
    columns = ", ".join(column.name for column in index.columns)
    where = index.dialect_options["postgresql"].get("where")
    return f"{'unique ' if index.unique else ''}({columns})" + (f" where `{where}`" if where is not None else "")


def timetable() -> str:
    """What runs when, and why, as a Markdown table."""
    lines = [f"| `{entry.kind}` | {entry.every} | {entry.why} |" for entry in TIMETABLE]
    return "\n".join(["| task | every | what for |", "|---|---|---|", *lines])


def _mermaid(draw: Callable[[], str]) -> Callable[[], str]:
    return lambda: f"```mermaid\n{draw()}\n```"


# What stands at the marks of a page, one after the other.
PAGES: Mapping[str, tuple[Callable[[], str], ...]] = {
    "README.md": (_mermaid(lifecycle),),
    "docs/architecture.md": (_mermaid(relations), schema),
    "docs/operations.md": (timetable,),
}


def filled(page: str) -> str:
    """The words of a page, with its pictures and tables as they ought to be."""
    before, *after = (ROOT / page).read_text().split(MARK)
    paragraphs = zip(PAGES[page], after, strict=True)
    return before + "".join(MARK + "\n\n".join([draw(), *rest.split("\n\n")[1:]]) for draw, rest in paragraphs)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        for name in PAGES:
            (ROOT / name).write_text(filled(name))
    else:
        sys.stdout.write("\n\n".join(draw() for draws in PAGES.values() for draw in draws) + "\n")
