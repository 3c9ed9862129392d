"""A client that is driven by docs/openapi.json places an order, follows it, and is refused as documented."""

from collections.abc import Callable, Iterator, Mapping

import pytest
from api_client import Shop
from openapi_client import PROBLEM, DescribedClient, Description, Operation
from phone import Phone
from world import World

from models import dead_letters
from models.identifiers import uuid7
from models.identity.permissions import Role
from models.identity.totp import WRONG_CODES_FREE
from runtime import database

DESCRIPTION = Description.committed()
OPERATIONS = DESCRIPTION.operations
Connect = Callable[[Role | None], DescribedClient]

TOO_MUCH = b'{"padding": "' + b"x" * 70_000 + b'"}'
# How to be refused, wherever the document says that one may be: code → (status, what is sent instead of the example).
PROBES: Mapping[str, tuple[int, dict[str, object]]] = {
    "unknown_query_parameter": (400, {"nonsense": "1"}),
    "malformed_json": (400, {"content": b"{"}),
    "invalid_cursor": (400, {"cursor": "nonsense"}),
    "body_too_large": (413, {"content": TOO_MUCH}),
    "unsupported_media_type": (415, {"headers": {"Content-Type": "text/plain"}}),
    "idempotency_key_missing": (400, {"headers": {"Idempotency-Key": None}}),
    "idempotency_key_invalid": (400, {"headers": {"Idempotency-Key": "x" * 256}}),
    "not_found": (404, {}),
    "target_too_long": (414, {"nonsense": "x" * 5000}),
    "headers_too_large": (431, {"headers": {f"X-Nonsense-{number}": "1" for number in range(65)}}),
}
# Who may not: everybody may see the catalogue and their own account.
LACKING: Mapping[str, Role] = {
    "orders": Role.ANALYST,
    "transitions": Role.ANALYST,
    "analytics": Role.CUSTOMER,
    "ops": Role.ANALYST,
}


@pytest.fixture
def connect(shop: Shop, world: World) -> Iterator[Connect]:
    """Clients of the document, with the token of a new user in some role."""
    clients: list[DescribedClient] = []

    def connected(role: Role | None) -> DescribedClient:
        token = shop.services.tokens.issue(world.user(role), uuid7()) if role else None
        clients.append(DescribedClient(shop.url, DESCRIPTION, token))
        return clients[-1]

    yield connected
    for each in clients:
        each.close()


def refusing(code: str) -> list[tuple[str, Operation]]:
    """The operations that are documented to refuse in this way."""
    return [
        (name, operation)
        for name, operation in OPERATIONS.items()
        for response in operation.described["responses"].values()
        if code in response.get("content", {}).get(PROBLEM, {}).get("examples", {})
    ]


@pytest.mark.parametrize("code", PROBES)
def test_what_is_documented_to_be_refused_is_refused(connect: Connect, code: str) -> None:
    admin = connect(Role.ADMIN)
    status, instead = PROBES[code]
    assert refusing(code)
    for name, _ in refusing(code):
        admin.ask(name, status, code, **instead)  # type: ignore[arg-type]


def test_a_body_of_another_form_and_a_limit_out_of_range_are_refused(connect: Connect) -> None:
    admin = connect(Role.ADMIN)
    for name, operation in refusing("invalid_request"):
        if operation.example() is not None:
            admin.ask(name, 422, "invalid_request", body={"nonsense": 1})
        elif "limit" in operation.parameters("query"):
            admin.ask(name, 422, "invalid_request", limit="0")


def test_without_a_token_and_with_the_wrong_role_nothing_is_had(connect: Connect) -> None:
    nobody = connect(None)
    for name, operation in refusing("invalid_token"):
        nobody.ask(name, 401, "invalid_token")
        if lacking := LACKING.get(operation.described["tags"][0]):
            connect(lacking).ask(name, 403, "forbidden")
    connect(Role.CUSTOMER).ask("put_product", 403, "forbidden")


