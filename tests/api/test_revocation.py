"""What is revoked is refused within 5 s in every process, and a process that cannot know believes nobody (S19)."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg
import pytest
from api_client import Client, Shop, assert_problem
from api_server import Server, serving
from logins import ADA, Tokens, change_password, login, logout, me, refresh, register
from second_factors import Enrolled

from api.app import create_app
from api.identity.lookout import LOOK_SECONDS, TRUST_SECONDS
from models.audit_log import NOBODY
from models.identity import mfa
from models.identity.permissions import Role
from runtime import database, settings

REVOKED_SECONDS = 5.0


@pytest.fixture
def everywhere(shop: Shop, second_server: Server) -> Iterator[list[Client]]:
    """Somebody who asks each process."""
    with Client(shop.url, None, None) as one, Client(second_server.url, None, None) as two:
        yield [one, two]


@pytest.fixture
def held(everywhere: list[Client]) -> Tokens:
    """What Ada's login brought her; every process has verified and remembers her access token."""
    register(everywhere[0])
    tokens = Tokens.of(login(everywhere[0]))
    assert [me(client, tokens.access).status_code for client in everywhere] == [200, 200]
    return tokens


def refused_within_5_s(clients: list[Client], token: str) -> None:
    deadline = time.monotonic() + REVOKED_SECONDS
    for client in clients:
        while (answer := me(client, token)).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert_problem(answer, 401, "invalid_token")


def ada_id(shop: Shop) -> str:
    return str(shop.world.sql("SELECT id FROM users WHERE email = :email", email=ADA["email"])[0][0])


def change(shop: Shop, **wanted: object) -> None:
    answer = shop.client_as(Role.ADMIN).patch(f"/v1/users/{ada_id(shop)}", json=wanted)
    assert answer.status_code == 200, answer.text


def test_s19_logout_ends_the_access_tokens_of_its_session_and_no_others(everywhere: list[Client], held: Tokens) -> None:
    other = Tokens.of(login(everywhere[0]))
    earlier, held = held, Tokens.of(refresh(everywhere[1], held.refresh))
    logout(everywhere[0], held.refresh)
    refused_within_5_s(everywhere, held.access)
    refused_within_5_s(everywhere, earlier.access)
    assert [me(client, other.access).status_code for client in everywhere] == [200, 200]


def test_s19_a_token_that_no_process_has_seen_yet_is_refused_too(everywhere: list[Client], held: Tokens) -> None:
    unseen = Tokens.of(refresh(everywhere[0], held.refresh))
    logout(everywhere[0], unseen.refresh)
    refused_within_5_s(everywhere, held.access)
    for client in everywhere:
        assert_problem(me(client, unseen.access), 401, "invalid_token")


def test_s19_a_process_that_starts_later_knows_what_was_revoked_before(shop: Shop, anonymous: Client) -> None:
    register(anonymous)
    tokens = Tokens.of(login(anonymous))
    logout(anonymous, tokens.refresh)
    with serving(create_app()) as later, Client(later.url, None, None) as client:
        assert_problem(me(client, tokens.access), 401, "invalid_token")


def test_s17_reuse_ends_the_access_tokens_too(everywhere: list[Client], held: Tokens) -> None:
    third = Tokens.of(refresh(everywhere[0], Tokens.of(refresh(everywhere[0], held.refresh)).refresh))
    assert_problem(refresh(everywhere[1], held.refresh), 401, "invalid_refresh_token")
    refused_within_5_s(everywhere, third.access)


def test_s19_who_is_disabled_is_out_and_enabled_again_logs_in_anew(
    shop: Shop, everywhere: list[Client], held: Tokens
) -> None:
    change(shop, disabled=True)
    refused_within_5_s(everywhere, held.access)
    assert_problem(refresh(everywhere[0], held.refresh), 401, "invalid_refresh_token")
    assert_problem(login(everywhere[0]), 401, "invalid_credentials")
    change(shop, disabled=False)
    assert_problem(refresh(everywhere[0], held.refresh), 401, "invalid_refresh_token")
    again = Tokens.of(login(everywhere[0]))
    assert [me(client, again.access).status_code for client in everywhere] == [200, 200]


