"""A batch as one JSON parameter: PostgreSQL unpacks it with `jsonb_to_recordset`, at a third of executemany's cost."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json


def dumps(rows: Sequence[Any]) -> str:
    """Rows as a JSON array; ids, days, instants and durations in the ISO forms that PostgreSQL reads."""
    return to_json(rows).decode()
