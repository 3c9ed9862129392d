"""S38: a production process starts with the documented environment, and with no bad setting; on the real command."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from api_process import START_SECONDS, empty_database, refused, running
from httpx2 import Client, TransportError
from raw_http import ask, request
from running_system import eventually

from ops.local import engines
from ops.processes import ports
from ops.processes.children import Child, Process
from runtime import settings

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CANARY = "ca9ary"
KEY = "7d1c0b9f2a6e4835" * 4
GOOD = {
    "SECRET_KEY": KEY,
    "DATABASE_URL": f"postgresql://services:{CANARY}@db.shop.test/orders?sslmode=verify-full",
    "BROKER_URL": f"rediss://:{CANARY}@broker.shop.test:6379/0",
}
BAD: Mapping[str, tuple[str, dict[str, str | None]]] = {
    "no secret": ("SECRET_KEY", {"SECRET_KEY": None}),
    "an empty secret": ("SECRET_KEY", {"SECRET_KEY": ""}),
    "a short secret": ("SECRET_KEY", {"SECRET_KEY": CANARY + KEY[:25]}),
    "an example of a secret": ("SECRET_KEY", {"SECRET_KEY": f"change-me-{CANARY}-{KEY}"}),
    "a default secret": ("SECRET_KEY", {"SECRET_KEY": f"{CANARY}-default-{KEY}"}),
    "a secret of one character": ("SECRET_KEY", {"SECRET_KEY": "0" * 64}),
    "no database": ("DATABASE_URL", {"DATABASE_URL": None}),
    "another kind of database": ("DATABASE_URL", {"DATABASE_URL": f"mysql://{CANARY}@db.shop.test"}),
    "a database without TLS": ("DATABASE_URL", {"DATABASE_URL": f"postgresql://u:{CANARY}@db.shop.test/orders"}),
    "a database with TLS that verifies nothing": (
        "DATABASE_URL",
        {"DATABASE_URL": f"postgresql://u:{CANARY}@db.shop.test/orders?sslmode=require"},
    ),
    "a database whose name is not verified": (
        "DATABASE_URL",
        {"DATABASE_URL": f"postgresql://u:{CANARY}@db.shop.test/orders?sslmode=verify-ca"},
    ),
    "a database elsewhere beside one here": (
        "DATABASE_URL",
        {"DATABASE_URL": f"postgresql://u:{CANARY}@localhost,db.shop.test/orders"},
    ),
    "a database whose host is in the query": (
        "DATABASE_URL",
        {"DATABASE_URL": f"postgresql://u:{CANARY}@/orders?host=db.shop.test"},
    ),
    "a database with a default password": (
        "DATABASE_URL",
        {"DATABASE_URL": "postgresql://postgres:postgres@localhost/orders"},
    ),
    "a database with an example of a password": (
        "DATABASE_URL",
        {"DATABASE_URL": f"postgresql://u:changeme-{CANARY}@localhost/orders"},
    ),
    "no broker": ("BROKER_URL", {"BROKER_URL": None}),
    "a broker in plain text": ("BROKER_URL", {"BROKER_URL": f"redis://:{CANARY}@broker.shop.test/0"}),
    "a second broker in plain text": (
        "BROKER_URL",
        {"BROKER_URL": f"rediss://:{CANARY}@one.shop.test/0;redis://:{CANARY}@two.shop.test/0"},
    ),
    "a broker whose certificate is not verified": (
        "BROKER_URL",
        {"BROKER_URL": f"rediss://:{CANARY}@broker.shop.test/0?ssl_cert_reqs=none"},
    ),
    "a broker without a password": ("BROKER_URL", {"BROKER_URL": f"rediss://{CANARY}.shop.test/0"}),
    "a broker with a default password": ("BROKER_URL", {"BROKER_URL": "redis://:redis@localhost/0"}),
    "debugging": ("DEBUG", {"DEBUG": "true"}),
    "debugging, spelled in some other way": ("DEBUG", {"DEBUG": CANARY}),
    "a log that tells everything": ("LOG_LEVEL", {"LOG_LEVEL": "DEBUG"}),
    "pages from everywhere": ("CORS_ORIGINS", {"CORS_ORIGINS": "*"}),
    "pages from every subdomain": ("CORS_ORIGINS", {"CORS_ORIGINS": f"https://*.{CANARY}.test"}),
    "everybody as a proxy": ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "0.0.0.0/0"}),
    "a profile that is not known": ("ENVIRONMENT", {"ENVIRONMENT": CANARY}),
}


def changed(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not None}


def assert_names(said: str, name: str) -> None:
    assert re.search(rf"\b{name}\b", said), said
    assert CANARY not in said
    assert KEY not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("name", "changes"), BAD.values(), ids=BAD)
def test_s38_production_does_not_start_with(name: str, changes: Mapping[str, str | None]) -> None:
    said = refused(changed(changes))
    assert_names(said, name)
    others = {other for other in settings.Settings.model_fields if other != name.lower()}
    assert not re.findall(rf"\b({'|'.join(others).upper()})\b(?= (?:is|must|has|cannot))", said), said


def test_s38_everything_that_is_bad_is_named_at_once() -> None:
    said = refused(changed({"SECRET_KEY": "short", "DEBUG": "1", "BROKER_URL": f"redis://:{CANARY}@broker.shop.test"}))
    for name in ("SECRET_KEY", "DEBUG", "BROKER_URL"):
        assert_names(said, name)


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "BROKER_URL"])
def test_s38_a_secret_may_be_in_a_file_and_that_may_not_be_everybody_s(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{GOOD[name]}\n")
    given = {**changed({name: None}), f"{name}_FILE": str(file)}

    file.chmod(0o640)
    assert settings.read(given) == settings.read(GOOD).model_copy(update={f"{name.lower()}_file": file})
    for mode in (0o644, 0o604):
        file.chmod(mode)
        assert_names(complaint(given), f"{name}_FILE")
    assert_names(refused(given), f"{name}_FILE")
    file.chmod(0o600)
    assert_names(complaint({**given, name: GOOD[name]}), f"{name}_FILE")
    file.write_text("")
    assert_names(complaint(given), name)
    file.write_bytes(b"\xff" * 64)
    assert_names(complaint(given), f"{name}_FILE")
    assert_names(complaint({**given, f"{name}_FILE": str(tmp_path / CANARY)}), f"{name}_FILE")
    assert_names(complaint({**given, f"{name}_FILE": str(tmp_path)}), f"{name}_FILE")


def complaint(given: Mapping[str, str]) -> str:
    with pytest.raises(settings.SettingsError) as error:
        settings.read(given)
    return str(error.value)


@pytest.mark.parametrize("arguments", [["-m", "ops", "migrate"], ["-m", "celery", "-A", "workers.app", "worker"]])
def test_s38_no_other_process_starts_either(arguments: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], **changed({"BROKER_URL": f"redis://:{CANARY}@broker.shop.test"})}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert re.search(r"BROKER_URL must begin with rediss://", done.stderr + done.stdout)
    assert CANARY not in done.stderr + done.stdout


def test_s38_hosts_of_a_network_of_our_own_are_excepted_by_name() -> None:
    plain = {
        "DATABASE_URL": f"postgresql://u:{CANARY}@postgres/orders",
        "BROKER_URL": f"redis://:{CANARY}@valkey/0",
    }
    settings.read({**GOOD, **plain, "PRIVATE_HOSTS": "postgres, valkey"})
    for listed in ("postgres", "valkey", "*", "postgres.shop.test,valkey.shop.test"):
        with pytest.raises(settings.SettingsError):
            settings.read({**GOOD, **plain, "PRIVATE_HOSTS": listed})


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[engines.Valkey]:
    started = engines.Valkey(tmp_path / "valkey", ports.free())
    with engines.running(started):
        yield started


def documented() -> str:
    """The commands of docs/operations.md that make a minimal production environment and start an API in it."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", OPERATIONS, re.DOTALL)
    [block] = [block for block in blocks if "SECRET_KEY_FILE=" in block]
    return block