def test_s19_another_role_voids_the_tokens_that_say_the_old_one_and_the_session_goes_on(
    shop: Shop, everywhere: list[Client], held: Tokens
) -> None:
    change(shop, role="analyst")
    refused_within_5_s(everywhere, held.access)
    renewed = Tokens.of(refresh(everywhere[0], held.refresh))
    for client in everywhere:
        assert me(client, renewed.access).json()["role"] == "analyst"


def test_s9_a_new_password_ends_all_other_sessions_and_this_one_goes_on(
    shop: Shop, everywhere: list[Client], held: Tokens
) -> None:
    other = Tokens.of(login(everywhere[1]))
    new = "an evening in june"
    answer = change_password(everywhere[0], held.access, ADA["password"], new)
    assert (answer.status_code, answer.content) == (204, b"")
    refused_within_5_s(everywhere, other.access)
    assert_problem(refresh(everywhere[0], other.refresh), 401, "invalid_refresh_token")
    assert [me(client, held.access).status_code for client in everywhere] == [200, 200]
    assert refresh(everywhere[0], held.refresh).status_code == 200
    assert_problem(login(everywhere[0]), 401, "invalid_credentials")
    assert login(everywhere[0], password=new).status_code == 200


def test_s19_turning_a_second_factor_on_or_off_ends_every_session_and_its_tokens(
    shop: Shop, everywhere: list[Client], held: Tokens
) -> None:
    another = Tokens.of(login(everywhere[1]))
    ada = Enrolled.named(shop.world, ADA["email"])
    for tokens in (held, another):
        refused_within_5_s(everywhere, tokens.access)
        assert_problem(refresh(everywhere[0], tokens.refresh), 401, "invalid_refresh_token")
    since = Tokens.of(login(everywhere[0], totp_code=ada.phone.code()))
    assert [me(client, since.access).status_code for client in everywhere] == [200, 200]
    with database.transaction(database.Role.API) as connection:
        mfa.reset(connection, ada.user.id, NOBODY)
    refused_within_5_s(everywhere, since.access)
    assert_problem(refresh(everywhere[0], since.refresh), 401, "invalid_refresh_token")
    assert set(shop.world.sql("SELECT ended_because FROM sessions")) == {("mfa_changed",)}
    of_the_user = shop.world.sql("SELECT epoch FROM revocations WHERE subject = :id ORDER BY id", id=ada.user.id)
    assert of_the_user == [(1,), (2,)], "what is of no session is void, too"


@pytest.mark.parametrize(
    ("current", "new", "status", "code"),
    [
        ("something else", "an evening in june", 403, "wrong_password"),
        (ADA["password"], ADA["password"], 422, "password_unchanged"),
        (ADA["password"], "password123", 422, "weak_password"),
        (ADA["password"], ADA["email"], 422, "weak_password"),
        (ADA["password"], "short", 422, "weak_password"),
        (ADA["password"], "x" * 257, 422, "invalid_request"),
        ("", "an evening in june", 422, "invalid_request"),
    ],
)
def test_s9_a_password_is_not_changed_without_the_current_one_nor_to_a_bad_one(
    shop: Shop, anonymous: Client, current: str, new: str, status: int, code: str
) -> None:
    register(anonymous)
    tokens, other = (Tokens.of(login(anonymous)) for _ in range(2))
    assert_problem(change_password(anonymous, tokens.access, current, new), status, code)
    assert login(anonymous).status_code == refresh(anonymous, other.refresh).status_code == 200


def believed_again(clients: list[Client], token: str) -> None:
    deadline = time.monotonic() + 10
    for client in clients:
        while me(client, token).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert me(client, token).status_code == 200


