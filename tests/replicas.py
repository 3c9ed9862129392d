"""A real PostgreSQL pair: a primary with the schema, and a replica that streams from it and can be killed."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from ops import migrate
from ops.local import engines
from ops.local.engines import Postgres
from ops.local.postgres_directory import binaries
from ops.processes.children import Child
from runtime import settings
from runtime.settings import Settings

FAST = {"fsync": "off", "shared_buffers": "32MB", "max_connections": "60"}
DATABASE = "orders"


@dataclass
class Pair:
    primary: Postgres
    replica: Postgres
    server: Child

    @property
    def settings(self) -> Settings:
        """Those of an API that reads from the replica."""
        urls = {"DATABASE_URL": self.primary.url(DATABASE), "DATABASE_READ_URL": self.replica.url(DATABASE)}
        kept = ("ENVIRONMENT", "BROKER_URL", "SECRET_KEY", "AUTOPILOT", "LOG_LEVEL")
        return settings.read({**{name: os.environ[name] for name in kept}, **urls, "DATABASE_READ_LAG_MAX": "2"})

    def on_replica(self, statement: str) -> object:
        with psycopg.connect(self.replica.url(DATABASE), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def processes(self) -> list[int]:
        """The replica's, its parent first."""
        parent = psutil.Process(self.server.pid)
        return [each.pid for each in (parent, *parent.children(recursive=True))]

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.server = engines.start(self.replica)


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """Both servers, running; whatever became of them meanwhile, they are gone afterwards."""
    primary = Postgres(directory / "primary", settings=FAST)
    with engines.running(primary):
        primary.ensure_database(DATABASE)
        needed = {name: os.environ[name] for name in ("ENVIRONMENT", "BROKER_URL", "SECRET_KEY")}
        migrate.run(settings.read({**needed, "DATABASE_URL": primary.url(DATABASE)}), lambda _: None)
        replica = Postgres(directory / "replica", settings=FAST)
        _copy(primary, replica)
        made = Pair(primary, replica, engines.start(replica))
        try:
            yield made
        finally:
            made.server.kill()


def _copy(primary: Postgres, replica: Postgres) -> None:
    account = primary.account
    replica.home.parent.mkdir(parents=True, exist_ok=True)
    replica.home.mkdir(mode=0o700)
    if account:
        os.chown(replica.home, account.uid, account.gid)
    # -R: the copy knows whom to follow.
    command = [binaries() / "pg_basebackup", "-R", "-D", replica.home, "-c", "fast", "-d", primary.url("postgres")]
    as_them = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    subprocess.run(command, check=True, capture_output=True, **as_them)  # type: ignore[call-overload]
    for left_by_the_primary in replica.home.glob(".s.PGSQL.*"):
        left_by_the_primary.unlink()