def test_clara_buys_two_bowls_and_a_kettle(connect: Connect, world: World) -> None:
    clara, staff, admin = connect(None), connect(Role.STAFF), connect(Role.ADMIN)
    _stock_the_shop(staff, world)
    _get_an_account(clara)
    _who_may_what(admin, world)
    _have_a_second_factor_for_a_while(clara)
    _choose_another_password(clara)
    assert [each["sku"] for each in clara.ask("list_products", 200).json()["data"]] == [
        "BOWL",
        "BOWL-OAK",
        "KETTLE-STEEL",
    ]
    clara.ask("get_product", 200)
    _give_machines_keys(clara, admin, connect)

    key = {"Idempotency-Key": "clara-1"}
    placed = clara.ask("place_order", 201, headers=key)
    again = clara.ask("place_order", 201, headers=key)
    assert again.content == placed.content and again.headers["Idempotent-Replayed"] == "true"
    mine = placed.json()["id"]
    clara.ask("get_order", 304, order_id=mine, headers={"If-None-Match": placed.headers["ETag"]})
    clara.ask("get_events", 200, order_id=mine)
    clara.ask(
        "place_order", 422, "idempotency_key_reused", body={"items": [{"sku": "BOWL", "quantity": 1}]}, headers=key
    )
    duplicate = clara.ask("place_order", 409, "duplicate_reference").json()
    assert duplicate["order"] == placed.headers["Location"]

    world.work_until_idle()
    assert clara.ask("get_order", 200, order_id=mine).json()["status"] == "delivered"
    assert [each["id"] for each in clara.ask("list_orders", 200).json()["data"]] == [mine]
    seen = clara.ask("stream_order", 200, order_id=mine)
    assert seen.text.count("event: ") == 5
    clara.ask("stream_order", 204, order_id=mine, headers={"Last-Event-ID": "5"})
    refused = clara.ask("request_transition", 409, "invalid_transition", body={"to": "cancelled"}, order_id=mine).json()
    assert (refused["current"], refused["allowed"]) == ("delivered", [])

    _orders_that_go_other_ways(clara, staff, world)
    _what_could_not_be_done(clara, staff, world)
    _count_it_all(clara, staff, world)
    visited = {name for name, _ in clara.seen | staff.seen | admin.seen}
    assert visited == OPERATIONS.keys(), "every operation of the document is used on the way"


def _stock_the_shop(staff: DescribedClient, world: World) -> None:
    staff.ask("liveness", 200)
    assert "no_relay" in staff.ask("get_pipeline", 200).json()["problems"], "the work of this test is done by hand"
    staff.ask("readiness", 200)
    staff.ask("put_product", 201)
    staff.ask("put_product", 200)
    world.product("KETTLE-STEEL", name="Steel kettle", price_minor=4990)


def _get_an_account(clara: DescribedClient) -> None:
    clara.ask("register", 201)
    clara.ask("register", 409, "email_taken")
    weak = OPERATIONS["register"].example() | {"email": "clara2@example.com", "password": "password"}
    clara.ask("register", 422, "weak_password", body=weak)
    clara.ask("login", 401, "invalid_credentials", body=OPERATIONS["login"].example() | {"password": "three bowls"})
    spare = clara.ask("login", 200).json()
    tokens = clara.ask("refresh", 200, body={"refresh_token": spare["refresh_token"]}).json()
    clara.ask("logout", 204, body={"refresh_token": tokens["refresh_token"]})
    clara.ask("refresh", 401, "invalid_refresh_token")
    clara.token = clara.ask("login", 200).json()["access_token"]
    assert clara.ask("get_me", 200).json()["email"] == OPERATIONS["register"].example()["email"]
    assert clara.ask("get_keys", 200).json()["keys"]


def _choose_another_password(clara: DescribedClient) -> None:
    wrong = OPERATIONS["change_password"].example() | {"current_password": "three bowls"}
    clara.ask("change_password", 403, "wrong_password", body=wrong)
    clara.ask("change_password", 422, "weak_password", body=wrong | {"new_password": "password"})
    clara.ask("change_password", 422, "password_unchanged", body=wrong | {"new_password": "three bowls"})
    clara.ask("change_password", 204)


