"""The local profile: which processes `orders up` runs, with which settings, on which ports.

Whatever the caller has in the environment wins over the defaults here. Where that includes DATABASE_URL or BROKER_URL,
the embedded engine of that kind is left out and theirs is used.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ops import serve
from ops.failures import LocalError
from ops.local import secrets_file
from ops.local.client import Client
from ops.local.engines import Postgres, Valkey
from ops.local.secrets_file import Secrets
from ops.processes import ports
from ops.processes.children import Process
from runtime import shutdown

DATABASE = "orders"
FLOWER_PORT = 5555
FLOWER_USER = "orders"
CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")
# What a newcomer gets who configures nothing.
DEFAULTS = {"ENVIRONMENT": "local", "AUTOPILOT": "true"}
QUIET = ("--without-gossip", "--without-mingle", "-E")


@dataclass(frozen=True)
class Numbers:
    """How many processes there are of each kind; of relays and beats one leads."""

    api: int = 1
    worker: int = 1
    relay: int = 1
    beat: int = 1


@dataclass(frozen=True)
class Profile:
    """Everything that is decided before anything is started. `postgres` and `valkey` are None where not ours."""

    data: Path
    secrets: Secrets
    api_port: int
    numbers: Numbers
    flower_port: int
    postgres: Postgres | None
    valkey: Valkey | None
    environment: Mapping[str, str]

    @property
    def api_url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.api_port}"

    @property
    def flower_url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.flower_port}"

    @property
    def metrics(self) -> Path:
        """Where the API processes keep their counts together, as long as we run."""
        return self.data / "metrics"

    @property
    def users(self) -> dict[str, dict[str, str]]:
        """role → email and password of the demo user with that role."""
        passwords = self.secrets.passwords
        return {role: {"email": secrets_file.email(role), "password": passwords[role]} for role in secrets_file.ROLES}

    def summary(self) -> dict[str, Any]:
        """Where things are, in the shape of `--json`, still without process ids."""
        return {
            "api": self.api_url,
            "flower": self.flower_url,
            "data": str(self.data),
            "database": self.environment["DATABASE_URL"],
            "broker": self.environment["BROKER_URL"],
            "users": self.users,
        }


def profile(data: Path, api_port: int, numbers: Numbers, given: Mapping[str, str] = os.environ) -> Profile:
    """Decide. Raises LocalError where the environment asks for something else than a local system."""
    if given.get("ENVIRONMENT", "local") != "local":
        raise LocalError(
            f"`orders up` runs the local profile with demo users, and ENVIRONMENT is {given['ENVIRONMENT']!r}. "
            f"Unset it, or start the processes one by one as docker-compose.yml shows."
        )
    secrets = secrets_file.load(data / "secrets.json")
    postgres = None if given.get("DATABASE_URL") else Postgres(data / "postgres")
    valkey = None if given.get("BROKER_URL") else Valkey(data / "valkey", ports.free(), secrets.broker)
    settled = Profile(data, secrets, api_port, numbers, ports.next_free(FLOWER_PORT), postgres, valkey, {})
    return replace(settled, environment=_environment(settled, given))


def _environment(settled: Profile, given: Mapping[str, str]) -> dict[str, str]:
    environment = {
        **DEFAULTS,
        "SECRET_KEY": settled.secrets.secret_key,
        "METRICS_DIRECTORY": str(settled.metrics),
        "LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
        **{name: value for name, value in given.items() if value},
    }
    if settled.postgres:
        environment["DATABASE_URL"] = settled.postgres.url(DATABASE)
    if settled.valkey:
        environment["BROKER_URL"] = settled.valkey.url
    return environment


def processes(settled: Profile) -> dict[str, list[Process]]:
    """role → its processes, in the order in which they start."""
    numbers = settled.numbers
    return {
        "api": [_api(settled, name) for name in _names("api", numbers.api)],
        "relay": [relay(settled.data, settled.environment, name) for name in _names("relay", numbers.relay)],
        "worker": [worker(settled.data, settled.environment, name) for name in _names("worker", numbers.worker)],
        "beat": [beat(settled.data, settled.environment, name) for name in _names("beat", numbers.beat)],
        "flower": [_flower(settled)],
    }


def _names(role: str, count: int) -> list[str]:
    """`worker`, `worker-2`, `worker-3`, …"""
    return [role if number == 1 else f"{role}-{number}" for number in range(1, count + 1)]


def relay(data: Path, environment: Mapping[str, str], name: str = "relay") -> Process:
    node = f"relay@{name}.%h" if name != "relay" else "relay@%h"
    made = _celery(data, environment, name, "worker", "-P", "solo", "-Q", "relay", "-n", node, *QUIET)
    return replace(made, stop_seconds=shutdown.RELAY_NODE_SECONDS)


def worker(data: Path, environment: Mapping[str, str], name: str = "worker") -> Process:
    """A worker node with two children."""
    arguments = ("worker", "-Q", "orders,rollups", "-n", f"{name}@%h", "-c", "2", *QUIET)
    return replace(_celery(data, environment, name, *arguments), stop_seconds=shutdown.WORKER_SECONDS)


def beat(data: Path, environment: Mapping[str, str], name: str = "beat") -> Process:
    return _celery(data, environment, name, "beat")


def _api(settled: Profile, name: str) -> Process:
    def ready() -> bool:
        return Client(settled.api_url).get("/health/readiness").status == HTTPStatus.OK

    process = serve.process(name, settled.api_port, env=settled.environment)
    return replace(process, ready=ready, ready_timeout=60.0)


def _celery(data: Path, environment: Mapping[str, str], name: str, *arguments: str) -> Process:
    """Ready when it beats. The file of an earlier run is removed, so that only a living process makes it exist."""
    heartbeat = data / "heartbeat" / name
    heartbeat.parent.mkdir(exist_ok=True)
    heartbeat.unlink(missing_ok=True)
    # SIGTERM is to be Celery's soft shutdown: tasks that run get 5 s to finish.
    own = {"HEARTBEAT_FILE": str(heartbeat), "REMAP_SIGTERM": "SIGQUIT"}
    return Process(name, [*CELERY, *arguments], {**environment, **own}, heartbeat.exists, ready_timeout=60.0)


def _flower(settled: Profile) -> Process:
    own = {"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{settled.secrets.flower_password}"}  # not for everybody's `ps` to show
    options = {
        "address": ports.LOOPBACK,
        "port": str(settled.flower_port),
        "persistent": "True",
        "db": str(settled.data / "flower.db"),
        "state_save_interval": "10000",
        "read_only": "True",
    }
    argv = [*CELERY, "flower", *(f"--{name}={value}" for name, value in options.items())]
    return Process("flower", argv, {**settled.environment, **own}, _answers(settled.flower_url), ready_timeout=60.0)


def _answers(url: str) -> Callable[[], bool]:
    return lambda: Client(url).get("/healthcheck").status == HTTPStatus.OK
