"""API keys over HTTP: who makes them, what they are good for, and what they are not."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from api_client import Client, Shop, assert_problem, pages
from audit_trail import recorded, told
from key_holders import KEYS, PASSWORD, key_of, made_by, person, rotated_by, service, showing
from logins import login
from running_system import eventually

from models.identity.api_key_desk import LIVE_MAX, NewKey
from models.identity.permissions import FOR_KEYS, Permission, Role
from models.identity.users import User

P = Permission
NOBODY_ID = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def ada(shop: Shop) -> User:
    return person()


@pytest.fixture
def as_ada(shop: Shop, ada: User) -> Client:
    return shop.client(ada)


def use(shop: Shop, made: NewKey | str, method: str, path: str, **request: Any) -> httpx2.Response:
    secret = made if isinstance(made, str) else made.secret
    with Client(shop.url, None, secret) as client:
        return client.request(method, path, **request)


def test_a_key_is_shown_once_and_speaks_for_its_owner(shop: Shop, as_ada: Client) -> None:
    answer = made_by(as_ada, P.SEE_ACCOUNT, P.PLACE_ORDERS, P.SEE_OWN_ORDERS, expires_in_days=7)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    secret = made.pop("secret")
    assert secret.startswith(made["prefix"]) and answer.headers["Location"] == f"{KEYS}/{made['id']}"
    assert (made["user_id"], made["last_used_at"], made["revoked_at"]) == (str(as_ada.user.id), None, None)
    assert as_ada.get(f"{KEYS}/{made['id']}").json() == made
    assert as_ada.get(KEYS).json()["data"] == [made]
    assert use(shop, secret, "GET", "/v1/users/me").json()["id"] == str(as_ada.user.id)
    with Client(shop.url, None, secret) as machine:
        order = machine.order()
        assert order.status_code == 201
        assert machine.get(order.headers["Location"]).status_code == 200
    assert as_ada.get(order.headers["Location"]).status_code == 200
    assert as_ada.get(f"{order.headers['Location']}/events").json()["data"][0]["actor"] == "owner"


# A request that needs this permission and no other, made by a member of staff.
NEEDS: Mapping[Permission, tuple[str, str]] = {
    P.SEE_ACCOUNT: ("GET", "/v1/users/me"),
    P.SEE_PRODUCTS: ("GET", "/v1/products"),
    P.WRITE_PRODUCTS: ("PUT", "/v1/products/CUP"),
    P.PLACE_ORDERS: ("POST", "/v1/orders"),
    P.SEE_OWN_ORDERS: ("GET", f"/v1/orders/{NOBODY_ID}"),
    P.SEE_ALL_ORDERS: ("GET", "/v1/order-events"),
    P.MOVE_OWN_ORDERS: ("POST", f"/v1/orders/{NOBODY_ID}/transitions"),
    P.MOVE_ALL_ORDERS: ("POST", f"/v1/orders/{NOBODY_ID}/transitions"),
    P.SEE_ANALYTICS: ("GET", "/v1/analytics/status-counts"),
    P.SEE_PIPELINE: ("GET", "/v1/ops/pipeline"),
}
# The wider one lets through what the narrower one does.
WIDER = {P.SEE_OWN_ORDERS: P.SEE_ALL_ORDERS, P.MOVE_OWN_ORDERS: P.MOVE_ALL_ORDERS, P.MOVE_ALL_ORDERS: P.MOVE_OWN_ORDERS}


def test_a_key_permits_what_it_was_given_and_nothing_else(shop: Shop) -> None:
    assert NEEDS.keys() == FOR_KEYS
    staff = person(Role.STAFF)
    for given in NEEDS:
        with showing(shop.url, key_of(staff, [given])) as machine:
            for needed, (method, path) in NEEDS.items():
                refused = machine.request(method, path).status_code == 403
                assert refused == (given not in (needed, WIDER.get(needed))), (given, needed)


def test_a_key_of_staff_for_own_orders_sees_and_moves_no_others(shop: Shop, as_customer: Client) -> None:
    theirs = as_customer.order().headers["Location"]
    staff = person(Role.STAFF)
    with showing(shop.url, key_of(staff, [P.SEE_OWN_ORDERS, P.MOVE_OWN_ORDERS, P.PLACE_ORDERS])) as machine:
        assert_problem(machine.get(theirs), 404, "not_found")
        assert_problem(machine.ask(theirs, "cancelled"), 404, "not_found")
        own = machine.order().headers["Location"]
        assert [order["links"]["self"] for order in machine.get("/v1/orders").json()["data"]] == [own]
    with showing(shop.url, key_of(staff, [P.SEE_ALL_ORDERS])) as machine:
        assert machine.get(theirs).status_code == 200


NEVER = [
    ("GET", "/v1/users"),
    ("PATCH", f"/v1/users/{NOBODY_ID}"),
    ("POST", "/v1/service-accounts"),
    ("POST", "/v1/auth/password"),
    ("POST", KEYS),
    ("GET", KEYS),
    ("GET", f"{KEYS}/{NOBODY_ID}"),
    ("POST", f"{KEYS}/{NOBODY_ID}/rotate"),
    ("DELETE", f"{KEYS}/{NOBODY_ID}"),
    ("GET", "/v1/ops/dead-letters"),
    ("POST", "/v1/ops/dead-letters/1/replay"),
    ("POST", "/v1/ops/dead-letters/1/discard"),
]


def test_no_key_manages_accounts_passwords_keys_or_dead_letters(shop: Shop) -> None:
    with showing(shop.url, key_of(person(Role.ADMIN))) as machine:
        for method, path in NEVER:
            assert_problem(machine.request(method, path), 403, "forbidden")


REFUSED: list[tuple[dict[str, Any], int, str, list[str]]] = [
    ({"permissions": ["users:write"]}, 422, "invalid_request", ["/permissions/0"]),
    ({"permissions": ["api-keys:manage-own"]}, 422, "invalid_request", ["/permissions/0"]),
    ({"permissions": []}, 422, "invalid_request", ["/permissions"]),
    ({"permissions": ["orders:place", "orders:place"]}, 422, "invalid_request", ["/permissions"]),
    ({"permissions": ["analytics:read"]}, 422, "permission_not_held", []),
    ({"expires_in_days": 367}, 422, "invalid_request", ["/expires_in_days"]),
    ({"expires_in_days": 0}, 422, "invalid_request", ["/expires_in_days"]),
    ({"name": ""}, 422, "invalid_request", ["/name"]),
    ({"prefix": "op_0000000000"}, 422, "invalid_request", ["/prefix"]),
    ({"password": "something else"}, 403, "wrong_password", []),
    ({"user_id": NOBODY_ID}, 403, "forbidden", []),
]


def test_a_key_that_cannot_be_had_is_refused(shop: Shop, as_ada: Client) -> None:
    for form, status, code, pointers in REFUSED:
        given = {"permissions": ["orders:place"], **form}
        problem = assert_problem(made_by(as_ada, **given), status, code)
        assert [flaw["pointer"] for flaw in problem.get("errors", [])] == pointers, form
    assert shop.world.sql("SELECT count(*) FROM api_keys") == [(0,)]


def test_an_owner_has_so_many_keys_and_can_rotate_each_of_them(shop: Shop, ada: User, as_ada: Client) -> None:
    keys = [key_of(ada, [P.PLACE_ORDERS]).key for _ in range(LIVE_MAX)]
    assert_problem(made_by(as_ada, P.PLACE_ORDERS), 409, "too_many_keys")
    assert rotated_by(as_ada, keys[0].id).status_code == 201
    assert as_ada.delete(f"{KEYS}/{keys[1].id}").status_code == 204
    assert made_by(as_ada, P.PLACE_ORDERS).status_code == 201


def test_a_list_has_pages_and_nothing_of_others(shop: Shop, ada: User, as_ada: Client, as_customer: Client) -> None:
    mine = [str(key_of(ada, [P.PLACE_ORDERS]).key.id) for _ in range(3)]
    key_of(as_customer.user, [P.PLACE_ORDERS])
    found = [[key["id"] for key in page] for page in pages(as_ada, f"{KEYS}?limit=2")]
    assert found == [mine[:0:-1], mine[:1]]
    assert as_ada.get(f"{KEYS}?user_id={as_customer.user.id}").json()["data"] == []


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("POST", "/rotate")])
def test_a_foreign_key_is_as_missing_as_a_missing_one(
    shop: Shop, as_ada: Client, as_customer: Client, method: str, suffix: str
) -> None:
    theirs = key_of(as_customer.user).key.id
    body = {"password": PASSWORD} if suffix else None
    same = {"X-Request-ID": "one-and-the-same"}
    foreign, missing = (
        as_ada.request(method, f"{KEYS}/{key_id}{suffix}", json=body, headers=same) for key_id in (theirs, NOBODY_ID)
    )
    assert_problem(foreign, 404, "not_found")
    assert foreign.content == missing.content
    assert shop.world.sql("SELECT revoked_at, rotated_to FROM api_keys") == [(None, None)]


def test_a_rotated_key_is_good_for_the_overlap_and_has_one_successor(shop: Shop, ada: User, as_ada: Client) -> None:
    old = key_of(ada)
    answer = rotated_by(as_ada, old.key.id, overlap_seconds=600, expires_in_days=30)
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert (new["name"], new["permissions"]) == (old.key.name, sorted(old.key.permissions))
    assert [use(shop, each, "GET", "/v1/users/me").status_code for each in (old, new["secret"])] == [200, 200]
    told_of_old = as_ada.get(f"{KEYS}/{old.key.id}").json()
    assert told_of_old["rotated_to"] == new["id"]
    [[left]] = shop.world.sql("SELECT expires_at - now() FROM api_keys WHERE id = :id", id=old.key.id)
    assert timedelta(minutes=8) < left <= timedelta(minutes=10)


def test_a_rotation_whose_answer_was_lost_is_asked_for_again(shop: Shop, ada: User, as_ada: Client) -> None:
    old = key_of(ada)
    lost, had = (rotated_by(as_ada, old.key.id).json() for _ in range(2))
    assert_problem(use(shop, lost["secret"], "GET", "/v1/users/me"), 401, "invalid_token")
    assert as_ada.get(f"{KEYS}/{lost['id']}").json()["revoked_at"] is not None
    assert use(shop, had["secret"], "GET", "/v1/users/me").status_code == 200
    shop.world.sql("UPDATE api_keys SET last_used_at = now() WHERE id = :id", id=had["id"])
    problem = assert_problem(rotated_by(as_ada, old.key.id), 409, "key_rotated")
    assert problem["rotated_to"] == had["id"]
    third = rotated_by(as_ada, had["id"]).json()
    assert [use(shop, each["secret"], "GET", "/v1/users/me").status_code for each in (had, third)] == [200, 200]
    assert_problem(use(shop, old, "GET", "/v1/users/me"), 401, "invalid_token")


def test_what_has_ended_is_not_rotated_and_revoking_it_again_is_no_error(shop: Shop, ada: User, as_ada: Client) -> None:
    key_id = key_of(ada).key.id
    assert [as_ada.delete(f"{KEYS}/{key_id}").status_code for _ in range(2)] == [204, 204]
    assert_problem(rotated_by(as_ada, key_id), 409, "key_ended")
    [entry] = [entry for entry in recorded(2) if entry.event == "api-key.revoked"]
    assert entry.user_id == ada.id, "once"


def test_a_key_that_has_expired_is_refused_though_it_was_remembered(shop: Shop, ada: User) -> None:
    with showing(shop.url, key_of(ada, life=timedelta(seconds=2))) as machine:
        assert machine.get("/v1/users/me").status_code == 200
        eventually(lambda: machine.get("/v1/users/me").status_code == 401, "it has expired", 5)
        answer = machine.get("/v1/users/me")
        assert_problem(answer, 401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_an_order_under_an_idempotency_key_is_one_whichever_key_of_an_owner_is_shown(shop: Shop, ada: User) -> None:
    other = shop.world.user()
    first, second, stranger = (showing(shop.url, key_of(owner)) for owner in (ada, ada, other))
    with first, second, stranger:
        answers = [machine.order(key="one") for machine in (first, first, second, stranger)]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert answers[0].content == answers[1].content == answers[2].content != answers[3].content
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true", "true", None]


def test_an_admin_opens_an_account_for_a_machine_and_gives_it_a_key(shop: Shop) -> None:
    as_admin = shop.client(person(Role.ADMIN))
    form = {"name": "shop-sync", "role": "customer"}
    opened = as_admin.post("/v1/service-accounts", json=form)
    assert opened.status_code == 201, opened.text
    account = opened.json()
    assert (account["email"], account["name"], account["role"]) == (None, "shop-sync", "customer")
    assert_problem(as_admin.post("/v1/service-accounts", json=form), 409, "name_taken")
    assert as_admin.get("/v1/users?service=true").json()["data"] == [account]
    assert [user["email"] for user in as_admin.get("/v1/users?service=false").json()["data"]] == ["ada@example.com"]
    made = made_by(as_admin, P.SEE_ACCOUNT, P.PLACE_ORDERS, user_id=account["id"]).json()
    assert use(shop, made["secret"], "GET", "/v1/users/me").json() == {
        name: account[name] for name in ("id", "email", "name", "role", "created_at")
    }
    assert rotated_by(as_admin, made["id"]).status_code == 201
    assert_problem(as_admin.patch(f"/v1/users/{account['id']}", json={"role": "admin"}), 409, "no_admin")


NO_ACCOUNTS: list[tuple[dict[str, Any], str]] = [
    ({"name": "shop-sync", "role": "admin"}, "/role"),
    ({"name": "Shop", "role": "staff"}, "/name"),
    ({"name": "a@b.example", "role": "staff"}, "/name"),
    ({"name": "shop-sync"}, "/role"),
    ({"name": "shop-sync", "role": "staff", "email": "a@b.example"}, "/email"),
]


def test_an_account_that_a_machine_cannot_have_is_refused(as_admin: Client) -> None:
    for form, pointer in NO_ACCOUNTS:
        problem = assert_problem(as_admin.post("/v1/service-accounts", json=form), 422, "invalid_request")
        assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer], form


def test_a_service_account_cannot_log_in(shop: Shop, anonymous: Client) -> None:
    service("shop-sync")
    for email in ("shop-sync", "shop-sync@example.com", "None", "null"):
        assert_problem(login(anonymous, email=email), 401, "invalid_credentials")


def test_an_admin_revokes_the_keys_of_anybody_and_makes_none_for_people(shop: Shop, ada: User) -> None:
    as_admin = shop.client(person(Role.ADMIN, "root@example.com"))
    theirs = key_of(ada)
    assert as_admin.get(f"{KEYS}?user_id={ada.id}").json()["data"][0]["id"] == str(theirs.key.id)
    for user_id in (str(ada.id), NOBODY_ID):
        assert_problem(made_by(as_admin, P.PLACE_ORDERS, user_id=user_id), 422, "no_service_account")
    assert_problem(rotated_by(as_admin, theirs.key.id), 422, "no_service_account")
    assert as_admin.delete(f"{KEYS}/{theirs.key.id}").status_code == 204
    assert_problem(use(shop, theirs, "GET", "/v1/users/me"), 401, "invalid_token")


def test_who_is_no_admin_any_more_makes_no_key_for_a_machine(shop: Shop) -> None:
    as_admin, machine = shop.client(person(Role.ADMIN)), service()
    key = key_of(machine).key
    shop.world.sql("UPDATE users SET role = 'staff' WHERE id = :id", id=as_admin.user.id)
    assert_problem(made_by(as_admin, P.PLACE_ORDERS, user_id=str(machine.id)), 403, "forbidden")
    assert_problem(rotated_by(as_admin, key.id), 403, "forbidden")
    assert_problem(as_admin.post("/v1/service-accounts", json={"name": "x-y", "role": "staff"}), 403, "forbidden")


def test_who_is_disabled_makes_no_key_in_their_last_seconds(shop: Shop, ada: User, as_ada: Client) -> None:
    shop.world.sql("UPDATE users SET disabled_at = now()")
    assert_problem(made_by(as_ada, P.PLACE_ORDERS), 403, "forbidden")


def test_s25_what_becomes_of_a_key_is_recorded_with_its_prefix_and_never_its_secret(shop: Shop) -> None:
    as_admin, machine = shop.client(person(Role.ADMIN)), service()
    first = made_by(as_admin, P.PLACE_ORDERS, user_id=str(machine.id)).json()
    second = rotated_by(as_admin, first["id"], overlap_seconds=60).json()
    as_admin.delete(f"{KEYS}/{second['id']}")
    written = recorded(4)[1:]
    owner, rotated = str(machine.id), {"successor": second["prefix"], "overlap_seconds": 60}
    assert [told(entry) for entry in written] == [
        ("api-key.made", owner, {"key": first["prefix"]}),
        ("api-key.rotated", owner, {"key": first["prefix"], **rotated}),
        ("api-key.revoked", owner, {"key": second["prefix"]}),
    ]
    assert {(entry.actor, entry.client_address) for entry in written} == {(str(as_admin.user.id), "127.0.0.1")}