def test_s38_the_documented_minimal_environment_is_one_of_production(tmp_path: Path) -> None:
    shown = documented().replace("orders serve --port 8000", "env")
    environment = {"PATH": os.environ["PATH"], "SERVICES_PASSWORD": KEY, "BROKER_PASSWORD": KEY}
    done = subprocess.run(
        ["/bin/bash", "-euc", shown], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    given = dict(line.split("=", 1) for line in done.stdout.splitlines())
    read = settings.read({name: given[name] for name in ("SECRET_KEY_FILE", "DATABASE_URL", "BROKER_URL")})
    assert read.environment is settings.Environment.PRODUCTION
    assert "sslmode=verify-full&sslrootcert=system" in read.sqlalchemy_url


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    with empty_database("minimal") as url:
        yield url


def test_s38_the_documented_minimal_environment_starts_for_real(
    tmp_path: Path, valkey: engines.Valkey, empty_database_url: str
) -> None:
    """With the engines on this machine: the embedded ones do not speak TLS."""
    port, ours = ports.free(), f"{sys.executable} -m ops"
    commands = re.sub(r'(?s)export DATABASE_URL=".*?"', f'export DATABASE_URL="{empty_database_url}"', documented())
    commands = re.sub(r"export BROKER_URL=.*", f'export BROKER_URL="{valkey.url}"', commands)
    commands = commands.replace("orders serve --port 8000", f"{ours} migrate; exec {ours} serve --port {port}")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SERVICES_PASSWORD": KEY,
        "BROKER_PASSWORD": KEY,
    }
    with (tmp_path / "log").open("wb") as log:
        begin = ["/bin/bash", "-euc", f"cd {tmp_path}\n{commands}"]
        child = Child(Process("api", begin, environment), log.fileno())
    try:
        deadline = time.monotonic() + START_SECONDS
        with Client(base_url=f"http://{ports.LOOPBACK}:{port}", trust_env=False) as client:
            while not _is_ready(client):
                assert child.exit_code is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
            assert client.get("/v1/orders").status_code == 401
    finally:
        child.stop()


def _is_ready(client: Client) -> bool:
    try:
        return bool(client.get("/health/readiness").json()["status"] == "ok")
    except TransportError:
        return False


def test_s35_the_log_names_the_address_that_a_listed_proxy_names(tmp_path: Path) -> None:
    forwarded = request("GET", "/health/liveness", "X-Forwarded-For: 198.51.100.1, 203.0.113.7")
    with running(tmp_path, {"TRUSTED_PROXIES": "127.0.0.0/8"}) as api:
        ask(api.address, forwarded)
        eventually(lambda: bool(api.lines("request")), "the line, which is written behind the answer")
        assert [line["client"] for line in api.lines("request")] == ["203.0.113.7"]