def _who_may_what(admin: DescribedClient, world: World) -> None:
    """Nobody demotes themselves, and nobody the last one."""
    users = admin.ask("list_users", 200, role="customer").json()["data"]
    assert [user["email"] for user in users] == [OPERATIONS["register"].example()["email"]]
    admin.ask("change_user", 200, user_id=users[0]["id"], body={"disabled": False})
    [own] = admin.ask("list_users", 200, role="admin").json()["data"]
    admin.ask("change_user", 409, "last_admin", user_id=own["id"], body={"role": "staff"})
    world.user(Role.ADMIN)
    admin.ask("change_user", 409, "own_account", user_id=own["id"], body={"role": "staff"})


def _have_a_second_factor_for_a_while(clara: DescribedClient) -> None:
    account = OPERATIONS["login"].example()
    proof = {"password": account["password"]}
    clara.ask("confirm_totp", 409, "no_pending_enrolment")
    clara.ask("renew_recovery_codes", 409, "mfa_not_enabled")
    clara.ask("begin_totp", 403, "wrong_password", body={"password": "three bowls"})
    phone = Phone(clara.ask("begin_totp", 201).json()["secret"])
    clara.ask("confirm_totp", 403, "wrong_code", body={"code": phone.wrong_code()})
    codes = clara.ask("confirm_totp", 200, body={"code": phone.code(-1)}).json()["recovery_codes"]
    clara.ask("login", 401, "mfa_required")
    for _ in range(WRONG_CODES_FREE):
        clara.ask("login", 401, "invalid_mfa_code", body=account | {"totp_code": phone.wrong_code()})
    clara.ask("login", 429, "too_many_codes", body=account | {"totp_code": phone.code()})
    clara.ask("login", 200, body=account | {"recovery_code": codes[0]})
    clara.token = clara.ask("login", 200, body=account | {"totp_code": phone.code()}).json()["access_token"]
    clara.ask("begin_totp", 409, "mfa_already_enabled")
    assert clara.ask("get_mfa", 200).json()["recovery_codes_left"] == len(codes) - 1
    codes = clara.ask("renew_recovery_codes", 200, body=proof | {"totp_code": phone.code(1)}).json()["recovery_codes"]
    clara.ask("disable_totp", 403, "wrong_code")
    clara.ask("disable_totp", 204, body=proof | {"recovery_code": codes[0]})
    clara.token = clara.ask("login", 200).json()["access_token"]


def _give_machines_keys(clara: DescribedClient, admin: DescribedClient, connect: Connect) -> None:
    password = OPERATIONS["change_password"].example()["new_password"]
    asked = OPERATIONS["make_api_key"].example() | {"password": password}
    made = clara.ask("make_api_key", 201, body=asked).json()
    clara.ask("make_api_key", 403, "wrong_password", body=asked | {"password": "three bowls"})
    clara.ask("make_api_key", 422, "permission_not_held", body=asked | {"permissions": ["analytics:read"]})
    rotation = {"password": password}
    new = clara.ask("rotate_api_key", 201, key_id=made["id"], body=rotation).json()
    assert [key["prefix"] for key in clara.ask("list_api_keys", 200).json()["data"]] == [new["prefix"], made["prefix"]]
    machine = connect(None)
    machine.token = new["secret"]
    assert machine.ask("list_products", 200).json()["data"]
    machine.ask("make_api_key", 403, "forbidden")
    clara.ask("revoke_api_key", 204, key_id=made["id"])
    assert clara.ask("get_api_key", 200, key_id=made["id"]).json()["revoked_at"] is not None
    clara.ask("rotate_api_key", 409, "key_ended", key_id=made["id"], body=rotation)

    account = admin.ask("make_service_account", 201).json()
    admin.ask("make_service_account", 409, "name_taken")
    admin.ask("change_user", 409, "no_admin", user_id=account["id"], body={"role": "admin"})
    admin.ask("make_api_key", 403, "wrong_password", body=asked | {"user_id": account["id"]})


