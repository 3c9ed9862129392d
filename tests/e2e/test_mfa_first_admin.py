"""From an empty production system to an admin with two factors, and back in after the phone was lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from phone import Phone
from running_system import eventually
from world import World

from ops import ports

ADMIN = {"email": "first@shop.example", "password": "nine sleepy canaries"}
MFA = "/v1/users/me/mfa"
PRODUCTION = {"ENVIRONMENT": "production", "LOG_LEVEL": "DEBUG", "LOG_FORMAT": "json"}


def orders(*arguments: str, stdin: str = "") -> str:
    """What the command says."""
    command = [sys.executable, "-m", "ops", *arguments]
    environment = os.environ | PRODUCTION
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def served(log: Path) -> Iterator[httpx2.Client]:
    """`orders serve` as in production, and a client of it. It may be stopped and started again."""
    port = ports.free()
    command = [sys.executable, "-m", "ops", "serve", "--port", str(port)]
    with (
        log.open("a") as file,
        subprocess.Popen(command, env=os.environ | PRODUCTION, stdout=file, stderr=file) as process,
        httpx2.Client(base_url=f"http://{ports.LOOPBACK}:{port}", timeout=30, trust_env=False) as client,
    ):
        try:
            eventually(lambda: answers(client), "the API", 60)
            yield client
        finally:
            process.terminate()
            process.wait(30)


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/health/liveness").status_code == 200
    except httpx2.TransportError:
        return False


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
def test_mfa_the_first_admin_of_a_production_system_gets_in_and_back_in(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    orders("user", "create", "--email", ADMIN["email"], "--role", "admin", "--password-stdin", stdin=ADMIN["password"])
    with served(log) as client:
        assert enter(client).status_code == 200
        refused = client.get("/v1/ops/pipeline")
        assert (refused.status_code, refused.json()["code"]) == (403, "mfa_enrolment_required")
        phone, recovery_codes = enrol(client)
        assert enter(client).json()["code"] == "mfa_required"
        assert enter(client, totp_code=phone.code(1)).status_code == 200
        assert client.get("/v1/ops/pipeline").status_code == 200
        for _ in range(5):
            assert enter(client, totp_code=phone.wrong_code()).json()["code"] == "invalid_mfa_code"
    with served(log) as client:  # a restart forgets nothing
        assert enter(client, totp_code=phone.code()).status_code == 429
        assert enter(client, recovery_code=recovery_codes[0]).status_code == 200
        assert client.get(MFA).json()["recovery_codes_left"] == 9
        said = orders("user", "reset-mfa", ADMIN["email"].upper())
        assert said == "multi-factor login is off, and all sessions have ended\n"
        assert enter(client).status_code == 200
        assert client.get("/v1/ops/pipeline").json()["code"] == "mfa_enrolment_required"
        another, more_codes = enrol(client)
        assert enter(client, totp_code=another.code(1)).status_code == 200
    written = log.read_text()
    assert "/v1/auth/login" in written
    for told in (phone.secret, another.secret, *recovery_codes, *more_codes, ADMIN["password"], ADMIN["email"]):
        assert told not in written
        assert told.replace("-", "") not in written


@pytest.mark.parametrize(
    ("email", "said"), [("nobody@shop.example", "no user has this e-mail address"), ("not-one", "no user has this")]
)
def test_mfa_a_reset_of_nobody_says_so(world: World, email: str, said: str) -> None:
    command = [sys.executable, "-m", "ops", "user", "reset-mfa", email]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and said in done.stderr


def test_mfa_a_reset_of_who_has_none_changes_nothing(world: World) -> None:
    user = world.user()
    assert orders("user", "reset-mfa", user.email) == "multi-factor login was not on; nothing was changed\n"