def test_s19_a_process_that_cannot_open_the_key_that_signs_believes_nobody_and_is_not_ready(
    shop: Shop, everywhere: list[Client], held: Tokens
) -> None:
    """As when SECRET_KEY was changed under it: its database is there, and nothing else would tell."""
    shop.world.sql("UPDATE signing_keys SET sealed_private_key = sealed_private_key || 'x' WHERE state = 'active'")
    try:
        time.sleep(TRUST_SECONDS + 1)
        for client in everywhere:
            assert_problem(me(client, held.access), 503, "unavailable")
            readiness = client.get("/health/readiness")
            assert (readiness.status_code, readiness.json()["checks"]["database"]) == (503, "failed")
    finally:
        shop.world.sql(
            "UPDATE signing_keys SET sealed_private_key = substring(sealed_private_key FOR"
            " length(sealed_private_key) - 1) WHERE state = 'active'"
        )
    believed_again(everywhere, held.access)


def test_s19_while_the_database_is_away_no_token_is_believed_and_afterwards_all_are(
    shop: Shop, everywhere: list[Client], held: Tokens
) -> None:
    name = settings.current().database_url.get_secret_value().rpartition("/")[2].partition("?")[0]
    elsewhere = settings.current().database_url.get_secret_value().replace(name, "postgres")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            time.sleep(TRUST_SECONDS + 1)
            for client in everywhere:
                answer = client.get("/v1/orders/none", headers={"Authorization": f"Bearer {held.access}"})
                assert_problem(answer, 503, "unavailable")
                assert answer.headers["Retry-After"] == "1"
                assert client.get("/health/liveness").status_code == 200
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    believed_again(everywhere, held.access)


def test_s19_a_stream_says_nothing_more_to_who_was_logged_out(
    shop: Shop, held: Tokens, everywhere: list[Client]
) -> None:
    buyer = everywhere[0]
    buyer.headers["Authorization"] = f"Bearer {held.access}"
    order = buyer.order()
    with buyer.stream("GET", order.json()["links"]["stream"]) as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: pending"
        logout(everywhere[1], held.refresh)
        refused_within_5_s(everywhere, held.access)
        shop.world.work_until_idle()
        assert [line for line in lines if line.startswith("event:")] == []


@pytest.mark.parametrize("what", ["an order", "a transition"])
def test_s19_who_waits_is_told_when_they_were_logged_out(
    shop: Shop, held: Tokens, everywhere: list[Client], what: str
) -> None:
    waiter = everywhere[0]
    waiter.headers["Authorization"] = f"Bearer {held.access}"
    order = waiter.order()
    path, headers = order.json()["links"]["self"], {"Prefer": "wait=30", "If-None-Match": order.headers["ETag"]}
    with ThreadPoolExecutor() as threads:
        if what == "an order":
            waiting = threads.submit(waiter.get, path, headers=headers)
        else:
            waiting = threads.submit(waiter.ask, path, "cancelled", {"Prefer": "wait=30"})
        time.sleep(LOOK_SECONDS)
        assert not waiting.done()
        logout(everywhere[1], held.refresh)
        assert_problem(waiting.result(timeout=REVOKED_SECONDS), 401, "invalid_token")


def test_s19_an_export_is_cut_off_when_its_reader_is_logged_out(
    shop: Shop, held: Tokens, everywhere: list[Client]
) -> None:
    """Without its last chunk: it is not to be taken for the whole list."""
    shop.world.sql(
        "INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at,"
        " placed_on, updated_at) SELECT uuidv7(), CAST(n AS text), u.id, 'delivered', 5, 'EUR', 1,"
        " jsonb_build_object('x', repeat('x', 2000)), now(), current_date, now()"
        " FROM generate_series(1, 20000) AS n, users AS u"
    )
    reader = everywhere[0]
    reader.headers.update({"Authorization": f"Bearer {held.access}", "Accept": "application/x-ndjson"})
    with reader.stream("GET", "/v1/orders") as response:
        lines = response.iter_lines()
        next(lines)
        logout(everywhere[1], held.refresh)
        refused_within_5_s(everywhere[1:], held.access)
        time.sleep(2 * LOOK_SECONDS)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(lines)
