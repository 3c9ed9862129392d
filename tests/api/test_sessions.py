"""Sessions: what keeps somebody logged in, for how long, and what ends it (S16, S17, S18)."""

import base64
from datetime import timedelta

import pytest
from api_client import Client, Shop, assert_problem
from at_once import at_once
from logins import ADA, Tokens, login, logout, me, refresh, register

from models.identity.refresh_tokens import GRACE

REFUSED = (401, "invalid_refresh_token")


@pytest.fixture
def first(anonymous: Client) -> Tokens:
    """What Ada's login brought her."""
    register(anonymous)
    return Tokens.of(login(anonymous))


def exchanged(client: Client, token: str) -> Tokens:
    return Tokens.of(refresh(client, token))


def pass_time(shop: Shop, past: timedelta) -> None:
    """Let everything that sessions know of have happened so much earlier."""
    shop.world.sql(
        "UPDATE refresh_tokens SET issued_at = issued_at - :past, expires_at = expires_at - :past,"
        " used_at = used_at - :past",
        past=past,
    )
    shop.world.sql("UPDATE sessions SET began_at = began_at - :past, ends_at = ends_at - :past", past=past)


def why(shop: Shop) -> list[str | None]:
    """Why sessions ended, in the sequence in which they began."""
    return [row[0] for row in shop.world.sql("SELECT ended_because FROM sessions ORDER BY id")]


def test_s16_a_refresh_brings_a_new_pair_in_the_same_session(anonymous: Client, first: Tokens) -> None:
    second = exchanged(anonymous, first.refresh)
    assert second.refresh != first.refresh
    assert me(anonymous, second.access).status_code == me(anonymous, first.access).status_code == 200


def test_s16_refresh_tokens_have_256_bits_and_are_stored_as_digests_only(shop: Shop, first: Tokens) -> None:
    second = exchanged(shop.client(), first.refresh)
    assert [len(base64.urlsafe_b64decode(each.refresh + "=")) for each in (first, second)] == [32, 32]
    stored = str(shop.world.sql("SELECT * FROM refresh_tokens"))
    assert first.refresh not in stored and second.refresh not in stored


def test_s16_an_unused_session_ends_after_its_idle_life(shop: Shop, anonymous: Client, first: Tokens) -> None:
    pass_time(shop, timedelta(days=29))
    second = exchanged(anonymous, first.refresh)
    pass_time(shop, timedelta(days=30))
    assert_problem(refresh(anonymous, second.refresh), *REFUSED)


def test_s16_a_session_that_is_refreshed_in_time_ends_after_its_absolute_life(
    shop: Shop, anonymous: Client, first: Tokens
) -> None:
    token = first.refresh
    for _ in range(4):
        pass_time(shop, timedelta(days=20))
        token = exchanged(anonymous, token).refresh
    [[left]] = shop.world.sql("SELECT max(expires_at) - now() FROM refresh_tokens")
    assert left < timedelta(days=10), "no token promises more than its session has"
    pass_time(shop, timedelta(days=10))
    assert_problem(refresh(anonymous, token), *REFUSED)


def test_s16_no_token_outlives_its_session_whatever_it_promised(shop: Shop, anonymous: Client, first: Tokens) -> None:
    shop.world.sql("UPDATE sessions SET ends_at = now()")
    assert_problem(refresh(anonymous, first.refresh), *REFUSED)
    assert why(shop) == [None], "it was over; nobody ended it"


@pytest.mark.parametrize("made_up", ["x", "\u00e9", "x" * 256])
def test_a_made_up_refresh_token_is_refused_as_a_token(anonymous: Client, made_up: str) -> None:
    response = refresh(anonymous, made_up)
    assert_problem(response, *REFUSED)
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_s17_a_spent_token_that_comes_again_ends_its_session_and_no_other(
    shop: Shop, anonymous: Client, first: Tokens
) -> None:
    other = Tokens.of(login(anonymous))
    second = exchanged(anonymous, first.refresh)
    pass_time(shop, GRACE)
    assert_problem(refresh(anonymous, first.refresh), *REFUSED)
    assert_problem(refresh(anonymous, second.refresh), *REFUSED)
    assert why(shop) == ["reuse", None]
    recorded = "SELECT user_id = (SELECT user_id FROM sessions LIMIT 1) FROM audit_log WHERE event = 'refresh.reused'"
    assert shop.world.sql(recorded) == [(True,)], "once: then the session was over"
    assert refresh(anonymous, other.refresh).status_code == 200


