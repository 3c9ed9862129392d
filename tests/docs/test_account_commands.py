"""The commands of docs/operations.md about keys, accounts and machines, as they stand there, one after the other."""

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from second_factors import Enrolled
from typer.testing import CliRunner
from world import World

from api.identity.lookout import LOOK_SECONDS
from models.identity import signing_keys
from ops import cli, keys
from runtime import database, settings
from runtime.database import Role

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def documented(section: str) -> list[list[str]]:
    """The arguments of `orders` in the blocks of a section of the runbook."""
    words = OPERATIONS.read_text().partition(f"### {section}\n")[2].partition("\n### ")[0]
    lines = [line for block in re.findall(r"(?ms)^```sh\n(.*?)^```", words) for line in block.splitlines()]
    assert lines, section
    return [shlex.split(line.partition(" orders ")[2]) for line in lines]


def orders(arguments: list[str], stdin: str = "") -> str:
    done = CliRunner().invoke(cli.app, arguments, input=stdin)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


@pytest.fixture
def one_key() -> Iterator[None]:
    """End with the one key of a new system."""
    yield
    time.sleep(2 * LOOK_SECONDS)  # A server for other tests of this process signs with the old one until it looks.
    with database.transaction(Role.OWNER) as connection:
        connection.exec_driver_sql("DELETE FROM signing_keys WHERE state <> 'active'")


def test_the_signing_keys_are_rotated_and_an_old_one_voided(world: World, one_key: None) -> None:
    listing, rotating, retiring = documented("Rotate the signing keys")
    assert (listing, rotating) == (["keys", "ls"], ["keys", "rotate"])
    [[old]] = world.sql("SELECT kid FROM signing_keys WHERE state = 'active'")
    assert old in orders(listing)
    orders([*rotating, "--wait", str(keys.WAIT_SECONDS_MIN)])
    orders([*retiring[:-1], old])
    with database.transaction(Role.API) as connection:
        [left] = signing_keys.load(connection, settings.current())
    assert left.kid != old and left.private is not None


def test_an_account_that_was_taken_over_is_given_back_to_its_owner(world: World) -> None:
    disabling, setting, enabling, resetting = documented("An account was taken over")
    clara = Enrolled.of(world, world.user(email="clara@shop.example")).user
    state = "SELECT disabled_at IS NULL, password_hash = :old FROM users"
    orders(disabling)
    assert world.sql(state, old=clara.password_hash) == [(False, True)]
    orders([*setting, "--password-stdin"], stdin="an evening in june\n")
    orders(enabling)
    orders(resetting)
    assert world.sql(state, old=clara.password_hash) == [(True, False)]
    assert world.sql("SELECT mfa_since FROM users") == [(None,)]


def test_a_machine_is_given_a_key_which_is_rotated_and_revoked(world: World) -> None:
    opening, making, listing = documented("Give a machine a key")
    orders(opening)
    old = orders(making).strip()
    assert old[:13] in orders(listing)
    [rotating] = documented("Rotate the key of a machine")
    new = orders([*rotating[:-1], old[:13]]).strip()
    [revoking] = documented("A key has leaked")
    orders([*revoking[:-1], new])
    state = "SELECT prefix, revoked_at IS NULL, expires_at < now() + interval '25 hours' FROM api_keys ORDER BY id"
    assert world.sql(state) == [(old[:13], True, True), (new[:13], False, True)]
