"""The services of docker-compose.yml as processes of this machine: their very commands in their very environments.

There is no Docker engine where tests run. What an image, a network and a volume give a service is taken from the
embedded engines, from our own environment, and from `_elsewhere`; everything else is read from the file.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import compose_file
import engine_programs
import psycopg
from container import Container
from psycopg import sql

from ops.local.engines import Postgres
from ops.processes import ports
from ops.processes.children import Child, Process

# service → the port that its image listens on
ENGINES = {"postgres": 5432, "valkey": 6379}
# The image of PostgreSQL lets nobody in without a password.
HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def published(service: Mapping[str, Any]) -> list[str]:
    """The ports of a container that its host can reach."""
    return [port.rpartition(":")[2] for port in service.get("ports", ())]


class Project:
    """The services that belong to no profile, started one by one; `given` is what stands in `.env`."""

    def __init__(self, directory: Path, given: Mapping[str, str], stack: ExitStack) -> None:
        self.given = given
        self._directory = directory
        self._stack = stack
        services = compose_file.filled(compose_file.services(), given)
        self._services = {name: service for name, service in services.items() if "profiles" not in service}
        inside = (port for service in self._services.values() for port in published(service))
        self._ports = {port: ports.free() for port in (*ENGINES, *inside)}
        self._programs = engine_programs.install(directory / "bin", self._ports["postgres"], self._ports["valkey"])
        self._postgres = Postgres(
            directory / "postgres",
            {"fsync": "off", "listen_addresses": ports.LOOPBACK, "port": str(self._ports["postgres"])},
        )
        self._containers: dict[str, list[Container]] = {}

    def up(self, *names: str) -> None:
        """Start services that have not been started, each when those it depends on are as far as it says.

        Without names, all of them.
        """
        for name in names or self._services:
            if name not in self._containers:
                for needed, how in self._services[name].get("depends_on", {}).items():
                    self.up(needed)
                    self._await(needed, how["condition"])
                self._start(name)

    def run(self, name: str, command: str) -> str:
        """Run another command where the service would run; returns what it says."""
        [container] = self._containers[name]
        done = subprocess.run(
            shlex.split(command), env=container.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def containers(self, *names: str) -> list[Container]:
        """Those of these services, or of all that stay."""
        stay = (name for name, service in self._services.items() if service.get("restart") != "no")
        return [container for name in names or stay for container in self._containers[name]]

    def url(self, name: str) -> str:
        """Where a service is published."""
        [port] = published(self._services[name])
        return f"http://{ports.LOOPBACK}:{self._ports[port]}"

    def execute(self, statement: bytes) -> None:
        """As psql does it in the container of PostgreSQL."""
        with psycopg.connect(self._socket("orders"), autocommit=True) as connection:
            connection.execute(statement)

    def _await(self, name: str, condition: str) -> None:
        for container in self._containers[name]:
            if condition == "service_completed_successfully":
                container.await_success()
            else:
                assert condition == "service_healthy", condition
                container.await_health()

    def _start(self, name: str) -> None:
        replicas = self._services[name].get("deploy", {}).get("replicas", 1)
        self._containers[name] = [self._container(name, f"{name}-{number}") for number in range(1, replicas + 1)]
        if name == "postgres":
            self._prepare_database()

    def _container(self, name: str, own: str) -> Container:
        places = self._elsewhere(name, own)
        known = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, places))})(?!\w)")
        service = compose_file.rewritten(
            self._services[name], lambda words: known.sub(lambda found: places[found[0]], words)
        )
        path = self._programs if name in ENGINES else Path(sys.executable).parent
        environment = {**_of_the_image(), "PATH": f"{path}:{os.environ['PATH']}", **service["environment"]}
        process = Process(own, service["command"], environment)
        log = self._directory / f"{own}.log"
        with log.open("wb") as output:
            child = Child(self._as_its_image_does(process) if name == "postgres" else process, output)
        self._stack.callback(child.stop)
        return Container(own, service, environment, places, child, log)

    def _elsewhere(self, name: str, own: str) -> dict[str, str]:
        """What is a container's own → where that is on this machine. Nothing else of the file is changed.

        Containers have addresses, a host name and directories for themselves; processes side by side share one of each,
        so that they need other ports, names and paths. Only what the file gives a service is there: a path that is in
        no `tmpfs` and no volume of it, or a port that it does not publish, stays what it is, and does not work.
        """
        service = self._services[name]
        places = {f"{engine}:{port}": f"{ports.LOOPBACK}:{self._ports[engine]}" for engine, port in ENGINES.items()}
        places |= {port: str(self._ports[port]) for port in published(service)} | {"%h": own}
        for path in (*service.get("tmpfs", ()), *(volume.split(":")[1] for volume in service.get("volumes", ()))):
            places[path] = str(self._directory / own / path.strip("/").replace("/", "-"))
            Path(places[path]).mkdir(parents=True)
        return places

    def _as_its_image_does(self, process: Process) -> Process:
        """The embedded PostgreSQL in the place of the one that is asked for, with the options that it is given."""
        self._postgres.prepare()
        (self._postgres.home / "pg_hba.conf").write_text(HBA)
        program, *options = process.argv
        assert program == "postgres"
        return replace(self._postgres.process, argv=[*self._postgres.argv, *options])

    def _prepare_database(self) -> None:
        [container] = self._containers["postgres"]
        container.await_health()
        given = container.environment
        with psycopg.connect(self._socket("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(given["POSTGRES_PASSWORD"]))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(given["POSTGRES_DB"])))

    def _socket(self, database: str) -> str:
        return f"{self._postgres.url(database)}&port={self._ports['postgres']}"


def _of_the_image() -> dict[str, str]:
    """What the last ENV of the Dockerfile says."""
    words = re.findall(r"(?m)^ENV (.+)$", (compose_file.ROOT / "Dockerfile").read_text())[-1].split()
    return dict(word.split("=", 1) for word in words)


@contextmanager
def project() -> Iterator[Project]:
    """With the documented `.env`, and with nothing started yet."""
    # Not pytest's own directory: another run of pytest would shut PostgreSQL's user out of it.
    with tempfile.TemporaryDirectory(prefix="orders-composed-") as directory, ExitStack() as stack:
        home = Path(directory)
        yield Project(home, compose_file.documented_environment(home), stack)
