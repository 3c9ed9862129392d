"""Which passwords are refused, and how the accepted ones are kept."""

import pytest

from models import errors
from models.identity import passwords
from runtime import settings


@pytest.mark.parametrize(
    "weak", ["password", "PassWord1", "12345678", "aaaaaaaa", "ada@example.com", "Ada Lovelace", "ada"]
)
def test_common_and_personal_passwords_are_refused(weak: str) -> None:
    with pytest.raises(errors.WeakPassword):
        passwords.check_strength(weak, personal=("ada@example.com", "Ada Lovelace"))


@pytest.mark.parametrize("common", ["corvette", "trustno1", "qwertyuiop", "1Q2w3E4r", "OrderPipeline"])
def test_s3_the_3000_most_common_passwords_and_words_of_ours_are_refused(common: str) -> None:
    listed = passwords.COMMON - passwords.CONTEXT_WORDS
    assert len(listed) == 3000 and min(map(len, listed)) == passwords.CHARACTERS_MIN
    with pytest.raises(errors.WeakPassword):
        passwords.check_strength(common)


@pytest.mark.parametrize("good", ["correct horse battery staple", "häßlich-aber-lang", "x7$kPq2m"])
def test_anything_else_is_accepted_without_rules_of_composition(good: str) -> None:
    passwords.check_strength(good, personal=("ada@example.com", "Ada Lovelace"))


def test_a_hash_is_argon2id_with_the_configured_cost_and_matches_only_its_password() -> None:
    configured = settings.current()
    made = passwords.hasher(configured).hash("correct horse")
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(configured, made, "correct horse")
    assert not passwords.matches(configured, made, "incorrect horse")


def test_what_is_no_hash_matches_nothing() -> None:
    assert not passwords.matches(settings.current(), "not a hash", "anything")


def test_the_decoy_costs_what_a_real_hash_costs() -> None:
    configured = settings.current()
    assert passwords.decoy_hash(configured).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
