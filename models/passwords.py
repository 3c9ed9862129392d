"""Password hashing (argon2id, RFC 9106) and the rules for choosing one (OWASP ASVS 5.0, 6.2)."""

from collections.abc import Iterable
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from models import errors
from runtime.settings import Settings

CHARACTERS_MIN = 8
CHARACTERS_MAX = 256

COMMON = frozenset(
    "password passw0rd password1 password12 password123 passwort 12345678 123456789 1234567890 87654321 qwertyui "
    "qwertyuiop qwerty123 asdfghjk 1q2w3e4r 1qaz2wsx zaq12wsx abcd1234 abc12345 iloveyou sunshine princess football "
    "baseball superman trustno1 letmein1 welcome1 starwars whatever dragon12 monkey12 master12 shadow12 michael1 "
    "jennifer computer internet corvette mustang1 changeme changeit secret123 administrator 11111111 00000000 "
    "orderpipeline order-pipeline".split()
)


def check_strength(password: str, personal: Iterable[str] = ()) -> None:
    """Refuse what is short, and what an attacker tries first: common passwords, one repeated character, own data.

    Raises:
        errors.WeakPassword: with no hint beyond the rule.
    """
    plain = password.casefold()
    own = {word.casefold() for words in personal for word in (words, words.partition("@")[0])}
    if len(password) < CHARACTERS_MIN or plain in COMMON or plain in own or len(set(plain)) == 1:
        raise errors.WeakPassword


@cache
def hasher(settings: Settings) -> PasswordHasher:
    return PasswordHasher(time_cost=settings.argon2_time_cost, memory_cost=settings.argon2_memory_kib, parallelism=1)


@cache
def decoy_hash(settings: Settings) -> str:
    """What is verified for an unknown user, so that they cost what a known one costs."""
    return hasher(settings).hash("nobody has this password")


def matches(settings: Settings, password_hash: str | None, password: str) -> bool:
    """Whether the password is the one that was hashed. Without a hash the answer is no, at the price of a yes."""
    try:
        hasher(settings).verify(password_hash or decoy_hash(settings), password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return password_hash is not None
