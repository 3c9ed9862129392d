"""What a login costs and tells: the same, whoever is asked for, and never more than we are ready to spend."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import argon2
import httpx2
import pytest
from api_client import Client, Shop, assert_problem
from api_server import Server, serving
from logins import ADA, login, register
from second_factors import Enrolled
from sqlalchemy import event

from api.app import create_app
from runtime import settings

HASHES = (argon2.low_level.hash_secret.__code__, argon2.low_level.verify_secret.__code__)


@dataclass
class Counter:
    """The hashes that are computed while it is attached to new threads: which, by whom, and how many at once."""

    hashes: list[str] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, frame: FrameType, what: str, _argument: object) -> None:
        if frame.f_code not in HASHES or what not in ("call", "return"):
            return
        with self._lock:
            self._now += 1 if what == "call" else -1
            self.most = max(self.most, self._now)
            if what == "call":
                encoded = frame.f_locals.get("hash", b"")
                self.hashes.append(encoded.decode() if isinstance(encoded, bytes) else str(encoded))
                self.threads.add(threading.current_thread().name)


@dataclass(frozen=True)
class Counted:
    """A server that nobody has asked anything yet, and what it hashes."""

    server: Server
    counter: Counter

    def log_in(self, **changed: str) -> tuple[httpx2.Response, list[str], int]:
        """The answer, the hashes and the number of statements that it took."""
        statements: list[str] = []
        engine = self.server.services.database.engine.sync_engine

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if "audit_log" not in statement:  # The trail is written behind the answer, perhaps of the login before.
                statements.append(statement)

        before = len(self.counter.hashes)
        event.listen(engine, "before_cursor_execute", note)
        try:
            with Client(self.server.url, None, None) as client:
                client.headers["X-Request-ID"] = "the-same-for-all"
                answer = login(client, **changed)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        return answer, self.counter.hashes[before:], len(statements)


@contextmanager
def counting(**configured: str) -> Iterator[Counted]:
    counter = Counter()
    threading.setprofile(counter)
    try:
        with serving(create_app(settings.read({**os.environ, **configured}))) as running:
            yield Counted(running, counter)
    finally:
        threading.setprofile(None)


@pytest.fixture
def ada(anonymous: Client) -> str:
    """Ada's id."""
    user_id: str = register(anonymous).json()["id"]
    return user_id


def stored(shop: Shop) -> str:
    password_hash: str = shop.world.sql("SELECT password_hash FROM users WHERE email = :email", email=ADA["email"])[0][
        0
    ]
    return password_hash


def wrong_login(url: str) -> httpx2.Response:
    """One try, by somebody who does not come back when they are told to."""
    with Client(url, None, None) as client:
        return client.post("/v1/auth/login", json={**ADA, **WRONG})


def without_date(response: httpx2.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headers.multi_items() if name != "date"]


UNKNOWN = {"email": "eve@example.com"}
WRONG = {"password": "something else"}


@pytest.mark.parametrize("first", ["unknown", "wrong", "disabled", "second_factor"])
def test_s7_unknown_wrong_and_disabled_are_alike_from_the_first_request_of_a_process_on(
    shop: Shop, anonymous: Client, ada: str, first: str
) -> None:
    register(anonymous, email="bob@example.com")
    shop.world.sql("UPDATE users SET disabled_at = now() WHERE email = 'bob@example.com'")
    register(anonymous, email="carol@example.com")
    Enrolled.named(shop.world, "carol@example.com")
    cases = {
        "unknown": UNKNOWN,
        "wrong": WRONG,
        "disabled": {"email": "bob@example.com"},
        "second_factor": {"email": "carol@example.com", **WRONG},
        "second_factor_and_code": {"email": "carol@example.com", **WRONG, "totp_code": "123456"},
    }
    names = [first, *(name for name in cases if name != first)]
    with counting() as counted:
        outcomes = {name: counted.log_in(**cases[name]) for name in names}
    answers = {(answer.status_code, answer.content) for answer, _, _ in outcomes.values()}
    assert len(answers) == 1
    assert_problem(outcomes["unknown"][0], 401, "invalid_credentials")
    headers = [without_date(answer) for answer, _, _ in outcomes.values()]
    assert all(each == headers[0] for each in headers)
    assert {name: (len(hashes), statements) for name, (_, hashes, statements) in outcomes.items()} == dict.fromkeys(
        cases, (1, outcomes["unknown"][2])
    )
    costs = {tuple(hashes[0].split("$")[1:4]) for _, hashes, _ in outcomes.values()}
    assert costs == {("argon2id", "v=19", "m=19456,t=2,p=1")}


