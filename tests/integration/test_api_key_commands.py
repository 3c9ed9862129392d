"""`orders api-keys`, and what `orders user` does with service accounts."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from audit_trail import entries
from key_holders import key_of, person
from typer.testing import CliRunner, Result
from world import World

from models.identity import api_key_secrets
from ops import cli, operator

MAKE = ("api-keys", "create", "shop-sync", "--name", "nightly")


def orders(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "250"})


def told(*arguments: str) -> Any:
    done = orders(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


@pytest.fixture
def robot(world: World) -> str:
    """The id of a service account."""
    done = orders("user", "create-service", "shop-sync", "--role", "staff")
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_a_machine_gets_an_account_and_a_key_whose_secret_alone_is_printed(robot: str) -> None:
    done = orders(*MAKE, "--permission", "orders:place", "--permission", "products:write", "--days", "7")
    assert done.exit_code == 0, done.output
    secret = done.stdout.strip()
    assert api_key_secrets.read(secret) is not None
    assert f"{secret[:13]} is good until" in done.stderr
    [key] = told("api-keys", "ls", "shop-sync")
    assert (key["prefix"], key["user_id"], key["name"]) == (secret[:13], robot, "nightly")
    assert key["permissions"] == ["orders:place", "products:write"]
    life = datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6) < life < timedelta(days=8)
    shown = orders("api-keys", "ls").stdout
    assert secret[:13] in shown and "good" in shown and "never" in shown
    assert secret[14:] not in shown + json.dumps(told("api-keys", "ls"))


def test_a_key_is_rotated_and_revoked_by_how_its_secret_begins(robot: str) -> None:
    old = told(*MAKE, "--permission", "orders:place")
    new = told("api-keys", "rotate", old["prefix"], "--overlap", "60")
    assert new["secret"] != old["secret"] and new["permissions"] == old["permissions"]
    assert orders("api-keys", "revoke", new["secret"]).stdout == f"{new['prefix']} is good for nothing any more\n"
    assert told("api-keys", "revoke", new["prefix"])["revoked_at"] is not None, "again is no error"
    shown = orders("api-keys", "ls").stdout.splitlines()
    assert [line.split()[-1] for line in shown[1:]] == ["revoked", "rotated"]
    written = [entry for entry in entries() if entry.event != "user.created"]
    assert [entry.event for entry in written] == ["api-key.made", "api-key.rotated", "api-key.revoked"]
    assert {(entry.actor, str(entry.user_id)) for entry in written} == {(operator.name(), robot)}


def test_the_keys_of_a_person_are_listed_and_revoked_but_not_made_for_them(world: World) -> None:
    made = key_of(person())
    [key] = told("api-keys", "ls", "ada@example.com")
    making = ("create", "ada@example.com", "--name", "x", "--permission", "orders:place")
    for arguments in (making, ("rotate", made.key.prefix)):
        refused = orders("api-keys", *arguments)
        assert refused.exit_code == 1 and "people make and rotate their API keys themselves" in str(refused.exception)
    assert orders("api-keys", "revoke", key["prefix"]).exit_code == 0


def test_more_keys_than_a_page_are_all_found(robot: str, world: World) -> None:
    world.sql(
        "INSERT INTO api_keys (id, user_id, name, prefix, sha256, permissions, expires_at)"
        " SELECT uuidv7(), :robot, '', n, '', ARRAY['orders:place'], now() FROM generate_series(1, 1203) AS n",
        robot=robot,
    )
    assert len({each["id"] for each in told("api-keys", "ls", "--limit", "5000")}) == 1203
    assert "expired" in orders("api-keys", "ls", "--limit", "1").stdout


def test_a_service_account_is_disabled_enabled_and_given_a_role_by_its_name(robot: str, world: World) -> None:
    assert orders("user", "disable", "shop-sync").stdout == "shop-sync is disabled\n"
    assert [each["name"] for each in told("user", "ls", "--services", "--disabled")] == ["shop-sync"]
    assert orders("user", "enable", "shop-sync").exit_code == 0
    assert orders("user", "role", "shop-sync", "analyst").stdout == "shop-sync is analyst\n"
    assert told("user", "ls", "--people") == []
    assert "shop-sync" in orders("user", "ls").stdout
    assert world.sql("SELECT role, disabled_at FROM users") == [("analyst", None)]


IMPOSSIBLE: list[tuple[list[str], int, str]] = [
    (["user", "create-service", "shop-sync"], 1, "There is a service account with this name already."),
    (["user", "create-service", "Shop Sync"], 1, "2 to 63 small letters, digits and hyphens"),
    (["user", "create-service", "x-y", "--role", "admin"], 1, "cannot be an admin"),
    (["user", "role", "shop-sync", "admin"], 1, "cannot be an admin"),
    (["user", "password", "shop-sync", "--password-stdin"], 1, "has no password; nothing was changed"),
    (["user", "disable", "nobody"], 1, "no service account is called nobody; nothing was changed"),
    (["api-keys", "create", "nobody", "--name", "x", "--permission", "orders:place"], 1, "is called nobody"),
    ([*MAKE, "--permission", "users:write"], 1, "what its owner's role does not permit"),
    ([*MAKE, "--permission", "dead-letters:read"], 1, "what no key can have"),
    ([*MAKE[:-1], "", "--permission", "orders:place"], 1, "1 to 100 characters"),
    ([*MAKE, "--permission", "root"], 2, "root"),
    (list(MAKE), 2, "--permission"),
    ([*MAKE, "--permission", "orders:place", "--days", "367"], 2, "--days"),
    (["api-keys", "revoke", "op_0000000000"], 1, "no API key that begins like this; nothing was changed"),
    (["api-keys", "rotate", "secret"], 1, "no API key that begins like this; nothing was changed"),
]


def test_what_cannot_be_done_is_told_in_words(robot: str) -> None:
    for arguments, code, complaint in IMPOSSIBLE:
        done = orders(*arguments)
        assert done.exit_code == code, (arguments, done.output)
        assert complaint in done.output + str(done.exception), arguments
