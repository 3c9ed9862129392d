"""Accounts in the hands of admins: finding them, and changing what they may do."""

from typing import Any

import httpx2
import pytest
from api_client import Client, Shop, assert_problem, pages

from models.identity.permissions import Role
from models.identity.users import User

USERS = "/v1/users"


def change(client: Client, user: User, **wanted: Any) -> httpx2.Response:
    return client.patch(f"{USERS}/{user.id}", json=wanted)


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"{USERS}{query}")
    assert answer.status_code == 200, answer.text
    return [user["id"] for user in answer.json()["data"]]


def test_an_admin_sees_everybody_the_newest_first_and_no_secret(shop: Shop, as_admin: Client) -> None:
    ids = [str(shop.world.user().id) for _ in range(5)]
    assert listed(as_admin) == [*reversed(ids), str(as_admin.user.id)]
    first = as_admin.get(USERS).json()["data"][0]
    assert first.keys() == {"id", "email", "name", "role", "created_at", "disabled_at"}


def test_the_list_has_pages(shop: Shop, as_admin: Client) -> None:
    ids = [str(shop.world.user().id) for _ in range(5)]
    found = list(pages(as_admin, f"{USERS}?limit=2&role=customer"))
    assert [[user["id"] for user in page] for page in found] == [ids[:-3:-1], ids[-3:-5:-1], ids[:1]]


def test_filters_narrow_the_list(shop: Shop, as_admin: Client) -> None:
    staff, gone = shop.world.user(Role.STAFF), shop.world.user(email="eve@example.com")
    assert change(as_admin, gone, disabled=True).status_code == 200
    assert listed(as_admin, "?role=staff") == [str(staff.id)]
    assert listed(as_admin, "?disabled=true") == [str(gone.id)]
    assert listed(as_admin, "?disabled=false") == [str(staff.id), str(as_admin.user.id)]
    assert listed(as_admin, "?email=%20EVE@Example.com") == [str(gone.id)]
    assert listed(as_admin, "?email=eve@example.com&role=staff") == []


@pytest.mark.parametrize("query", ["?role=root", "?disabled=maybe", "?email=nobody", "?limit=0", "?limit=101"])
def test_a_filter_that_means_nothing_is_refused(as_admin: Client, query: str) -> None:
    problem = assert_problem(as_admin.get(f"{USERS}{query}"), 422, "invalid_request")
    assert [flaw["pointer"] for flaw in problem["errors"]] == [query[1:].partition("=")[0]]


def test_a_cursor_of_another_filter_or_another_admin_is_refused(shop: Shop, as_admin: Client) -> None:
    for _ in range(3):
        shop.world.user()
    cursor = as_admin.get(f"{USERS}?limit=1&role=customer").json()["next_cursor"]
    assert_problem(as_admin.get(f"{USERS}?limit=1&cursor={cursor}"), 400, "invalid_cursor")
    other = shop.client_as(Role.ADMIN)
    assert_problem(other.get(f"{USERS}?limit=1&role=customer&cursor={cursor}"), 400, "invalid_cursor")


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.STAFF, Role.ANALYST])
def test_nobody_else_sees_or_changes_accounts(shop: Shop, role: Role) -> None:
    client = shop.client_as(role)
    assert_problem(client.get(USERS), 403, "forbidden")
    assert_problem(change(client, client.user, role="admin"), 403, "forbidden")


def test_what_is_changed_is_answered_and_stays(shop: Shop, as_admin: Client) -> None:
    user = shop.world.user()
    assert change(as_admin, user, role="staff").json()["role"] == "staff"
    disabled = change(as_admin, user, disabled=True).json()
    assert disabled["disabled_at"] is not None
    assert change(as_admin, user, disabled=True).json() == disabled, "again changes nothing"
    both = change(as_admin, user, role="analyst", disabled=False).json()
    assert (both["role"], both["disabled_at"]) == ("analyst", None)
    assert change(as_admin, user).json() == both
    assert as_admin.get(f"{USERS}?role=analyst").json()["data"] == [both]


def test_what_changes_nothing_voids_no_token(shop: Shop, as_admin: Client) -> None:
    user = shop.world.user()
    change(as_admin, user, role="customer", disabled=False)
    assert shop.world.sql("SELECT token_epoch FROM users WHERE id = :id", id=user.id) == [(0,)]
    assert shop.world.sql("SELECT count(*) FROM revocations") == [(0,)]


@pytest.mark.parametrize(
    "wanted",
    [
        {"role": "root"},
        {"role": 7},
        {"disabled": "yes"},
        {"disabled": 1},
        {"email": "x@example.com"},
        {"token_epoch": 0},
    ],
    ids=str,
)
def test_what_cannot_be_changed_is_refused_in_its_place(shop: Shop, as_admin: Client, wanted: dict[str, Any]) -> None:
    problem = assert_problem(change(as_admin, shop.world.user(), **wanted), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == f"/{next(iter(wanted))}"


@pytest.mark.parametrize("user_id", ["00000000-0000-7000-8000-000000000000", "me", "7", "x" * 500])
def test_nobody_has_such_an_id(as_admin: Client, user_id: str) -> None:
    assert_problem(as_admin.patch(f"{USERS}/{user_id}", json={"role": "staff"}), 404, "not_found")


@pytest.mark.parametrize(
    "wanted", [{"role": "staff"}, {"disabled": True}, {"role": "admin", "disabled": True}], ids=str
)
def test_an_admin_cannot_lock_themselves_out(shop: Shop, as_admin: Client, wanted: dict[str, Any]) -> None:
    assert_problem(change(as_admin, as_admin.user, **wanted), 409, "last_admin")
    shop.world.user(Role.ADMIN)
    assert_problem(change(as_admin, as_admin.user, **wanted), 409, "own_account")
    assert change(as_admin, as_admin.user, role="admin", disabled=False).status_code == 200


def test_an_admin_can_disable_and_demote_another(shop: Shop, as_admin: Client) -> None:
    one, two = shop.world.user(Role.ADMIN), shop.world.user(Role.ADMIN)
    assert change(as_admin, one, disabled=True).status_code == 200
    assert change(as_admin, two, role="customer").status_code == 200


def test_who_is_no_admin_any_more_changes_nobody_though_their_token_says_otherwise(
    shop: Shop, as_admin: Client
) -> None:
    """Nobody makes themselves an accomplice in the last seconds."""
    accomplice = shop.world.user()
    shop.world.sql("UPDATE users SET role = 'staff' WHERE id = :id", id=as_admin.user.id)
    assert_problem(change(as_admin, accomplice, role="admin"), 403, "forbidden")
    shop.world.sql("UPDATE users SET role = 'admin', disabled_at = now() WHERE id = :id", id=as_admin.user.id)
    assert_problem(change(as_admin, accomplice, role="admin"), 403, "forbidden")