def _orders_that_go_other_ways(clara: DescribedClient, staff: DescribedClient, world: World) -> None:
    world.product("CUP-TIN", currency="USD")
    both = {"items": [{"sku": "CUP-TIN", "quantity": 1}, {"sku": "BOWL", "quantity": 1}]}
    clara.ask("place_order", 422, "mixed_currencies", body=both)
    clara.ask("place_order", 422, "unknown_product", body={"items": [{"sku": "NO-SUCH-THING", "quantity": 1}]})
    batch = OPERATIONS["place_orders"].example()
    batch["orders"][0]["client_reference"] = "another"
    assert [each["status"] for each in clara.ask("place_orders", 207, body=batch).json()["data"]] == [201, 422]

    bowl = {"items": [{"sku": "BOWL-OAK", "quantity": 1}]}
    regretted = clara.ask("place_order", 201, body=bowl).json()["id"]
    clara.ask("request_transition", 202, body={"to": "cancelled"}, order_id=regretted)
    world.work("orders.transition")
    there = clara.ask("request_transition", 200, body={"to": "cancelled"}, order_id=regretted).json()
    assert there["status"] == "cancelled"

    shipped = clara.ask("place_order", 201, body=bowl).json()["id"]
    for kind in ("orders.confirm", "orders.process"):
        world.work(kind)
    staff.ask("put_product", 409, "conflict", body=OPERATIONS["put_product"].example() | {"on_hand": 0})
    staff.ask("request_transition", 412, "stale_version", order_id=shipped, headers={"If-Match": '"v1"'})
    staff.ask("request_transition", 422, "reason_required", body={"to": "cancelled"}, order_id=shipped)
    staff.ask("request_transition", 422, "tracking_number_required", body={"to": "shipped"}, order_id=shipped)
    asked = staff.ask("request_transition", 202, order_id=shipped, headers={"If-Match": '"v3"'}).json()
    world.work("orders.transition")
    became = staff.ask("get_transition", 200, order_id=shipped, transition_id=asked["id"]).json()
    assert became["state"] == "applied"


def _what_could_not_be_done(clara: DescribedClient, staff: DescribedClient, world: World) -> None:
    world.work_until_idle()
    for _ in range(2):
        clara.ask("place_order", 201, body={"items": [{"sku": "BOWL-OAK", "quantity": 1}]})
        with database.transaction() as connection:
            dead_letters.bury(connection, [row.id for row in world.due()], "ValueError: no", None, world.policy)
    with database.transaction() as connection:
        dead_letters.note_message(connection, "nobody-can", "no task has this name")
    strange, second, first = (str(each["id"]) for each in staff.ask("list_dead_letters", 200).json()["data"])
    assert staff.ask("get_dead_letter", 200, letter_id=first).json()["resolved_how"] is None
    assert staff.ask("replay_dead_letter", 200, letter_id=first).json()["resolved_how"] == "retried"
    staff.ask("replay_dead_letter", 409, "nothing_to_replay", letter_id=strange)
    staff.ask("discard_dead_letter", 200, letter_id=second)
    staff.ask("replay_dead_letter", 409, "letter_resolved", letter_id=second)
    world.work_until_idle()


def _count_it_all(clara: DescribedClient, staff: DescribedClient, world: World) -> None:
    world.fold()
    feed = staff.ask("order_events", 200, limit="2").json()
    assert feed["has_more"]
    staff.ask("order_events", 200, after=feed["next_cursor"])
    days = staff.ask("orders_per_day", 200).json()["data"]
    assert sum(day["revenue_minor"] for day in days) > 0
    assert staff.ask("orders_per_day", 200, headers={"Accept": "text/csv"}).text.startswith("day,currency,orders")
    staff.ask("orders_per_day", 422, "invalid_request", from_="2026-03-02", to="2026-03-01")
    staff.ask("revenue_by_user", 200, limit="1")
    assert staff.ask("revenue_by_user", 200, window="all").json()["computed"] == "live"
    staff.ask("revenue_by_user", 422, "invalid_request", window="all", from_="2026-03-02")
    times = staff.ask("fulfilment_times", 200, group_by="month")
    staff.ask("fulfilment_times", 304, group_by="month", headers={"If-None-Match": times.headers["ETag"]})
    assert sum(day["spend_minor"] for day in clara.ask("get_spending", 200).json()["data"]) > 0
    assert staff.ask("status_counts", 200).json()["data"]["cancelled"] == 1
