"""Bring the database to the schema this code needs: the roles, the migrations, the first signing key."""

from collections.abc import Callable

import sqlalchemy
from alembic import command
from sqlalchemy import Connection, Engine, text

from models import migrations
from models.identity import signing_keys
from runtime import database
from runtime.settings import Settings

# Two `orders migrate` at once: the second waits here, then finds nothing to do. (Any constant number would do.)
ADVISORY_LOCK = 7_160_501


class SchemaTooNew(Exception):
    """The database was migrated by a newer version of this software; deploy that version, or restore a backup."""


def run(settings: Settings, report: Callable[[str], None] = print) -> None:
    """Create what is missing and migrate to the head revision; safe to repeat, and to run twice at once.

    Raises:
        SchemaTooNew: the database is at a revision this code does not know.
    """
    engine = sqlalchemy.create_engine(settings.sqlalchemy_url, poolclass=sqlalchemy.NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK})
        _create_roles(connection)
        _migrate(engine, report)
    owner = database.engine(settings, database.Role.OWNER)
    with owner.begin() as transaction:
        signing_keys.ensure(transaction, settings)
    owner.dispose()


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
