"""The stand on which everything is measured: the engines as `orders up` runs them, durable, in a fresh directory."""

import os
import secrets
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks import callers
from ops import migrate, seed, serve
from ops.failures import LocalError
from ops.local import engines
from ops.local.engines import Postgres, Valkey
from ops.processes import ports
from ops.processes.children import Child, Process
from runtime import settings

DATABASE = "orders"
LISTENING_SECONDS = 60.0
FLUSHES = 200
FLUSHED_BYTES = 8192


@dataclass(frozen=True)
class Stand:
    """Running engines, with a migrated and seeded database and `users` users."""

    directory: Path
    postgres: Postgres
    valkey: Valkey
    postgres_pid: int
    valkey_pid: int
    environment: Mapping[str, str]
    users: int

    @contextmanager
    def superuser(self, database: str = DATABASE) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.postgres.url(database), autocommit=True) as connection:
            yield connection


@contextmanager
def standing(directory: Path, users: int) -> Iterator[Stand]:
    with ExitStack() as stack:
        postgres = Postgres(directory / "postgres")
        valkey = Valkey(directory / "valkey", ports.free())
        postgres_pid, valkey_pid = (_started(engine, stack) for engine in (postgres, valkey))
        postgres.ensure_database(DATABASE)
        environment = os.environ | {
            "ENVIRONMENT": "local",
            "DATABASE_URL": postgres.url(DATABASE),
            "BROKER_URL": valkey.url,
            "SECRET_KEY": secrets.token_hex(32),
            "LOG_FORMAT": "json",
        }
        configuration = settings.read(environment)
        migrate.run(configuration, lambda _: None)
        seed.run(configuration)
        stand = Stand(directory, postgres, valkey, postgres_pid, valkey_pid, environment, users)
        with stand.superuser() as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            callers.insert_users(connection, users)
            connection.execute("VACUUM ANALYZE users")
        yield stand


def _started(engine: engines.Engine, stack: ExitStack) -> int:
    child = engines.start(engine)
    stack.callback(child.stop)
    return child.pid


@dataclass(frozen=True)
class Listeners:
    """Processes that each have a listening socket of their own on one port, and what each has written so far."""

    port: int
    pids: Sequence[int]
    logs: Sequence[Path]

    def lines_with(self, text: bytes) -> list[int]:
        """How many lines of each process's log contain `text`."""
        return [log.read_bytes().count(text) for log in self.logs]


@contextmanager
def api(environment: Mapping[str, str], directory: Path, processes: int) -> Iterator[Listeners]:
    """API processes as `orders up` starts them."""
    with _reserved() as port:
        starting = [serve.process(f"api-{number}", port, env=environment) for number in range(1, processes + 1)]
        with listening(port, starting, directory) as listeners:
            yield listeners


@contextmanager
def modules(module: str, environment: Mapping[str, str], directory: Path, processes: int) -> Iterator[Listeners]:
    """Processes of a module of ours that takes its port as its argument."""
    with _reserved() as port:
        argv = [sys.executable, "-m", module, str(port)]
        starting = [Process(f"{module}-{number}", argv, environment) for number in range(1, processes + 1)]
        with listening(port, starting, directory) as listeners:
            yield listeners


@contextmanager
def listening(port: int, starting: Sequence[Process], directory: Path) -> Iterator[Listeners]:
    """The processes, once each of them listens on the port; they are stopped properly at the end."""
    with ExitStack() as stack:
        children, logs = [], []
        for process in starting:
            log = directory / f"{process.name}.log"
            child = Child(process, stack.enter_context(log.open("wb")))
            stack.callback(child.stop)
            children.append(child)
            logs.append(log)
        for child, log in zip(children, logs, strict=True):
            _await_listening(child, port, log)
        yield Listeners(port, [child.pid for child in children], logs)


@contextmanager
def _reserved() -> Iterator[int]:
    port = ports.free()
    with ports.reserve(port):
        yield port


def _await_listening(child: Child, port: int, log: Path) -> None:
    deadline = time.monotonic() + LISTENING_SECONDS
    while not _listens(child.pid, port):
        if child.exit_code is not None or time.monotonic() > deadline:
            raise LocalError(f"{child.process.name} does not listen: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def _listens(pid: int, port: int) -> bool:
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def flush_ms(directory: Path) -> float:
    """How long it takes, typically, until a page written in this directory is on the disk."""
    page = os.urandom(FLUSHED_BYTES)
    took = []
    path = directory / "flush"
    with path.open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(page)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took) * 1000
