"""Recovery codes: ten, for the day the phone is lost. Shown once, stored as SHA-256, each good once.

A fast hash suffices: a code has 140 random bits, so that nobody who reads the table can try them out. (OWASP ASVS 5.0,
6.5.2, asks for a password hash below 112 bits.) Nothing of SECRET_KEY is in them: they still work if that is lost.
"""

import hashlib
import re
import secrets
from uuid import UUID

from sqlalchemy import Column, Connection, ForeignKey, LargeBinary, Table, Uuid, delete, func, insert, select, update

from models.identity.users import users
from models.metadata import Instant, metadata

NUMBER = 10
# Thirty-two letters and digits that are not mistaken for each other, five bits each.
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
GROUPS, GROUP_CHARACTERS = 7, 4
BETWEEN = re.compile(r"[-\s]")

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Uuid, ForeignKey(users.c.id), primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("used_at", Instant),
)


def replace(connection: Connection, user_id: UUID) -> list[str]:
    """New codes for a user, in place of all former ones. They cannot be read back."""
    clear(connection, user_id)
    codes = ["-".join(_group() for _ in range(GROUPS)) for _ in range(NUMBER)]
    connection.execute(insert(recovery_codes), [{"user_id": user_id, "sha256": _digest(code)} for code in codes])
    return codes


def spend(connection: Connection, user_id: UUID, code: str) -> bool:
    """Whether it was one of the user's codes and not used yet. Of several who show it at once, one is told yes."""
    mine = (recovery_codes.c.user_id == user_id, recovery_codes.c.sha256 == _digest(code))
    spent = update(recovery_codes).where(*mine, recovery_codes.c.used_at.is_(None)).values(used_at=func.now())
    return connection.execute(spent).rowcount == 1


def left(connection: Connection, user_id: UUID) -> int:
    unused = select(func.count()).where(recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    return connection.execute(unused).scalar_one()


def clear(connection: Connection, user_id: UUID) -> None:
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def _group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GROUP_CHARACTERS))


def _digest(code: str) -> bytes:
    """Of the code as people may type it: with or without hyphens and spaces, in either case."""
    return hashlib.sha256(BETWEEN.sub("", code).lower().encode()).digest()
