"""What the broker's password is good for, and what it is not (S42): a real Valkey with the users that ours has."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import compose_file
import engine_programs
import pytest
import redis

from ops.failures import LocalError
from ops.local import broker_users, engines, secrets_file
from ops.local.engines import Valkey
from ops.processes import ports
from ops.processes.children import Child, Process

# Emptying it, stopping it, looking around in it, changing it, spying on others, and loading code into it.
FORBIDDEN = (
    "FLUSHALL",
    "FLUSHDB",
    "SHUTDOWN NOSAVE",
    "CONFIG GET *",
    "CONFIG SET dir /tmp",
    "KEYS *",
    "ACL LIST",
    "ACL SETUSER orders +@all",
    "CLIENT LIST",
    "CLIENT KILL ID 1",
    "MONITOR",
    "SAVE",
    "BGSAVE",
    "REPLICAOF 127.0.0.1 1",
    "SLOWLOG GET",
    "MODULE LIST",
    "FUNCTION LIST",
    "SCRIPT FLUSH",
    "SWAPDB 0 1",
    "MIGRATE 127.0.0.1 1 key 0 1",
    "RESTORE key 0 value",
)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with (
        tempfile.TemporaryDirectory(prefix="orders-broker-") as directory,
        engines.running(Valkey(Path(directory), ports.free())) as started,
    ):
        yield started


def client(url: str) -> Any:
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)


@pytest.mark.parametrize("command", FORBIDDEN)
def test_s42_whoever_learns_the_password_of_the_broker_cannot(valkey: Valkey, command: str) -> None:
    with client(valkey.url) as leaked, pytest.raises(redis.exceptions.NoPermissionError):
        leaked.execute_command(*command.split())


@pytest.mark.parametrize("call", ["'FLUSHALL'", "'KEYS', '*'", "'SWAPDB', '0', '1'"])
def test_s42_nor_can_a_script_what_its_sender_cannot(valkey: Valkey, call: str) -> None:
    with client(valkey.url) as leaked, pytest.raises(redis.exceptions.ResponseError, match="ACL failure in script"):
        leaked.eval(f"return redis.call({call})", 0)


def test_s42_without_a_password_nothing_is_answered(valkey: Valkey) -> None:
    address = valkey.url.rpartition("@")[2]
    for url in (f"redis://{address}", f"redis://:{valkey.passwords.works}@{address}"):
        with client(url) as nobody, pytest.raises(redis.exceptions.AuthenticationError):
            nobody.ping()


def test_s42_the_supervisor_can(valkey: Valkey) -> None:
    with client(valkey.supervisor_url) as supervisor:
        assert supervisor.flushall()
        assert supervisor.config_get("save") == {"save": ""}


def test_a_data_directory_keeps_its_passwords_and_an_older_one_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = secrets_file.load(path)
    assert secrets_file.load(path) == made
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "broker_passwords"}
    path.write_text(json.dumps(older))
    completed = secrets_file.load(path)
    assert completed.secret_key == made.secret_key
    assert completed.broker != made.broker
    assert secrets_file.load(path) == completed
    path.write_text(json.dumps({**older, "strange": 1}))
    with pytest.raises(LocalError, match="damaged"):
        secrets_file.load(path)


@pytest.fixture(scope="module")
def composed() -> Iterator[Valkey]:
    """The broker of docker-compose.yml: its very script, with our server on the path, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="orders-compose-") as directory:
        valkey = Valkey(Path(directory), ports.free())
        service = compose_file.filled(compose_file.services()["valkey"], {"BROKER_PASSWORD": valkey.passwords.works})
        programs = engine_programs.install(valkey.directory / "bin", ports.free(), valkey.port)
        environment = {
            **service["environment"],
            "PATH": f"{programs}:{os.environ['PATH']}",
            "USERS_FILE": str(valkey.directory / "users.acl"),
        }
        child = Child(Process("valkey", service["command"], environment), subprocess.DEVNULL)
        try:
            while not valkey.ready():
                assert child.exit_code is None
            yield valkey
        finally:
            child.stop()


def test_s42_the_broker_of_the_compose_file_has_the_same_user_and_no_other(composed: Valkey, valkey: Valkey) -> None:
    users = (composed.directory / "users.acl").read_text().splitlines()
    assert [line.split("#")[0].strip() for line in users] == ["user default off", "user orders on"]
    assert users[1].partition(" ~")[2] == broker_users.RULES[broker_users.WORKS].partition("~")[2]
    assert composed.passwords.works not in "".join(users)
    assert (composed.directory / "users.acl").stat().st_mode & 0o077 == 0
    with client(composed.url) as leaked:
        assert leaked.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            leaked.flushall()
    with suppress(redis.exceptions.AuthenticationError), client(composed.supervisor_url) as nobody:
        nobody.ping()
        pytest.fail("there is a supervisor")
