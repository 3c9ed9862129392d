"""Rows as PostgreSQL's binary COPY takes them (its documentation of COPY, "Binary Format").

Columns that all rows of a kind share stand first, so that they are one prefix; the rest is packed in one call.
"""

from struct import Struct, pack

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
# PostgreSQL counts from 2000-01-01, Unix (in µs) and Python (in days) from elsewhere.
EPOCH = 946_684_800_000_000
EPOCH_DAY = 730_120


def field(value: bytes) -> bytes:
    return pack(">i", len(value)) + value


def text(value: str | None) -> bytes:
    return NULL if value is None else field(value.encode())


def integer(value: int) -> bytes:
    return pack(">ii", 4, value)


def bigint(value: int) -> bytes:
    return pack(">iq", 8, value)


def instant(unix_us: int | None) -> bytes:
    return NULL if unix_us is None else bigint(unix_us - EPOCH)


def jsonb(value: bytes) -> bytes:
    return field(b"\x01" + value)


def prefix(columns: int, *fields: bytes) -> bytes:
    """The beginning of a row of so many columns."""
    return pack(">h", columns) + b"".join(fields)


# Runs of columns of fixed length, each with its length before it: packed as (16, id, …).
ORDER = Struct(">i16si11si16siqiiiqiq")
"""id, number, user id, total, day, placed at, updated at"""
LINE = Struct(">i16siiiiiq")
"""order id, line, quantity, placed at"""
FACTS = Struct(">i16si16siqii")
"""order id, user id, amount, day"""
ORDER_ID = Struct(">i16s")
INSTANT = Struct(">iq")
