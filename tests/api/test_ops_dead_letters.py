"""Dead letters over HTTP: staff see them, read them, and resolve each once."""

import json
from typing import Any

import pytest
from api_client import Client, Shop, assert_problem, pages

from models import dead_letters, outbox
from models.identity.permissions import Role
from runtime import database

LETTERS = "/v1/ops/dead-letters"


def bury(shop: Shop, kind: str | None = None, trace: str | None = "Traceback …") -> int:
    """What is due becomes a dead letter; returns its id."""
    if kind is not None:
        with database.transaction() as connection:
            outbox.put(connection, kind)
    rows = [row.id for row in shop.world.due()]
    with database.transaction() as connection:
        dead_letters.bury(connection, rows, "ValueError: it did not work", trace, shop.world.policy)
    return int(shop.world.sql("SELECT max(id) FROM dead_letters")[0][0])


def failed_order(shop: Shop, client: Client) -> tuple[str, int]:
    """The path of an order that failed, and its letter."""
    return client.order().headers["Location"], bury(shop)


def resolve(client: Client, letter: int, how: str, **body: Any) -> Any:
    return client.post(f"{LETTERS}/{letter}/{how}", json=body)


def test_staff_sees_what_went_wrong_and_in_one_letter_also_where(shop: Shop, as_staff: Client) -> None:
    path, letter = failed_order(shop, as_staff)
    [listed] = as_staff.get(LETTERS).json()["data"]
    assert (listed["id"], listed["kind"], listed["attempts"]) == (letter, "orders.confirm", 0)
    assert (listed["error"], listed["origin"]) == ("ValueError: it did not work", "outbox")
    assert listed["links"] == {"self": f"{LETTERS}/{letter}", "order": path}
    assert "traceback" not in listed
    assert as_staff.get(f"{LETTERS}/{letter}").json() == listed | {"traceback": "Traceback …"}


def test_a_failed_order_is_retried_by_a_replay_and_the_same_answer_comes_again(shop: Shop, as_staff: Client) -> None:
    path, letter = failed_order(shop, as_staff)
    first = resolve(as_staff, letter, "replay", reason="mended")
    assert first.status_code == 200, first.text
    told = first.json()
    assert (told["resolved_how"], told["resolved_by"]) == ("retried", str(as_staff.user.id))
    assert (told["resolved_because"], told["resolved_at"] is not None) == ("mended", True)
    assert resolve(as_staff, letter, "replay").json() == told
    shop.world.work_until_idle()
    events = as_staff.get(f"{path}/events").json()["data"]
    assert [event["to_status"] for event in events][:3] == ["pending", "failed", "pending"]
    assert (events[2]["actor"], events[2]["reason"]) == ("staff", "mended")
    assert events[2]["request_id"] == first.headers["X-Request-ID"]
    assert as_staff.get(path).json()["status"] == "delivered"


def test_a_replay_needs_no_body(shop: Shop, as_admin: Client) -> None:
    letter = bury(shop, "rollups.fold")
    answer = as_admin.post(f"{LETTERS}/{letter}/replay")
    assert (answer.status_code, answer.json()["resolved_how"]) == (200, "replayed")
    assert [row.kind for row in shop.world.due()] == ["rollups.fold"]


def test_a_letter_is_discarded_for_a_reason(shop: Shop, as_staff: Client) -> None:
    path, letter = failed_order(shop, as_staff)
    told = resolve(as_staff, letter, "discard", reason="bought elsewhere").json()
    assert (told["resolved_how"], told["resolved_because"]) == ("discarded", "bought elsewhere")
    assert resolve(as_staff, letter, "discard", reason="another").json() == told
    assert as_staff.get(path).json()["status"] == "failed"
    assert as_staff.get(LETTERS).json()["data"] == []


def test_what_was_resolved_otherwise_is_a_conflict_that_says_how(shop: Shop, as_staff: Client) -> None:
    discarded, replayed = failed_order(shop, as_staff)[1], failed_order(shop, as_staff)[1]
    resolve(as_staff, discarded, "discard", reason="no")
    resolve(as_staff, replayed, "replay")
    problem = assert_problem(resolve(as_staff, discarded, "replay"), 409, "letter_resolved")
    assert problem["resolved_how"] == "discarded"
    problem = assert_problem(resolve(as_staff, replayed, "discard", reason="no"), 409, "letter_resolved")
    assert problem["resolved_how"] == "retried"


def test_a_letter_of_a_message_cannot_be_replayed(shop: Shop, as_staff: Client) -> None:
    with database.transaction() as connection:
        dead_letters.note_message(connection, "nobody-can", "no task has this name")
    [letter] = as_staff.get(LETTERS).json()["data"]
    assert (letter["origin"], letter["links"]["order"]) == ("message", None)
    assert_problem(resolve(as_staff, letter["id"], "replay"), 409, "nothing_to_replay")


def test_the_pages_hold_every_letter_once_and_the_newest_first(shop: Shop, as_staff: Client) -> None:
    made = [bury(shop, f"kind-{number}") for number in range(5)]
    walked = [letter["id"] for page in pages(as_staff, f"{LETTERS}?limit=2") for letter in page]
    assert walked == made[::-1]


