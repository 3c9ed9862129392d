"""`orders user`: what admins do over HTTP, from the machine itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from world import World

from models.identity import passwords
from models.identity.permissions import Role
from ops import cli
from runtime import settings

ROOT = Path(__file__).resolve().parents[2]


def user(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.app, ["user", *arguments], input=stdin, env={"COLUMNS": "200"})


def told(*arguments: str) -> list[dict[str, object]]:
    done = user("ls", "--json", *arguments)
    assert done.exit_code == 0, done.output
    users: list[dict[str, object]] = json.loads(done.stdout)
    return users


def test_the_list_is_a_table_for_people_and_json_for_programs(world: World) -> None:
    ann, bob = world.user(Role.ADMIN, "ann@example.com"), world.user(email="bob@example.com")
    shown = user("ls").stdout.splitlines()
    assert [line.split()[1] for line in shown[1:]] == ["bob@example.com", "ann@example.com"]
    assert [each["id"] for each in told()] == [str(bob.id), str(ann.id)]
    assert told()[0].keys() == {"id", "email", "name", "role", "created_at", "disabled_at"}
    assert [each["email"] for each in told("--role", "admin")] == ["ann@example.com"]
    assert [each["email"] for each in told("--email", "BOB@example.com")] == ["bob@example.com"]
    assert [each["email"] for each in told("--limit", "1")] == ["bob@example.com"]


def test_an_empty_list_says_so(world: World) -> None:
    assert user("ls").stdout == "no user matches\n"
    assert told() == []


def test_more_users_than_a_page_are_all_found(world: World) -> None:
    world.sql(
        "INSERT INTO users (id, email, role, password_hash)"
        " SELECT uuidv7(), n || '@example.com', 'customer', '' FROM generate_series(1, 1203) AS n"
    )
    assert len({each["id"] for each in told("--limit", "5000")}) == 1203


def test_a_user_is_disabled_and_enabled_and_given_another_role(world: World) -> None:
    world.user(email="bob@example.com")
    assert user("disable", "Bob@example.com").stdout == "bob@example.com is disabled\n"
    assert [each["email"] for each in told("--disabled")] == ["bob@example.com"]
    assert user("enable", "bob@example.com").stdout == "bob@example.com may log in\n"
    assert told("--disabled") == [] and len(told("--enabled")) == 1
    assert user("role", "bob@example.com", "staff").stdout == "bob@example.com is staff\n"
    assert world.sql("SELECT role, token_epoch FROM users") == [("staff", 2)]


def test_a_new_password_ends_all_sessions(world: World) -> None:
    bob = world.user(email="bob@example.com")
    world.sql("INSERT INTO sessions (id, user_id, ends_at) VALUES (uuidv7(), :id, now() + interval '1 day')", id=bob.id)
    done = user("password", "bob@example.com", "--password-stdin", stdin="an evening in june\n")
    assert done.stdout == "bob@example.com has a new password\n", done.output
    [[stored]] = world.sql("SELECT password_hash FROM users")
    assert passwords.matches(settings.current(), stored, "an evening in june")
    assert world.sql("SELECT ended_because FROM sessions") == [("password_set",)]
    assert world.sql("SELECT count(*) FROM revocations") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "complaint"),
    [
        (["disable", "nobody@example.com"], "", 1, "nobody has the address nobody@example.com; nothing was changed"),
        (["password", "nobody@example.com", "--password-stdin"], "an evening\n", 1, "nobody has the address"),
        (["disable", "ann@example.com"], "", 1, "This is the last admin who can log in; make another one first."),
        (["role", "ann@example.com", "staff"], "", 1, "This is the last admin who can log in"),
        (["password", "ann@example.com", "--password-stdin"], "short\n", 1, "The password is shorter"),
        (["password", "ann@example.com", "--password-stdin"], "x" * 257 + "\n", 1, "at most 256 characters"),
        (["role", "ann@example.com", "root"], "", 2, "root"),
        (["disable"], "", 2, "EMAIL"),
        (["ls", "--email", "nobody"], "", 1, "The request does not have the documented form"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(
    world: World, arguments: list[str], stdin: str, code: int, complaint: str
) -> None:
    world.user(Role.ADMIN, "ann@example.com")
    command = [sys.executable, "-m", "ops", "user", *arguments]
    done = subprocess.run(command, env=os.environ, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
