"""One key, one order: whatever is sent again, however often and at once, has one effect and one answer."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg
import pytest
from api_client import ORDERS, Client, Shop, assert_problem, repeated

from runtime import settings

BODY = {"items": [{"sku": "BOWL", "quantity": 1}]}


def send(client: Client, *keys: str | bytes) -> httpx2.Response:
    return client.post(ORDERS, json=BODY, headers=repeated("Idempotency-Key", *keys))


def test_an_order_needs_a_key(as_customer: Client) -> None:
    assert_problem(as_customer.post(ORDERS, json=BODY), 400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, b"caf\xe9", "caf\u00e9".encode(), "a\tb", '"' + "x" * 256 + '"'])
def test_a_key_is_1_to_255_printable_ascii_characters(as_customer: Client, key: str | bytes) -> None:
    assert_problem(send(as_customer, key), 400, "idempotency_key_invalid")


@pytest.mark.parametrize("key", ["x", "x" * 255, "a b", '"', "~!@#$%^&*(),;'"])
def test_any_printable_key_will_do(as_customer: Client, key: str) -> None:
    assert send(as_customer, key).status_code == 201


def test_two_keys_are_none(as_customer: Client) -> None:
    assert_problem(send(as_customer, "one", "two"), 400, "idempotency_key_invalid")


def test_one_pair_of_quotes_is_not_part_of_the_key(as_customer: Client) -> None:
    plain, quoted, twice = (send(as_customer, key) for key in ("k", '"k"', '""k""'))
    assert quoted.content == plain.content
    assert twice.json()["id"] != plain.json()["id"]


def test_a_retry_gets_the_same_bytes_and_headers_under_a_new_request_id(shop: Shop, as_customer: Client) -> None:
    first = as_customer.order(key="k")
    shop.world.work_until_idle()
    again = as_customer.order(key="k")
    assert (again.status_code, again.content) == (201, first.content)
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert len(shop.world.orders()) == 1


def test_the_same_request_spelled_differently_is_the_same_request(as_customer: Client) -> None:
    first = as_customer.order(key="k", metadata={"a": "1", "b": "2"})
    spelled = b'{"metadata":{"b":"\\u0032","a":"1"}, "client_reference":null,\n"items":[{"quantity":1,"sku":"BOWL"}]}'
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json; charset=utf-8"}
    again = as_customer.post(ORDERS, content=spelled, headers=headers)
    assert again.content == first.content


@pytest.mark.parametrize(
    "change", [{"quantity": 2}, {"sku": "OTHER"}, {"client_reference": "x"}, {"metadata": {"a": ""}}]
)
def test_same_key_other_body_is_refused(shop: Shop, as_customer: Client, change: dict[str, object]) -> None:
    first = as_customer.order(key="k")
    assert_problem(as_customer.order(key="k", **change), 422, "idempotency_key_reused")  # type: ignore[arg-type]
    assert as_customer.order(key="k").content == first.content
    assert len(shop.world.orders()) == 1


def test_a_key_belongs_to_one_user(as_customer: Client, as_staff: Client) -> None:
    mine, theirs = as_customer.order(key="k"), as_staff.order(key="k", quantity=2)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


def test_fifty_requests_at_once_make_one_order_and_get_one_answer(shop: Shop) -> None:
    user = shop.world.user()
    clients = [shop.client(user) for _ in range(50)]
    with ThreadPoolExecutor(len(clients)) as threads:
        answers = list(threads.map(lambda client: client.order(key="k"), clients))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(shop.world.orders()) == 1
    assert [row.kind for row in shop.world.due()] == ["orders.confirm"]


def test_a_refusal_decided_after_the_claim_is_kept(shop: Shop, as_customer: Client) -> None:
    first = as_customer.order("UNKNOWN", key="k")
    problem = assert_problem(first, 422, "unknown_product")
    assert problem["errors"][0]["pointer"] == "/items/0/sku"
    shop.world.product("UNKNOWN")
    again = as_customer.order("UNKNOWN", key="k")
    assert (again.status_code, again.content) == (422, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Content-Type"] == "application/problem+json"
    assert not {"Location", "ETag"} & again.headers.keys()


@pytest.mark.parametrize("quantity", [0, 10_001])
def test_a_malformed_request_does_not_use_up_its_key(as_customer: Client, quantity: int) -> None:
    assert_problem(as_customer.order(key="k", quantity=quantity), 422, "invalid_request")
    assert as_customer.order(key="k").status_code == 201


def test_a_retry_needs_a_token_and_a_permission_like_any_request(
    shop: Shop, anonymous: Client, as_analyst: Client, as_customer: Client
) -> None:
    as_customer.order(key="k")
    assert_problem(anonymous.order(key="k"), 401, "invalid_token")
    assert_problem(as_analyst.order(key="k"), 403, "forbidden")


def test_a_key_that_somebody_else_holds_is_in_progress(shop: Shop, as_customer: Client) -> None:
    held = "INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, expires_at)"
    values = " VALUES (%s, 'POST /v1/orders', 'k', '', 201, '', now() + interval '1 hour')"
    with psycopg.connect(settings.current().database_url.get_secret_value()) as holder:
        holder.execute(held + values, [as_customer.user.id])
        waited = as_customer.order(key="k")
        assert_problem(waited, 409, "idempotency_in_progress")
        assert waited.headers["Retry-After"] == "1"
        holder.rollback()
    assert as_customer.order(key="k").status_code == 201


def test_who_waits_for_a_key_gets_its_answer(shop: Shop) -> None:
    user = shop.world.user()
    first, second = shop.client(user), shop.client(user)
    with (
        psycopg.connect(settings.current().database_url.get_secret_value()) as holder,
        ThreadPoolExecutor(2) as threads,
    ):
        holder.execute("LOCK TABLE orders IN SHARE MODE")
        answers = [threads.submit(client.order, key="k") for client in (first, second)]
        time.sleep(0.5)  # both are waiting now: one for the table, the other for the key
        holder.rollback()
        contents = {answer.result().content for answer in answers}
    assert len(contents) == len(shop.world.orders()) == 1


def test_an_expired_key_is_free_again(shop: Shop, as_customer: Client) -> None:
    first = as_customer.order(key="k")
    shop.world.sql("UPDATE idempotency_keys SET expires_at = now()")
    second = as_customer.order(key="k", quantity=2)
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]
    assert as_customer.order(key="k", quantity=2).content == second.content


def test_a_reference_names_one_order(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    first = as_customer.order(client_reference="cart 7")
    refused = as_customer.order(client_reference="cart 7", key="k")
    problem = assert_problem(refused, 409, "duplicate_reference")
    assert problem["order"] == first.headers["Location"]
    assert as_customer.order(client_reference="cart 7", key="k").content == refused.content
    assert as_staff.order(client_reference="cart 7").status_code == 201


def test_one_reference_under_many_keys_at_once_makes_one_order(shop: Shop) -> None:
    user = shop.world.user()
    clients = [shop.client(user) for _ in range(10)]
    with ThreadPoolExecutor(len(clients)) as threads:
        answers = list(threads.map(lambda client: client.order(client_reference="cart 7"), clients))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 9]
    assert {answer.json()["order"] for answer in answers if answer.status_code == 409} == {
        f"{ORDERS}/{shop.world.orders()[0].id}"
    }
