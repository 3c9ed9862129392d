"""How the secret of an API key is spelled: `op_` and 10 characters, which may be shown; `_` and 43 that may not; 6 more
that check the rest.

The mark lets scanners find one that was published by mistake; the check lets us refuse what was cut off or mistyped
without asking the database. It keeps nobody from making keys up: 256 random bits do.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass

MARK = "op_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX_CHARACTERS = 10
# 62 ** 43 > 2 ** 256
SECRET_CHARACTERS = 43
# 62 ** 6 > 2 ** 32
CHECK_CHARACTERS = 6
PREFIX = re.compile(f"{MARK}[0-9A-Za-z]{{{PREFIX_CHARACTERS}}}", re.ASCII)
SPELLING = re.compile(f"({PREFIX.pattern})_[0-9A-Za-z]{{{SECRET_CHARACTERS + CHECK_CHARACTERS}}}", re.ASCII)


@dataclass(frozen=True)
class Secret:
    """What of a secret is looked up: nothing that it could be made of again."""

    prefix: str
    sha256: bytes


def make() -> str:
    """A new secret; nobody but its client is to keep it."""
    return checked(f"{MARK}{_random(PREFIX_CHARACTERS)}_{_random(SECRET_CHARACTERS)}")


def read(shown: str) -> Secret | None:
    """None for what cannot be a secret of ours."""
    match = SPELLING.fullmatch(shown)
    if match is None or checked(shown[:-CHECK_CHARACTERS]) != shown:
        return None
    return Secret(match[1], digest(shown))


def digest(shown: str) -> bytes:
    return hashlib.sha256(shown.encode()).digest()


def checked(begun: str) -> str:
    """With its CRC-32 behind it, in base 62, the leading zeros included."""
    number, digits = zlib.crc32(begun.encode()), ""
    for _ in range(CHECK_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return begun + digits


def _random(characters: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(characters))
