"""Roles that need multi-factor login: without it, a token permits nothing but setting it up."""

from collections.abc import Iterator

import pytest
from api_client import Shop, assert_problem
from api_routes import OPEN, ROUTES
from api_server import Server, serving
from phone import Phone
from second_factors import Enrolled
from world import World

from api.app import create_app
from models.identity.permissions import Role
from runtime import settings

MFA = "/v1/users/me/mfa"


@pytest.fixture(scope="module")
def demanding_server() -> Iterator[Server]:
    """An API that asks staff and admin for it, as it does in production."""
    with serving(
        create_app(settings.current().model_copy(update={"mfa_required_roles": ("staff", "admin")}))
    ) as running:
        yield running


@pytest.fixture
def demanding(world: World, demanding_server: Server) -> Iterator[Shop]:
    opened = Shop(world, demanding_server)
    yield opened
    opened.close()


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] not in OPEN])
@pytest.mark.parametrize("role", [Role.STAFF, Role.ADMIN])
def test_mfa_until_it_is_set_up_nothing_else_is_permitted(demanding: Shop, role: Role, method: str, path: str) -> None:
    client = demanding.client_as(role)
    answer = client.request(method, path.replace("{", "").replace("}", ""), json={})
    if path.startswith(MFA):
        assert answer.status_code in (200, 422)
    else:
        assert_problem(answer, 403, "mfa_enrolment_required")


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.ANALYST])
def test_mfa_other_roles_do_not_notice(demanding: Shop, role: Role) -> None:
    client = demanding.client_as(role)
    assert client.get("/v1/users/me").status_code == 200
    assert client.get(MFA).json()["required"] is False


@pytest.mark.parametrize("role", [Role.STAFF, Role.ADMIN])
def test_mfa_once_it_is_set_up_the_role_is_what_it_was(demanding: Shop, world: World, role: Role) -> None:
    client = demanding.client(Enrolled.new(world, role).user)
    assert client.get("/v1/users/me").json()["role"] == role
    assert client.get(MFA).json()["required"] is True
    assert client.get("/v1/ops/pipeline").status_code == 200


def test_mfa_nobody_is_shut_out_and_no_session_slips_through(demanding: Shop, world: World) -> None:
    """The first admin: password, enrolment, password and code; and what a thief of the password had begun, ends."""
    account = {"email": "first@example.com", "password": "a lovely day in may"}
    client = demanding.client()
    client.post("/v1/auth/register", json=account)
    world.sql("UPDATE users SET role = 'admin'")
    thief = demanding.client().post("/v1/auth/login", json=account).json()
    begun = client.post("/v1/auth/login", json=account).json()
    client.headers["Authorization"] = f"Bearer {begun['access_token']}"
    assert_problem(client.get("/v1/users/me"), 403, "mfa_enrolment_required")
    refreshed = client.post("/v1/auth/refresh", json={"refresh_token": begun["refresh_token"]}).json()
    client.headers["Authorization"] = f"Bearer {refreshed['access_token']}"
    assert_problem(client.get("/v1/users/me"), 403, "mfa_enrolment_required")
    phone = Phone(client.post(f"{MFA}/totp", json={"password": account["password"]}).json()["secret"])
    assert client.post(f"{MFA}/totp/confirm", json={"code": phone.code()}).status_code == 200
    for tokens in (thief, refreshed):
        token = {"refresh_token": tokens["refresh_token"]}
        assert_problem(client.post("/v1/auth/refresh", json=token), 401, "invalid_refresh_token")
    entered = client.post("/v1/auth/login", json={**account, "totp_code": phone.code(1)}).json()
    client.headers["Authorization"] = f"Bearer {entered['access_token']}"
    assert client.get("/v1/users/me").json()["role"] == "admin"
