"""How the secret of an API key is spelled, and what cannot be one."""

import math
import re

import pytest

from models.identity import api_key_secrets
from models.identity.api_key_secrets import ALPHABET, SECRET_CHARACTERS

SECRET = "op_0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ0Q1k7z"


def test_a_secret_has_a_mark_a_prefix_256_random_bits_and_a_check() -> None:
    made = {api_key_secrets.make() for _ in range(100)}
    assert len(made) == 100 == len({secret[:13] for secret in made}) == len({secret[14:57] for secret in made})
    assert all(re.fullmatch(r"op_[0-9A-Za-z]{10}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", secret) for secret in made)
    assert SECRET_CHARACTERS * math.log2(len(ALPHABET)) > 256


def test_a_secret_is_read_and_kept_as_its_prefix_and_digest_alone() -> None:
    secret = api_key_secrets.make()
    read = api_key_secrets.read(secret)
    assert read is not None
    assert (read.prefix, read.sha256) == (secret[:13], api_key_secrets.digest(secret))
    assert secret[14:] not in repr(read)


def test_scanners_can_rely_on_how_the_check_is_made() -> None:
    """CRC-32 of all before it, in base 62: whoever has written that down elsewhere still finds our keys."""
    assert api_key_secrets.read(SECRET) is not None


@pytest.mark.parametrize("place", range(3, 63))
def test_a_mistyped_character_is_noticed_wherever_it_is(place: int) -> None:
    other = "x" if SECRET[place] != "x" else "y"
    assert api_key_secrets.read(f"{SECRET[:place]}{other}{SECRET[place + 1 :]}") is None


@pytest.mark.parametrize("shown", ["", "op_", SECRET[:-1], SECRET + "0", SECRET.upper(), f" {SECRET}", f"{SECRET}\n"])
def test_what_is_no_secret_is_none(shown: str) -> None:
    assert api_key_secrets.read(shown) is None
