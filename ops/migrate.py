"""Bring the database to the schema this code needs: the roles, the migrations, the first signing key."""

from collections.abc import Callable
from datetime import timedelta

from alembic import command
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from models import migrations
from models.identity import signing_keys
from ops.failures import LocalError
from runtime import database
from runtime.settings import Settings

# Two `orders migrate` at once: the second waits here, then finds nothing to do. (Any constant number would do.)
ADVISORY_LOCK = 7_160_501
WAIT = timedelta(minutes=1)
ROLES_TIMEOUT = timedelta(seconds=30)

_LIMIT = text("SELECT set_config(:name, :limit, false)")
_HOLDER = text(
    # Of others' sessions a login may not see everything.
    "SELECT pid, usename, coalesce('from ' || host(client_addr), 'by a socket, or hidden from us') AS client,"
    " coalesce(date_trunc('second', now() - backend_start)::text, 'some time') AS long"
    " FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND classid = 0 AND objid = :lock AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class SchemaTooNew(Exception):
    """The database was migrated by a newer version of this software; deploy that version, or restore a backup."""


class MigrationRuns(LocalError):
    """Another `orders migrate` has been at work for longer than we wait for it."""


def run(settings: Settings, report: Callable[[str], None] = print, wait: timedelta = WAIT) -> None:
    """Create what is missing and migrate to the head revision; safe to repeat, and to run twice at once.

    Raises:
        SchemaTooNew: the database is at a revision this code does not know.
        MigrationRuns: somebody else has been migrating for all that we may wait.
    """
    engine = database.migrating_engine(settings)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _take_turn(connection, wait)
        _create_roles(connection)
        _migrate(engine, report)
    owner = database.engine(settings, database.Role.OWNER)
    with owner.begin() as transaction:
        signing_keys.ensure(transaction, settings)
    owner.dispose()


def _take_turn(connection: Connection, wait: timedelta) -> None:
    """Hold the lock for as long as the connection lasts."""
    _limit(connection, "lock_timeout", wait)
    try:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK})
    except OperationalError as error:
        if not database.is_lock_timeout(error):
            raise
        raise MigrationRuns(_who_migrates(connection, wait)) from None
    _limit(connection, "statement_timeout", ROLES_TIMEOUT)


def _limit(connection: Connection, name: str, limit: timedelta) -> None:
    connection.execute(_LIMIT, {"name": name, "limit": f"{max(1, round(limit.total_seconds() * 1000))}ms"})


def _who_migrates(connection: Connection, wait: timedelta) -> str:
    holder = connection.execute(_HOLDER, {"lock": ADVISORY_LOCK}).one_or_none()
    waited = f"we waited for {wait.total_seconds():g} s"
    if holder is None:
        return f"another `orders migrate` was at work, {waited}, and it has just ended: run this again."
    return (
        f"another `orders migrate` has the database's lock for migrations, and {waited}. It is connected as "
        f"{holder.usename} ({holder.client}), for {holder.long} now, as process {holder.pid} of the database. "
        f"Nothing was changed: run this again when that is done (`--wait` waits for longer). If nobody is at work "
        f"there any more, end it with: SELECT pg_terminate_backend({holder.pid})"
    )


def _create_roles(connection: Connection) -> None:
    """The roles are the cluster's, not the schema's: they exist before the first migration and outlive the last."""
    for role in database.Role:
        exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).one_or_none()
        if not exists:
            connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
        connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
    connection.execute(text(f"GRANT CREATE, USAGE ON SCHEMA public TO {database.Role.OWNER}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {database.Role.API}, {database.Role.WORKER}"))


def _migrate(engine: Engine, report: Callable[[str], None]) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"SET ROLE {database.Role.OWNER}"))
        before, head = migrations.applied(connection), migrations.head()
        if before is not None and before not in migrations.revisions():
            raise SchemaTooNew(SchemaTooNew.__doc__)
        if before == head:
            report(f"the schema is at {head} already")
            return
        command.upgrade(migrations.config(connection), "head")
        connection.commit()
        report(f"migrated the schema from {before or 'nothing'} to {head}")
