"""CSV (RFC 4180) for analysts: rows as they come, and no cell that a spreadsheet would take for a formula (S37)."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MEDIA_TYPE = "text/csv; charset=utf-8"
# Some spreadsheets take the full-width forms for the plain ones.
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")


def header(columns: Sequence[str]) -> str:
    return _written([list(columns)])


def rows(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """The lines of these records, cells in the sequence of `columns`."""
    return _written([[_harmless(record[column]) for column in columns] for record in records])


def _harmless(cell: Any) -> Any:
    """A text that begins like a formula gets an apostrophe in front, which spreadsheets show as text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _written(lines: Iterable[Sequence[Any]]) -> str:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(lines)
    return sheet.getvalue()
