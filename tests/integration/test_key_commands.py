"""`orders keys`, and what a rotation promises: published before it signs, and nobody is logged out (S14)."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import jwt
import pytest
import sqlalchemy
from api_client import Client, Shop, assert_problem
from api_processes import api_processes
from audit_trail import entries
from logins import Tokens, login, logout, me, refresh, register
from running_system import eventually
from typer.testing import CliRunner, Result

from api.identity.lookout import LOOK_SECONDS
from models.identity import signing_keys
from ops import cli, keys, operator
from runtime import database, settings
from runtime.database import Role

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 4


@pytest.fixture(autouse=True)
def one_key(shop: Shop) -> Iterator[None]:
    """Begin and end with the one key of a new system."""
    yield
    [[active]] = shop.world.sql("SELECT kid FROM signing_keys WHERE state = 'active'")
    shop.world.sql("DELETE FROM signing_keys WHERE state <> 'active'")
    eventually(lambda: shop.services.tokens.public_keys().keys() == {active}, "the server knows it", 5)


def orders_keys(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["keys", *arguments], env={"COLUMNS": "200"})


def told(*arguments: str) -> list[dict[str, object]]:
    done = orders_keys(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def publish() -> str:
    with database.transaction(Role.OWNER) as connection:
        return signing_keys.announce(connection, settings.current())


def activate(kid: str) -> None:
    with database.transaction(Role.OWNER) as connection:
        signing_keys.activate(connection, kid)


def published(client: httpx2.Client) -> set[str]:
    return {key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]}


def signer(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def test_s14_a_key_is_published_before_it_signs_and_verifies_for_a_while_after_it_did(
    shop: Shop, anonymous: Client
) -> None:
    register(anonymous)
    [old] = published(anonymous)
    new = publish()
    assert publish() == new, "one at most is to be next"
    eventually(lambda: published(anonymous) == {old, new}, "a published key in JWKS", 5)
    before = Tokens.of(login(anonymous))
    assert signer(before.access) == old
    activate(new)
    eventually(lambda: signer(Tokens.of(login(anonymous)).access) == new, "the new key signs", 5)
    assert published(anonymous) == {old, new}
    assert me(anonymous, before.access).status_code == 200
    shop.world.sql("UPDATE signing_keys SET trusted_until = now() WHERE kid = :old", old=old)
    eventually(lambda: published(anonymous) == {new}, "the old key is gone", 5)
    assert_problem(me(anonymous, before.access), 401, "invalid_token")
    assert refresh(anonymous, before.refresh).status_code == 200


def test_s14_a_retired_key_has_no_private_part_and_only_one_key_signs(shop: Shop) -> None:
    activate(publish())
    rows = shop.world.sql("SELECT state, sealed_private_key IS NULL FROM signing_keys ORDER BY state")
    assert [tuple(row) for row in rows] == [("active", False), ("retired", True)]
    for state in ("active", "published"):
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            shop.world.sql("UPDATE signing_keys SET state = :state WHERE state = 'retired'", state=state)


def test_the_list_says_which_key_signs(anonymous: Client) -> None:
    [old] = told("ls")
    assert (old["state"], old["is_trusted"], old["trusted_until"]) == ("active", True, None)
    kid = publish()
    assert [each["kid"] for each in told("ls")] == [kid, old["kid"]]
    shown = orders_keys("ls").stdout
    assert "to sign next" in shown and "signs" in shown and kid in shown
    assert "private" not in json.dumps(told("ls"))


def test_a_rotation_that_was_interrupted_goes_on_with_the_key_that_is_published() -> None:
    kid = publish()
    new, old = told("rotate", "--wait", str(keys.WAIT_SECONDS_MIN))
    assert (new["kid"], new["state"], old["state"], old["is_trusted"]) == (kid, "active", "retired", True)
    [entry] = entries()
    assert (entry.event, entry.actor, entry.facts) == ("key.rotated", operator.name(), {"kid": kid})


def test_a_key_that_somebody_else_may_have_is_void_at_once(shop: Shop, anonymous: Client) -> None:
    register(anonymous)
    tokens = Tokens.of(login(anonymous))
    assert me(anonymous, tokens.access).status_code == 200
    old = signer(tokens.access)
    activate(publish())
    assert orders_keys("retire", old).stdout == f"{old} is not trusted any more\n"
    eventually(lambda: me(anonymous, tokens.access).status_code == 401, "its tokens are void", 5)
    assert orders_keys("retire", old).exit_code == 0, "again is no error"
    retired = [entry.facts for entry in entries() if entry.event == "key.retired"]
    assert retired == [{"kid": old}], "and no event"
    assert me(anonymous, Tokens.of(refresh(anonymous, tokens.refresh)).access).status_code == 200


def test_a_published_key_can_be_withdrawn(anonymous: Client) -> None:
    kid = publish()
    assert orders_keys("retire", kid).exit_code == 0
    assert publish() != kid


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["retire", "unknown"], 1, "There is no key unknown."),
        (["retire", "THE ACTIVE ONE"], 1, "is the one that signs: rotate first, then retire it."),
        (["rotate", "--wait", "1"], 2, "--wait"),
        (["rotate", "--wait", "soon"], 2, "Invalid value for '--wait'"),
        (["retire"], 2, "KID"),
    ],
)
def test_what_cannot_be_done_is_told_in_words(shop: Shop, arguments: list[str], code: int, complaint: str) -> None:
    [[active]] = shop.world.sql("SELECT kid FROM signing_keys WHERE state = 'active'")
    command = [sys.executable, "-m", "ops", "keys", *(each.replace("THE ACTIVE ONE", active) for each in arguments)]
    done = subprocess.run(command, env=os.environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert complaint in done.stderr and "Traceback" not in done.stderr


def test_of_two_rotations_at_once_one_is_told_that_the_other_was_first() -> None:
    kid = publish()
    activate(kid)
    with pytest.raises(Exception, match="is not published any more; nothing was changed"):
        activate(kid)
    assert [each["state"] for each in told("ls")] == ["active", "retired"]


@pytest.fixture
def processes(shop: Shop) -> Iterator[str]:
    """The URL of two real API processes."""
    with api_processes(2) as url:
        yield url


class Visitor(threading.Thread):
    """Logs in, refreshes again and again, and shows every token at once to whoever answers, until told to stop."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__()
        self._url = url
        self._stop_asked = stop
        self.statuses: Counter[int] = Counter()
        self.signers: set[str] = set()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            with Client(self._url, None, None) as client:
                tokens = Tokens.of(login(client))
                for _ in range(20):
                    self._show(tokens.access)
                    tokens = Tokens.of(refresh(client, tokens.refresh))

    def _show(self, token: str) -> None:
        self.signers.add(signer(token))
        for _ in range(3):  # each on a connection of its own, so that either process is asked
            with Client(self._url, None, None) as client:
                self.statuses[me(client, token).status_code] += 1