def test_s17_a_spent_token_whose_successor_was_used_ends_its_session_at_once(
    shop: Shop, anonymous: Client, first: Tokens
) -> None:
    third = exchanged(anonymous, exchanged(anonymous, first.refresh).refresh)
    assert_problem(refresh(anonymous, first.refresh), *REFUSED)
    assert_problem(refresh(anonymous, third.refresh), *REFUSED)
    assert why(shop) == ["reuse"]


def test_s18_who_did_not_get_the_answer_gets_the_same_successor_again(
    shop: Shop, anonymous: Client, first: Tokens
) -> None:
    lost = exchanged(anonymous, first.refresh)
    pass_time(shop, GRACE - timedelta(seconds=5))
    again = exchanged(anonymous, first.refresh)
    assert again.refresh == lost.refresh
    assert me(anonymous, again.access).status_code == 200
    third = exchanged(anonymous, again.refresh)
    assert refresh(anonymous, third.refresh).status_code == 200
    assert why(shop) == [None]


def test_s18_after_the_secret_was_changed_a_lost_answer_is_lost_and_the_session_goes_on(
    shop: Shop, anonymous: Client, first: Tokens
) -> None:
    """The salt stands for what takes part in making a successor."""
    second = exchanged(anonymous, first.refresh)
    shop.world.sql("UPDATE refresh_tokens SET salt = 'another' WHERE used_at IS NOT NULL")
    assert_problem(refresh(anonymous, first.refresh), *REFUSED)
    assert refresh(anonymous, second.refresh).status_code == 200


def test_s18_of_ten_exchanges_at_once_all_get_the_same_successor(shop: Shop, first: Tokens) -> None:
    clients = [shop.client() for _ in range(10)]
    answers = at_once(*(lambda client=client: exchanged(client, first.refresh) for client in clients))
    assert len({each.refresh for each in answers}) == 1
    assert shop.world.sql("SELECT count(*) FILTER (WHERE used_at IS NULL) FROM refresh_tokens") == [(1,)]


def test_a_disabled_user_can_neither_log_in_nor_refresh(shop: Shop, anonymous: Client, first: Tokens) -> None:
    shop.world.sql("UPDATE users SET disabled_at = now()")
    assert_problem(login(anonymous), 401, "invalid_credentials")
    assert_problem(refresh(anonymous, first.refresh), *REFUSED)


def test_logout_ends_the_session_and_only_that(shop: Shop, anonymous: Client, first: Tokens) -> None:
    other = Tokens.of(login(anonymous))
    successor = exchanged(anonymous, first.refresh)
    ended = logout(anonymous, successor.refresh)
    assert (ended.status_code, ended.content) == (204, b"")
    for token in (first.refresh, successor.refresh):
        assert_problem(refresh(anonymous, token), *REFUSED)
    assert refresh(anonymous, other.refresh).status_code == 200
    assert why(shop) == ["logout", None]


def test_logging_out_with_a_spent_token_ends_the_session_too(anonymous: Client, first: Tokens) -> None:
    successor = exchanged(anonymous, first.refresh)
    assert logout(anonymous, first.refresh).status_code == 204
    assert_problem(refresh(anonymous, successor.refresh), *REFUSED)


def test_logging_out_of_nothing_is_no_error(anonymous: Client, first: Tokens) -> None:
    assert logout(anonymous, "unknown").status_code == 204
    assert [logout(anonymous, first.refresh).status_code for _ in range(2)] == [204, 204]


def test_who_logs_in_twice_has_two_sessions(shop: Shop, anonymous: Client, first: Tokens) -> None:
    assert Tokens.of(login(anonymous)).refresh != first.refresh
    assert shop.world.sql("SELECT count(*), count(DISTINCT user_id) FROM sessions") == [(2, 1)]
    assert ADA["email"] not in str(shop.world.sql("SELECT * FROM sessions"))
