"""Alembic's entry point. The connection comes from `models.migrations.config`; offline mode is not supported."""

from alembic import context
from sqlalchemy import Connection, text

from models import tables
from models.migrations import LOCK_TIMEOUT

connection: Connection = context.config.attributes["connection"]
connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
context.configure(connection=connection, target_metadata=tables.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