@pytest.mark.timeout(120)
def test_s14_a_rotation_under_load_gives_nobody_a_401(processes: str, anonymous: Client) -> None:
    register(anonymous)
    stop = threading.Event()
    visitors: Sequence[Visitor] = [Visitor(processes, stop) for _ in range(CLIENTS)]
    for visitor in visitors:
        visitor.start()
    try:
        for _ in range(2):
            told("rotate", "--wait", str(keys.WAIT_SECONDS_MIN))
            time.sleep(2)
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join()
    statuses = sum((visitor.statuses for visitor in visitors), Counter())
    assert statuses.keys() == {200}, statuses
    assert statuses[200] > 100
    assert len(set().union(*(visitor.signers for visitor in visitors))) == 3, "tokens of every key were shown"


def test_s19_in_real_processes_too_a_logout_ends_the_access_tokens(processes: str, anonymous: Client) -> None:
    register(anonymous)
    tokens = Tokens.of(login(anonymous))

    def answers(times: int) -> set[int]:
        """Each on a connection of its own."""
        found = set()
        for _ in range(times):
            with Client(processes, None, None) as client:
                found.add(me(client, tokens.access).status_code)
        return found

    assert answers(30) == {200}
    logout(anonymous, tokens.refresh)
    time.sleep(LOOK_SECONDS)
    eventually(lambda: answers(10) == {401}, "nobody believes it any more", 5 - LOOK_SECONDS)
    assert answers(30) == {401}