@pytest.mark.parametrize("cost", ["m=131073,t=2,p=1", "m=19456,t=11,p=1", "m=19456,t=2,p=5", "m=4294967295,t=1,p=1"])
def test_s2_a_stored_hash_that_would_cost_too_much_is_refused_before_it_is_computed(
    shop: Shop, ada: str, cost: str
) -> None:
    dear = stored(shop).replace("m=19456,t=2,p=1", cost)
    shop.world.sql("UPDATE users SET password_hash = :dear", dear=dear)
    with counting() as counted:
        answer, hashes, _ = counted.log_in()
        assert_problem(answer, 401, "invalid_credentials")
        _, of_a_wrong_one, _ = counted.log_in(**UNKNOWN)
    assert hashes == of_a_wrong_one, "the decoy, at the price of everybody's"
    assert dear not in hashes


@pytest.mark.parametrize(
    "broken", ["", "$argon2id$", "$argon2id$v=19$m=x,t=2,p=1$c2FsdA$aGFzaA", "$argon2i$v=19$m=8,t=1,p=1$YQ$YQ"]
)
def test_s2_what_is_no_hash_of_ours_is_refused_at_the_price_of_one(shop: Shop, ada: str, broken: str) -> None:
    shop.world.sql("UPDATE users SET password_hash = :broken", broken=broken)
    with counting() as counted:
        answer, hashes, _ = counted.log_in()
    assert_problem(answer, 401, "invalid_credentials")
    assert len(hashes) == 1


def test_s2_a_hash_is_made_anew_at_login_when_the_parameters_rose_and_never_when_they_fell(
    shop: Shop, anonymous: Client, ada: str
) -> None:
    cheap = stored(shop)
    with counting(ARGON2_TIME_COST="3") as dearer:
        assert dearer.log_in(**WRONG)[0].status_code == 401
        assert stored(shop) == cheap, "the wrong password is no reason"
        assert dearer.log_in()[0].status_code == 200
        dear = stored(shop)
        assert "m=19456,t=3,p=1" in dear
        assert dearer.log_in()[0].status_code == 200
    assert login(anonymous).status_code == 200
    assert stored(shop) == dear


def test_s4_of_many_logins_at_once_some_are_told_to_come_back_and_the_process_goes_on(shop: Shop, ada: str) -> None:
    with counting(LOGIN_TRIES="1000/hour") as counted, Client(counted.server.url, None, None) as other:
        before, at_the_start = len(counted.counter.hashes), set(counted.counter.threads)
        with ThreadPoolExecutor(80) as threads:
            asked = [threads.submit(wrong_login, counted.server.url) for _ in range(80)]
            assert [other.get("/health/liveness").status_code for _ in range(20)] == [200] * 20
            answers = [each.result() for each in asked]
        for answer in answers:
            if answer.status_code == 503:
                assert_problem(answer, 503, "unavailable")
                assert answer.headers["Retry-After"] == "1"
            else:
                assert_problem(answer, 401, "invalid_credentials")
        assert {answer.status_code for answer in answers} == {401, 503}
        assert len(counted.counter.hashes) - before < 80
        assert counted.counter.most <= (os.cpu_count() or 1)
        assert all(name.startswith("hashing") for name in counted.counter.threads - at_the_start)
        assert counted.log_in()[0].status_code == 200
