"""Guessing passwords (S5): throttled by account and by address, while the owner still gets in.

Against two APIs on one database and one broker, behind a proxy (the test) that says whom it passes on.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from os import environ
from typing import Any

import httpx2
import pytest
from api_client import Client, assert_problem
from api_server import Server, serving
from at_once import at_once
from logins import ADA, Tokens, change_password, login, register
from second_factors import Enrolled
from world import World, forget_counts

from api.app import create_app
from ops.processes import ports
from runtime import settings

PASSWORD = "correct horse battery"
TRIES, TRIES_PER_ACCOUNT, PER_ADDRESS = 3, 12, 20
RATES = {
    "LOGIN_TRIES": f"{TRIES}/hour",
    "LOGIN_TRIES_PER_ACCOUNT": f"{TRIES_PER_ACCOUNT}/hour",
    "LOGINS_PER_ADDRESS": f"{PER_ADDRESS}/hour",
    "REGISTRATIONS_PER_ADDRESS": "2/hour",
    "REFRESHES_PER_ADDRESS": "4/hour",
}
HOME, ELSEWHERE, EVIL = "192.0.2.1", "192.0.2.2", "198.51.100.6"


@contextmanager
def apis(number: int, **more: str) -> Iterator[list[Server]]:
    configured = settings.read({**environ, **RATES, "TRUSTED_PROXIES": "127.0.0.1", **more})
    with ExitStack() as stack:
        yield [stack.enter_context(serving(create_app(configured))) for _ in range(number)]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    with apis(2) as running:
        yield running


@pytest.fixture
def visit(world: World, servers: list[Server]) -> "Visit":
    forget_counts()
    return Visit(servers)


class Visit:
    """Requests from any address, to one API and then to the other."""

    def __init__(self, servers: list[Server]) -> None:
        self._urls = [server.url for server in servers]

    def post(self, path: str, body: dict[str, Any], address: str, api: int | None = None) -> httpx2.Response:
        if api is None:
            self._urls.reverse()
        url = self._urls[api or 0]
        headers = {"X-Forwarded-For": address}
        return httpx2.post(f"{url}/v1/auth/{path}", json=body, headers=headers, timeout=30, trust_env=False)

    def log_in(self, email: str, address: str, password: str = PASSWORD, api: int | None = None) -> httpx2.Response:
        return self.post("login", {"email": email, "password": password}, address, api)

    def guess(self, email: str, address: str) -> int:
        return self.log_in(email, address, "wrong wrong").status_code

    def account(self, name: str, address: str) -> str:
        email = f"{name}@example.com"
        assert self.post("register", {"email": email, "password": PASSWORD}, address).status_code == 201
        return email


def until_refused(visit: Visit, email: str, address: str) -> httpx2.Response:
    """The first refusal of somebody who guesses without a pause."""
    for _ in range(100):
        answer = visit.log_in(email, address, "wrong wrong")
        if answer.status_code == 429:
            return answer
    raise AssertionError("nobody stops them")


def test_s5_guesses_at_an_account_are_slowed_down_whichever_process_they_come_to(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    assert [visit.guess(email, EVIL) for _ in range(TRIES + 3)] == [401] * (TRIES + 1) + [429] * 2


def test_s5_a_refusal_says_for_how_long_and_nothing_else(visit: Visit) -> None:
    known, unknown = visit.account("ada", HOME), "nobody@example.com"
    refusals = [until_refused(visit, email, EVIL) for email in (known, unknown)]
    for refusal in refusals:
        problem = assert_problem(refusal, 429, "rate_limited")
        assert 1 <= int(refusal.headers["Retry-After"]) <= 2
        assert "@" not in refusal.text
    details = [{**refusal.json(), "request_id": None} for refusal in refusals]
    assert details[0] == details[1]
    assert problem["detail"]


def test_s5_while_one_waits_even_the_right_password_is_not_looked_at(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    until_refused(visit, email, EVIL)
    assert visit.log_in(email, EVIL).status_code == 429


def test_s5_each_delay_is_longer_than_the_last_and_each_ends(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    delays = []
    refusal = until_refused(visit, email, EVIL)
    for _ in range(2):
        delays.append(int(refusal.headers["Retry-After"]))
        time.sleep(delays[-1])
        assert visit.guess(email, EVIL) == 401
        refusal = visit.log_in(email, EVIL)
        assert refusal.status_code == 429
    delays.append(int(refusal.headers["Retry-After"]))
    assert delays == sorted(delays) and delays[-1] >= 4 * delays[0]


def test_s5_after_a_delay_the_right_password_is_taken_and_all_is_forgotten(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    time.sleep(int(until_refused(visit, email, EVIL).headers["Retry-After"]))
    assert visit.log_in(email, EVIL).status_code == 200
    assert [visit.guess(email, EVIL) for _ in range(TRIES)] == [401] * TRIES


def test_s5_the_owner_gets_in_from_elsewhere_while_somebody_guesses(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    for _ in range(3 * TRIES_PER_ACCOUNT):
        visit.guess(email, EVIL)
    for address in (HOME, ELSEWHERE):
        assert visit.log_in(email, address).status_code == 200


def test_s5_guesses_from_everywhere_are_slowed_down_and_the_owner_gets_in_from_where_they_were(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    assert visit.log_in(email, HOME).status_code == 200
    guessed = [visit.guess(email, f"198.51.100.{number}") for number in range(3 * TRIES_PER_ACCOUNT)]
    assert 429 in guessed
    assert guessed.count(401) <= TRIES_PER_ACCOUNT + 2
    assert visit.log_in(email, HOME).status_code == 200
    assert visit.guess("eve@example.com", "198.51.100.200") == 401


def test_s5_a_right_password_without_a_right_code_is_a_try_like_any_other(visit: Visit, world: World) -> None:
    account = {"email": visit.account("ada", HOME), "password": PASSWORD}
    phone = Enrolled.named(world, account["email"]).phone
    wrong, right = account | {"totp_code": phone.wrong_code()}, account | {"totp_code": phone.code()}

    def tries(body: dict[str, str], address: str, number: int) -> list[str]:
        return [visit.post("login", body, address).json()["code"] for _ in range(number)]

    assert tries(account, EVIL, TRIES + 2) == ["mfa_required"] * (TRIES + 1) + ["rate_limited"]
    assert tries(wrong, ELSEWHERE, TRIES + 2) == ["invalid_mfa_code"] * (TRIES + 1) + ["rate_limited"]
    assert visit.post("login", right, ELSEWHERE).status_code == 429, "not even the right one is looked at now"
    assert tries(account, HOME, TRIES) == ["mfa_required"] * TRIES
    assert visit.post("login", right, HOME).status_code == 200
    assert tries(account, HOME, TRIES) == ["mfa_required"] * TRIES, "the right one makes the others forgotten"


def test_s5_one_address_cannot_try_one_password_at_many_accounts(visit: Visit) -> None:
    guessed = [visit.guess(f"user{number}@example.com", EVIL) for number in range(PER_ADDRESS + 3)]
    assert guessed == [401] * (PER_ADDRESS + 1) + [429] * 2
    assert visit.guess("user1@example.com", ELSEWHERE) == 401


def test_s5_all_addresses_of_one_ipv6_network_are_one(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    guessed = [visit.guess(email, f"2001:db8:1:2::{number:x}") for number in range(TRIES + 2)]
    assert guessed[-1] == 429
    assert visit.guess(email, "2001:db8:1:3::1") == 401


def test_s5_an_account_is_one_however_its_address_is_spelled(visit: Visit) -> None:
    visit.account("ada", HOME)
    spelled = ["ada@example.com", "ADA@example.com", " ada@example.com ", "\uff41da@example.com", "Ada@Example.com"]
    assert [visit.guess(email, EVIL) for email in spelled][-1] == 429


def test_s5_guesses_that_come_at_once_are_counted_before_any_is_verified(visit: Visit) -> None:
    email = visit.account("ada", HOME)
    guesses = [partial(visit.log_in, email, EVIL, "wrong wrong", number % 2) for number in range(24)]
    answers = at_once(*guesses)
    assert sum(answer.status_code == 401 for answer in answers) <= TRIES + 1
    assert sum(answer.status_code == 429 for answer in answers) >= 24 - TRIES - 1


def test_s5_there_is_a_limit_for_all_logins_together(world: World) -> None:
    forget_counts()
    with apis(1, LOGINS="5/hour") as running:
        visit = Visit(running)
        email = visit.account("ada", HOME)
        assert visit.log_in(email, HOME).status_code == 200
        guessed = [visit.guess(f"user{number}@example.com", f"198.51.100.{number}") for number in range(6)]
        assert guessed == [401] * 3 + [429] * 3
        assert visit.log_in(email, HOME).status_code == 200, "who is known there is not shut out by others"


def test_s5_registrations_from_one_address_are_limited(visit: Visit) -> None:
    visit.account("ada", EVIL)
    visit.account("eve", EVIL)
    refused = visit.post("register", {"email": "mallory@example.com", "password": PASSWORD}, EVIL)
    assert_problem(refused, 429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 60
    visit.account("mallory", ELSEWHERE)


def test_s5_guessing_refresh_tokens_is_limited(visit: Visit) -> None:
    answers = [visit.post("refresh", {"refresh_token": "x" * 43}, EVIL).status_code for _ in range(5)]
    assert answers == [401] * 4 + [429]
    assert visit.post("logout", {"refresh_token": "x" * 43}, EVIL).status_code == 429


def test_s6_without_a_broker_guesses_are_slowed_down_all_the_same(world: World) -> None:
    with apis(1, BROKER_URL=f"redis://127.0.0.1:{ports.free()}/0") as running:
        visit = Visit(running)
        email = visit.account("ada", HOME)
        assert [visit.guess(email, EVIL) for _ in range(TRIES + 3)] == [401] * (TRIES + 1) + [429] * 2
        assert visit.log_in(email, HOME).status_code == 200


def test_s5_who_holds_a_token_cannot_guess_the_present_password_with_it(world: World) -> None:
    forget_counts()
    with apis(1) as [server], Client(server.url, None, None) as client:
        ada, eve = (Tokens.of(login(client, email=email)).access for email in accounts(client, "ada", "eve"))
        guesses = [change_password(client, ada, "wrong wrong", "an evening in june") for _ in range(TRIES + 3)]
        assert [guess.status_code for guess in guesses] == [403] * (TRIES + 1) + [429] * 2
        assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 2
        assert_problem(change_password(client, ada, ADA["password"], "an evening in june"), 429, "rate_limited")
        assert change_password(client, eve, ADA["password"], "an evening in june").status_code == 204
        time.sleep(int(guesses[-1].headers["Retry-After"]))
        assert change_password(client, ada, ADA["password"], "an evening in june").status_code == 204
        again = [change_password(client, ada, "wrong wrong", "a night in july").status_code for _ in range(TRIES)]
        assert again == [403] * TRIES, "the right one makes the others forgotten"
        at_the_second_factor = [begin_totp(client, ada, "wrong wrong").status_code for _ in range(2)]
        assert at_the_second_factor == [403, 429], "it is the same password there"


def begin_totp(client: Client, token: str, password: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return client.post("/v1/users/me/mfa/totp", json={"password": password}, headers=headers)


def accounts(client: Client, *names: str) -> list[str]:
    emails = [f"{name}@example.com" for name in names]
    for email in emails:
        assert register(client, email=email).status_code == 201
    return emails
