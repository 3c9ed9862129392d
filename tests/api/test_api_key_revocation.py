"""What ends or narrows an API key is known within 5 s in every process that remembers it (S19)."""

import time
from datetime import timedelta
from typing import Any

import pytest
from api_client import Client, Shop, assert_problem
from api_server import Server
from key_holders import KEYS, key_of, person, rotated_by, service, showing
from running_system import eventually

from api.identity.lookout import LOOK_SECONDS
from models.audit_log import NOBODY
from models.identity import accounts, api_key_desk, api_key_secrets
from models.identity.api_key_desk import NewKey, Rotation
from models.identity.permissions import Role
from models.identity.users import User
from runtime import database
from runtime.database import Role as DatabaseRole

REVOKED_SECONDS = 5.0


class Machine:
    """Shows one key to every process."""

    def __init__(self, urls: list[str], made: NewKey) -> None:
        self.key = made.key
        self._urls = urls
        self._made = made

    def statuses(self, path: str = "/v1/users/me") -> set[int]:
        found = set()
        for url in self._urls:
            with showing(url, self._made) as client:
                found.add(client.get(path).status_code)
        return found

    def becomes(self, status: int, path: str = "/v1/users/me") -> None:
        eventually(lambda: self.statuses(path) == {status}, f"{status} everywhere", REVOKED_SECONDS)


@pytest.fixture
def urls(shop: Shop, second_server: Server) -> list[str]:
    return [shop.url, second_server.url]


def machine_of(urls: list[str], owner: User, **how: Any) -> Machine:
    """With a key that every process has seen."""
    machine = Machine(urls, key_of(owner, **how))
    assert machine.statuses() == {200}
    return machine


def change(shop: Shop, user: User, **wanted: object) -> None:
    answer = shop.client_as(Role.ADMIN).patch(f"/v1/users/{user.id}", json=wanted)
    assert answer.status_code == 200, answer.text


def test_s19_a_revoked_key_is_refused_everywhere_and_no_other_is(shop: Shop, urls: list[str]) -> None:
    ada = person()
    revoked, other = machine_of(urls, ada), machine_of(urls, ada)
    unseen = key_of(ada)
    as_ada = shop.client(ada)
    for key in (revoked.key, unseen.key):
        assert as_ada.delete(f"{KEYS}/{key.id}").status_code == 204
    revoked.becomes(401)
    assert Machine(urls, unseen).statuses() == {401}
    assert other.statuses() == {200}
    assert as_ada.get("/v1/users/me").status_code == 200


def test_s19_a_key_that_was_rotated_without_overlap_is_refused_everywhere(shop: Shop, urls: list[str]) -> None:
    ada = person()
    old = machine_of(urls, ada)
    new = rotated_by(shop.client(ada), old.key.id, overlap_seconds=0).json()["secret"]
    old.becomes(401)
    with Client(urls[1], None, new) as client:
        assert client.get("/v1/users/me").status_code == 200


def test_s19_a_rotated_key_is_good_everywhere_until_the_overlap_is_over(urls: list[str]) -> None:
    robot = service()
    old = machine_of(urls, robot)
    with database.transaction(DatabaseRole.API) as connection:
        wanted = Rotation(timedelta(seconds=2.5), timedelta(days=1))
        api_key_desk.rotate(connection, old.key.id, None, wanted, None, NOBODY)
    time.sleep(2 * LOOK_SECONDS)  # Every process has heard of it.
    assert old.statuses() == {200}
    old.becomes(401)


def test_s19_who_is_demoted_has_keys_that_can_do_less_at_once_and_more_again_when_promoted(
    shop: Shop, urls: list[str]
) -> None:
    staff = person(Role.STAFF)
    machine = machine_of(urls, staff)
    analytics = "/v1/analytics/status-counts"
    assert machine.statuses(analytics) == {200}
    change(shop, staff, role="customer")
    machine.becomes(403, analytics)
    assert machine.statuses() == {200}
    change(shop, staff, role="analyst")
    machine.becomes(200, analytics)


def test_s19_the_keys_of_who_is_disabled_stop_and_go_on_when_they_are_enabled(shop: Shop, urls: list[str]) -> None:
    machine = machine_of(urls, robot := service())
    change(shop, robot, disabled=True)
    machine.becomes(401)
    change(shop, robot, disabled=False)
    machine.becomes(200)


def test_s19_a_password_that_is_set_by_somebody_else_ends_the_keys_too(shop: Shop, urls: list[str]) -> None:
    ada = person()
    machine = machine_of(urls, ada)
    with database.transaction(DatabaseRole.API) as connection:
        accounts.set_password(connection, ada.id, ada.password_hash or "", NOBODY)
    machine.becomes(401)


def test_s19_a_stream_says_nothing_more_to_a_key_that_was_revoked(shop: Shop, urls: list[str]) -> None:
    ada = person()
    made = key_of(ada)
    with Client(urls[1], None, made.secret) as machine:
        order = machine.order()
        with machine.stream("GET", order.json()["links"]["stream"]) as response:
            lines = response.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: pending"
            shop.client(ada).delete(f"{KEYS}/{made.key.id}")
            Machine(urls, made).becomes(401)
            shop.world.work_until_idle()
            assert [line for line in lines if line.startswith("event:")] == []


def test_s15_every_refusal_of_a_key_is_alike(shop: Shop, urls: list[str]) -> None:
    ada = person()
    good = key_of(ada)
    ended = key_of(ada)
    shop.client(ada).delete(f"{KEYS}/{ended.key.id}")
    mistyped = good.secret[:-1] + ("0" if good.secret[-1] != "0" else "1")
    guessed = api_key_secrets.checked(f"{good.key.prefix}_{ended.secret[14:57]}")
    for shown in (ended.secret, mistyped, guessed, api_key_secrets.make(), "op_", "op_x"):
        with Client(shop.url, None, shown) as client:
            answer = client.get("/v1/users/me")
        problem = assert_problem(answer, 401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert problem["detail"] == "The access token is missing, malformed, expired or revoked."