def test_filters_narrow_the_list(shop: Shop, as_staff: Client) -> None:
    path, of_order = failed_order(shop, as_staff)
    tick = bury(shop, "rollups.fold")
    resolve(as_staff, tick, "discard", reason="no")

    def ids(**parameters: str) -> list[int]:
        return [letter["id"] for letter in as_staff.get(LETTERS, params=parameters).json()["data"]]

    assert ids() == ids(state="open") == [of_order]
    assert ids(state="resolved") == [tick]
    assert ids(state="all") == [tick, of_order]
    assert ids(state="all", kind="rollups.fold") == [tick]
    assert ids(state="all", order_id=path.rpartition("/")[2]) == [of_order]
    since = as_staff.get(f"{LETTERS}/{tick}").json()["last_at"]
    assert ids(state="all", since=since) == [tick]
    assert ids(state="all", since="2100-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    [
        "state=closed",
        "kind=",
        "kind=%00",
        "kind=é",
        "order_id=7",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "since=0001-01-01T00:00:00%2B23:59",
        "since=9999-12-31T23:59:59-23:59",
        "limit=0",
        "limit=101",
    ],
)
def test_a_filter_that_cannot_be_understood_is_refused(as_staff: Client, query: str) -> None:
    problem = assert_problem(as_staff.get(f"{LETTERS}?{query}"), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == query.partition("=")[0]


def test_a_cursor_belongs_to_its_caller_and_its_filters(shop: Shop, as_staff: Client, as_admin: Client) -> None:
    bury(shop, "a")
    bury(shop, "b")
    cursor = as_staff.get(f"{LETTERS}?limit=1").json()["next_cursor"]
    assert as_staff.get(LETTERS, params={"cursor": cursor}).status_code == 200
    assert_problem(as_staff.get(LETTERS, params={"cursor": cursor, "state": "all"}), 400, "invalid_cursor")
    assert_problem(as_admin.get(LETTERS, params={"cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize("letter", ["0", "-1", "07", "x", "1.5", "٣", "9" * 18, "9" * 30, "%00"])
def test_what_is_no_letter_is_missing(as_staff: Client, letter: str) -> None:
    assert_problem(as_staff.get(f"{LETTERS}/{letter}"), 404, "not_found")
    assert_problem(as_staff.post(f"{LETTERS}/{letter}/replay"), 404, "not_found")
    assert_problem(as_staff.post(f"{LETTERS}/{letter}/discard", json={"reason": "x"}), 404, "not_found")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": None}, {"reason": "x" * 501}, {"reason": 1}])
def test_a_discard_needs_a_reason(shop: Shop, as_staff: Client, body: object) -> None:
    letter = bury(shop, "a")
    answer = as_staff.post(f"{LETTERS}/{letter}/discard", json=body)
    assert_problem(answer, 422, "invalid_request")
    assert as_staff.get(f"{LETTERS}/{letter}").json()["resolved_at"] is None


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"reason": "\xff"}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"reason": ""}', "application/json", 422),
        (b'{"why": "x"}', "application/json", 422),
    ],
)
def test_a_replay_with_a_bad_body_is_refused_and_resolves_nothing(
    shop: Shop, as_staff: Client, content: bytes, media_type: str, status: int
) -> None:
    letter = bury(shop, "a")
    sent = {"Content-Type": media_type}
    assert_problem(as_staff.post(f"{LETTERS}/{letter}/replay", content=content, headers=sent), status)
    assert as_staff.get(f"{LETTERS}/{letter}").json()["resolved_at"] is None


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.ANALYST])
def test_only_staff_and_admins_have_to_do_with_dead_letters(shop: Shop, role: Role) -> None:
    letter, client = bury(shop, "a"), shop.client_as(role)
    assert_problem(client.get(LETTERS), 403, "forbidden")
    assert_problem(client.get(f"{LETTERS}/{letter}"), 403, "forbidden")
    assert_problem(resolve(client, letter, "replay"), 403, "forbidden")
    assert_problem(resolve(client, letter, "discard", reason="x"), 403, "forbidden")
    assert shop.world.sql("SELECT resolved_at FROM dead_letters")[0][0] is None


def test_s39_no_letter_quotes_a_row(shop: Shop, as_staff: Client) -> None:
    """PostgreSQL's DETAIL would: `Failing row contains (BOWL, canary…)`."""
    shop.world.product("CANARY", name="canary-4711", on_hand=10)
    as_staff.order("CANARY", metadata={"note": "canary-4711"})
    shop.world.sql("ALTER TABLE products ADD CONSTRAINT locked_up CHECK (reserved = 0)")
    try:
        shop.world.sql("UPDATE outbox SET attempts = 7")
        shop.world.work("orders.confirm")
    finally:
        shop.world.sql("ALTER TABLE products DROP CONSTRAINT locked_up")
    [listed] = as_staff.get(LETTERS).json()["data"]
    letter = as_staff.get(listed["links"]["self"]).json()
    assert "locked_up" in letter["error"] and "advance" in letter["traceback"]
    assert "canary" not in json.dumps(letter).lower() and "DETAIL" not in letter["traceback"]
