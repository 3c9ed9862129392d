"""From an empty production system to an admin with two factors, and back in after the phone was lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from api_process import ApiProcess, empty_database, running
from phone import Phone
from world import World, forget_counts

ADMIN = {"email": "first@shop.example", "password": "nine sleepy canaries"}
MFA = "/v1/users/me/mfa"
SECRET_KEY = "5b1e9f0c7d3a2846" * 4


@pytest.fixture
def production() -> Iterator[dict[str, str]]:
    """The settings of an empty production system, and nothing that would ease them."""
    forget_counts()
    with empty_database("first_admin") as url:
        yield {"ENVIRONMENT": "production", "SECRET_KEY": SECRET_KEY, "DATABASE_URL": url}


def orders(*arguments: str, stdin: str = "", **given: str) -> str:
    """What the command says."""
    command = [sys.executable, "-m", "ops", *arguments]
    done = subprocess.run(command, env=os.environ | given, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def served(directory: Path, given: dict[str, str]) -> Iterator[tuple[httpx2.Client, ApiProcess]]:
    """`orders serve`, and a client of it."""
    directory.mkdir()
    with (
        running(directory, given) as api,
        httpx2.Client(base_url=api.url, timeout=30, trust_env=False) as client,
    ):
        yield client, api


def enter(client: httpx2.Client, **proof: str) -> httpx2.Response:
    """Log in, and act with the token from now on."""
    answer = client.post("/v1/auth/login", json={**ADMIN, **proof})
    if answer.status_code == 200:
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return answer


def enrol(client: httpx2.Client) -> tuple[Phone, list[str]]:
    phone = Phone(client.post(f"{MFA}/totp", json={"password": ADMIN["password"]}).json()["secret"])
    confirmed = client.post(f"{MFA}/totp/confirm", json={"code": phone.code()})
    assert confirmed.status_code == 200, confirmed.text
    return phone, confirmed.json()["recovery_codes"]


@pytest.mark.timeout(300)
def test_mfa_the_first_admin_of_a_production_system_gets_in_and_back_in(
    production: dict[str, str], tmp_path: Path
) -> None:
    orders("migrate", **production)
    create = ("user", "create", "--email", ADMIN["email"], "--role", "admin", "--password-stdin")
    orders(*create, stdin=ADMIN["password"], **production)
    with served(tmp_path / "first", production) as (client, api):
        assert enter(client).status_code == 200
        refused = client.get("/v1/ops/pipeline")
        assert (refused.status_code, refused.json()["code"]) == (403, "mfa_enrolment_required")
        phone, recovery_codes = enrol(client)
        assert enter(client).json()["code"] == "mfa_required"
        assert enter(client, totp_code=phone.code(1)).status_code == 200
        assert client.get("/v1/ops/pipeline").status_code == 200
        for _ in range(5):
            assert enter(client, totp_code=phone.wrong_code()).json()["code"] == "invalid_mfa_code"
    with served(tmp_path / "again", production) as (client, later):  # a restart forgets nothing
        assert enter(client, totp_code=phone.code()).status_code == 429
        assert enter(client, recovery_code=recovery_codes[0]).status_code == 200
        assert client.get(MFA).json()["recovery_codes_left"] == 9
        said = orders("user", "reset-mfa", ADMIN["email"].upper(), **production)
        assert said == "multi-factor login is off, and all sessions have ended\n"
        assert enter(client).status_code == 200
        assert client.get("/v1/ops/pipeline").json()["code"] == "mfa_enrolment_required"
        another, more_codes = enrol(client)
        assert enter(client, totp_code=another.code(1)).status_code == 200
    written = api.log.read_text() + later.log.read_text()
    assert "/v1/auth/login" in written
    for told in (phone.secret, another.secret, *recovery_codes, *more_codes, ADMIN["password"], ADMIN["email"]):
        assert told not in written
        assert told.replace("-", "") not in written


def test_mfa_a_reset_of_nobody_says_so(world: World) -> None:
    command = [sys.executable, "-m", "ops", "user", "reset-mfa", "nobody@shop.example"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nobody has the address nobody@shop.example" in done.stderr


def test_mfa_a_reset_of_who_has_none_changes_nothing(world: World) -> None:
    world.user(email="ada@example.com")
    assert orders("user", "reset-mfa", "ada@example.com") == "multi-factor login was not on; nothing was changed\n"
