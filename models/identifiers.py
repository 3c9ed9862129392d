"""Identifiers: UUIDv7 for rows, a short number for people."""

import secrets
import time
from uuid import UUID

# Crockford's base 32: no I, L, O or U, so that a number survives being read over the telephone.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def uuid7() -> UUID:
    """A time-ordered id: 48 bits of Unix milliseconds, 12 bits of their fraction, then 62 random bits.

    RFC 9562, section 5.7, with the fraction of section 6.2, method 3: what one process makes later sorts later.
    """
    return uuid7_of(time.time_ns(), secrets.randbits(62))


def uuid7_of(time_ns: int, random_bits: int) -> UUID:
    """The id of that Unix time with those 62 bits: what is made up anew with the same bits has the same id."""
    milliseconds, nanoseconds = divmod(time_ns, 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random_bits)


def order_number(order_id: UUID) -> str:
    """The order's number for people: the id's last 50 bits as `XXXXX-XXXXX`. They are random and count nothing."""
    low = order_id.int
    number = "".join([PAIRS[low >> 10 * place & 1023] for place in (4, 3, 2, 1, 0)])
    return f"{number[:5]}-{number[5:]}"
