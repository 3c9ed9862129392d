"""Password hashing (argon2id, RFC 9106) and the rules for choosing one (OWASP ASVS 5.0, 6.2)."""

from collections.abc import Iterable
from functools import cache
from itertools import islice

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from models import errors
from runtime.settings import ARGON2_MEMORY_KIB_MAX, ARGON2_TIME_COST_MAX, Settings

CHARACTERS_MIN = 8
CHARACTERS_MAX = 256
# Ours have one lane. More would be more threads at once than the gate around hashing counts.
PARALLELISM_MAX = 4

# What stands for this place (ASVS 6.1.2), and the most common passwords that are long enough to be chosen (6.2.4).
COMMON_MAX = 3000
CONTEXT_WORDS = frozenset({"administrator", "changeit", "order-pipeline", "orderpipeline"})
COMMON = CONTEXT_WORDS.union(
    islice((word for word in FREQUENCY_LISTS["passwords"] if len(word) >= CHARACTERS_MIN), COMMON_MAX)
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
    """Whether the password is the one that was hashed. Without a hash, or with one that is not to be computed, the
    answer is no, at the price of a yes."""
    own = password_hash if password_hash is not None and is_acceptable(password_hash) else None
    try:
        hasher(settings).verify(own or decoy_hash(settings), password)
    except (VerificationError, InvalidHashError):
        return False
    return own is not None


def is_acceptable(password_hash: str) -> bool:
    """Whether a stored hash is argon2id and costs no more than we are ready to spend, as its text says (S2)."""
    try:
        cost = extract_parameters(password_hash)
    except ValueError:  # InvalidHashError is one of them
        return False
    is_cheap = cost.memory_cost <= ARGON2_MEMORY_KIB_MAX and cost.time_cost <= ARGON2_TIME_COST_MAX
    return cost.type is Type.ID and is_cheap and cost.parallelism <= PARALLELISM_MAX


def is_outdated(settings: Settings, password_hash: str) -> bool:
    """Whether a hash was made at a lower price than we ask for now; one that cost more is kept."""
    cost, wanted = extract_parameters(password_hash), hasher(settings)
    return cost.memory_cost < wanted.memory_cost or cost.time_cost < wanted.time_cost
