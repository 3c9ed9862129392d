"""Who was logged in before there were sessions stays so, and the way back revives nobody."""

import os
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy
from alembic import command
from sqlalchemy import Connection, Engine

from models import migrations
from models.audit_log import NOBODY
from models.identity import refresh_tokens, signing_keys
from models.identity.sessions import Rules
from runtime import settings

BEFORE = "0009"
# Two logins of one user: one that was refreshed once, and one that was logged out. The tokens are named in words.
LOGINS = """
    INSERT INTO users (id, email, role, password_hash)
    VALUES ('00000000-0000-7000-8000-000000000001', 'ada@example.com', 'customer', '');
    INSERT INTO refresh_tokens (sha256, family, user_id, issued_at, expires_at, used_at, successor)
    SELECT sha256(token::bytea), family::uuid, '00000000-0000-7000-8000-000000000001', now() - interval '1 day',
        now() + interval '29 days', used_at, CASE token WHEN 'spent' THEN sha256('alive'::bytea) END
    FROM (VALUES
        ('spent', '00000000-0000-7000-8000-00000000000a', now() - interval '1 hour'),
        ('alive', '00000000-0000-7000-8000-00000000000a', NULL),
        ('logged out', '00000000-0000-7000-8000-00000000000b', now())) AS logins (token, family, used_at);
"""
# As it was written then.
KEY = "INSERT INTO signing_keys (kid, public_key, sealed_private_key, state) VALUES (:kid, :public, :sealed, 'active')"


@pytest.fixture
def before() -> Iterator[Engine]:
    """A database of its own, at the revision of before."""
    url = settings.current().sqlalchemy_url
    name = f"before_sessions_{os.getpid()}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(database=name), poolclass=sqlalchemy.NullPool)
        try:
            with engine.begin() as connection:
                command.upgrade(migrations.config(connection), BEFORE)
            yield engine
        finally:
            server.execute(f"DROP DATABASE {name}".encode())


def exchanges(connection: Connection, token: str) -> bool:
    return refresh_tokens.exchange(connection, token, Rules.of(settings.current()), NOBODY) is not None


def test_logins_of_before_go_on_and_ended_ones_do_not(before: Engine) -> None:
    with before.connect() as connection:
        connection.exec_driver_sql(LOGINS)
        command.upgrade(migrations.config(connection), "head")
        assert exchanges(connection, "alive")
        assert not exchanges(connection, "logged out")
        assert not exchanges(connection, "invented")


def test_a_token_that_was_spent_before_ends_its_session(before: Engine) -> None:
    with before.connect() as connection:
        connection.exec_driver_sql(LOGINS)
        command.upgrade(migrations.config(connection), "head")
        assert not exchanges(connection, "spent")
        assert not exchanges(connection, "alive")


def test_the_way_back_keeps_who_is_logged_in_and_revives_nobody(before: Engine) -> None:
    with before.connect() as connection:
        configuration = migrations.config(connection)
        connection.exec_driver_sql(LOGINS)
        command.upgrade(configuration, "head")
        user = "00000000-0000-7000-8000-000000000001"
        connection.exec_driver_sql(
            "INSERT INTO sessions (id, user_id, ends_at, ended_at, ended_because)"
            f" VALUES ('00000000-0000-7000-8000-00000000000c', '{user}', now() + interval '9 days', now(), 'logout')"
        )
        connection.exec_driver_sql(
            "INSERT INTO refresh_tokens (sha256, family, user_id, issued_at, expires_at)"
            " SELECT sha256('ended'::bytea), id, user_id, now(), ends_at FROM sessions WHERE ended_at IS NOT NULL"
        )
        command.downgrade(configuration, BEFORE)
        good = "SELECT sha256 = sha256('alive'::bytea) FROM refresh_tokens WHERE used_at IS NULL"
        assert connection.exec_driver_sql(good).scalars().all() == [True]


def test_the_newest_of_several_keys_signs_and_is_the_one_left_on_the_way_back(before: Engine) -> None:
    configured = settings.current()
    with before.connect() as connection:
        configuration = migrations.config(connection)
        for kid in ("older", "newer"):
            connection.execute(sqlalchemy.text(KEY), {"kid": kid, "public": b"\1" * 32, "sealed": b"sealed"})
            connection.exec_driver_sql("UPDATE signing_keys SET created_at = created_at - interval '1 day'")
        command.upgrade(configuration, "head")
        states = {each.kid: (each.state, each.is_trusted) for each in signing_keys.records(connection)}
        assert states == {"newer": ("active", True), "older": ("retired", True)}
        next_one = signing_keys.announce(connection, configured)
        assert next_one not in states
        command.downgrade(configuration, BEFORE)
        assert connection.exec_driver_sql("SELECT kid, state FROM signing_keys").all() == [("newer", "active")]
