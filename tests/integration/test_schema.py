"""The schema is what the migrations make of an empty database, and it is what the code believes it to be."""

import os
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy
from alembic import command
from sqlalchemy import Connection, Engine, text

from models import grants, migrations, tables
from models.identity import passwords
from models.lifecycle import MOVES
from ops import migrate
from runtime import database, settings
from runtime.database import Role
from workers.app import app

# What a stranger sees of a schema: columns, constraints, indexes, comments, storage parameters.
CATALOGUE = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
        pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, col_description(c.oid, a.attnum)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '', '', '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT 'table', relname, '', reloptions::text, '', '', '', obj_description(oid)
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@pytest.fixture
def empty() -> Iterator[Engine]:
    """An empty database of its own."""
    url = settings.current().sqlalchemy_url
    name = f"empty_{os.getpid()}"
    server = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
    server.execute(f"CREATE DATABASE {name}")
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(database=name), poolclass=sqlalchemy.NullPool)
    yield engine
    server.execute(f"DROP DATABASE {name}")
    server.close()


def catalogue(connection: Connection) -> set[tuple[str, ...]]:
    rows = connection.execute(text(CATALOGUE))
    return {tuple(str(part) for part in row) for row in rows if "alembic_version" not in row}


def test_the_migrations_and_the_metadata_describe_the_same_schema(empty: Engine) -> None:
    with empty.connect() as connection:
        tables.metadata.create_all(connection)
        described = catalogue(connection)
    with database.transaction(Role.OWNER) as connection:
        assert catalogue(connection) == described


def test_the_migrations_can_be_taken_back_one_by_one(empty: Engine) -> None:
    with empty.connect() as connection:
        configuration = migrations.config(connection)
        command.upgrade(configuration, "head")
        command.downgrade(configuration, "base")
        connection.commit()
        left = {row[1] for row in connection.execute(text(CATALOGUE))}
    assert left <= {"alembic_version"}


# In the columns of 0005: a transition that somebody asked for, and an open letter. Whose they are is not looked at.
BEFORE_0006 = """
    SET session_replication_role = replica;
    INSERT INTO transition_requests (id, order_id, to_status, actor, requested_by, state)
    SELECT gen_random_uuid(), gen_random_uuid(), 'cancelled', 'owner', gen_random_uuid(), state
    FROM unnest(ARRAY['pending', 'refused']) AS state;
    INSERT INTO dead_letters (kind, order_id, expected_version, error, attempts, first_at, last_at)
    VALUES ('orders.confirm', gen_random_uuid(), 1, 'kept', 8, now(), now());
"""
# What the commands and tasks of 0006 leave: wishes of nobody's account, letters of messages, letters that are resolved.
SINCE_0006 = """
    INSERT INTO transition_requests (id, order_id, to_status, actor, state)
    SELECT gen_random_uuid(), gen_random_uuid(), 'pending', 'staff', state
    FROM unnest(ARRAY['applied', 'refused', 'pending']) AS state;
    INSERT INTO dead_letters (origin, kind, error, attempts, first_at, last_at)
    VALUES ('message', 'nobody-can', 'no task has this name', 1, now(), now());
    INSERT INTO dead_letters
        (kind, error, attempts, first_at, last_at, resolved_at, resolved_by, resolved_how, resolved_because)
    VALUES ('rollups.fold', 'kept', 8, now(), now(), now(), 'cli:ann', 'replayed', 'mended');
"""
SETTLED = "UPDATE transition_requests SET state = 'applied' WHERE state = 'pending' AND requested_by IS NULL"


def kept(connection: Connection) -> tuple[int, list[str]]:
    """How many requests there are, and the letters' errors."""
    requests = connection.exec_driver_sql("SELECT count(*) FROM transition_requests").scalar_one()
    letters = connection.exec_driver_sql("SELECT error FROM dead_letters ORDER BY id").scalars()
    return requests, list(letters)


def test_what_was_there_before_dead_letters_could_be_resolved_is_kept_by_the_migrations(empty: Engine) -> None:
    with empty.connect() as connection:
        configuration = migrations.config(connection)
        command.upgrade(configuration, "0005")
        connection.exec_driver_sql(BEFORE_0006)
        command.upgrade(configuration, "head")
        assert kept(connection) == (2, ["kept"])
        assert connection.exec_driver_sql("SELECT origin FROM dead_letters").scalars().all() == ["outbox"]


def test_the_way_back_drops_what_the_older_code_cannot_hold_and_nothing_else(empty: Engine) -> None:
    with empty.connect() as connection:
        configuration = migrations.config(connection)
        command.upgrade(configuration, "0005")
        before = catalogue(connection)
        connection.exec_driver_sql(BEFORE_0006)
        command.upgrade(configuration, "head")
        after = catalogue(connection)
        connection.exec_driver_sql(SINCE_0006)
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="contains null values"), connection.begin_nested():
            command.downgrade(configuration, "0005")
        assert kept(connection) == (5, ["kept", "no task has this name", "kept"]), "a pending one stays"
        connection.exec_driver_sql(SETTLED)
        command.downgrade(configuration, "0005")
        assert catalogue(connection) ^ before == set()
        assert kept(connection) == (2, ["kept", "kept"])
        command.upgrade(configuration, "head")
        assert catalogue(connection) ^ after == set()
        assert kept(connection) == (2, ["kept", "kept"])


def test_the_way_back_leaves_a_service_account_as_one_that_nobody_can_log_in_to(empty: Engine) -> None:
    """It may have placed orders: it cannot go."""
    with empty.connect() as connection:
        configuration = migrations.config(connection)
        command.upgrade(configuration, "head")
        connection.exec_driver_sql("INSERT INTO users (id, name, role) VALUES (uuidv7(), 'shop-sync', 'staff')")
        command.downgrade(configuration, "0010")
        left = connection.exec_driver_sql("SELECT email, password_hash FROM users").all()
    assert left == [("shop-sync@service.invalid", "!")]
    assert not passwords.matches(settings.current(), "!", "!")


@pytest.mark.parametrize(
    "row",
    [
        "'a@example.com', NULL, 'a', 'staff'",
        "NULL, 'hash', 'a-b', 'staff'",
        "NULL, NULL, NULL, 'staff'",
        "NULL, NULL, 'A B', 'staff'",
        "NULL, NULL, 'a-b', 'admin'",
    ],
)
def test_a_user_is_a_person_with_a_login_or_a_service_with_a_name_and_little_power(row: str) -> None:
    statement = f"INSERT INTO users (id, email, password_hash, name, role) VALUES (uuidv7(), {row})"
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="check"), database.transaction(Role.OWNER) as connection:
        connection.execute(text(statement))


def test_migrating_again_changes_nothing() -> None:
    said: list[str] = []
    with database.transaction(Role.OWNER) as connection:
        before = catalogue(connection)
    migrate.run(settings.current(), said.append)
    with database.transaction(Role.OWNER) as connection:
        assert catalogue(connection) == before
    assert said == [f"the schema is at {migrations.head()} already"]


def test_a_schema_from_the_future_is_refused() -> None:
    with database.transaction(Role.OWNER) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(migrate.SchemaTooNew, match="deploy that version"):
            migrate.run(settings.current(), print)
    finally:
        with database.transaction(Role.OWNER) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": migrations.head()})


def test_every_index_says_which_query_it_serves() -> None:
    expected = {
        str(index.name): index.info["serves"] for table in tables.metadata.tables.values() for index in table.indexes
    }
    query = """
        SELECT c.relname, obj_description(c.oid) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = c.oid AND contype IN ('p', 'u'))
    """
    with database.transaction(Role.OWNER) as connection:
        assert dict(tuple(row) for row in connection.execute(text(query))) == expected


def test_the_databases_copy_of_the_lifecycle_equals_the_table_of_moves() -> None:
    with database.transaction(Role.OWNER) as connection:
        copy = connection.execute(text("SELECT from_status, to_status FROM legal_moves")).all()
    assert {tuple(row) for row in copy} == {(str(move.source), str(move.target)) for move in MOVES}


@pytest.mark.parametrize("role", [Role.API, Role.WORKER])
def test_s24_the_grants_are_what_the_data_says(role: Role) -> None:
    query = "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role"
    granted: dict[str, set[str]] = {}
    with database.transaction(Role.OWNER) as connection:
        for table, privilege in connection.execute(text(query), {"role": role}):
            granted.setdefault(table, set()).add(privilege)
    assert granted == {table: set(privileges) for table, privileges in grants.GRANTS[role].items()}


@pytest.mark.parametrize("role", [Role.API, Role.WORKER])
def test_s24_the_columns_a_role_may_update_are_what_the_data_says(role: Role) -> None:
    query = """
        SELECT table_name, column_name FROM information_schema.column_privileges AS of_column
        WHERE grantee = :role AND privilege_type = 'UPDATE' AND NOT EXISTS (
            SELECT 1 FROM information_schema.role_table_grants AS of_table
            WHERE (of_table.grantee, of_table.table_name, of_table.privilege_type)
                = (of_column.grantee, of_column.table_name, of_column.privilege_type))
    """
    granted: dict[str, set[str]] = {}
    with database.transaction(Role.OWNER) as connection:
        for table, column in connection.execute(text(query), {"role": role}):
            granted.setdefault(table, set()).add(column)
    assert granted == {table: set(columns) for table, columns in grants.COLUMNS[role].items()}


@pytest.mark.parametrize("role", [Role.API, Role.WORKER])
def test_s24_what_a_role_may_have_done_with_the_owners_rights_is_what_the_data_says(role: Role) -> None:
    query = """
        SELECT CAST(oid AS regprocedure) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef AND has_function_privilege(:role, oid, 'EXECUTE')
    """
    with database.transaction(Role.OWNER) as connection:
        assert set(connection.execute(text(query), {"role": role}).scalars()) == grants.FUNCTIONS[role]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (Role.API, "UPDATE dead_letters SET error = ''"),
        (Role.API, "DELETE FROM dead_letters"),
        (Role.API, "UPDATE orders SET status = 'delivered'"),
        (Role.API, "DELETE FROM orders"),
        (Role.API, "UPDATE api_keys SET permissions = ARRAY['products:write']"),
        (Role.API, "UPDATE api_keys SET user_id = gen_random_uuid()"),
        (Role.API, "UPDATE api_keys SET sha256 = ''"),
        (Role.API, "DELETE FROM api_keys"),
        (Role.API, "UPDATE order_events SET actor = 'staff'"),
        (Role.API, "DELETE FROM outbox"),
        (Role.API, "UPDATE daily_orders SET orders = 0"),
        (Role.WORKER, "UPDATE order_events SET actor = 'staff'"),
        (Role.WORKER, "UPDATE order_events SET xid = '3'"),
        (Role.WORKER, "DELETE FROM order_events"),
        (Role.WORKER, "DELETE FROM orders"),
        (Role.WORKER, "SELECT password_hash FROM users"),
    ],
)
def test_s24_a_role_cannot_do_what_it_has_no_business_with(role: Role, statement: str) -> None:
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"), database.transaction(role) as c:
        c.execute(text(statement))


@pytest.mark.parametrize("role", Role)
def test_every_process_is_its_role_under_time_limits_from_the_first_statement(role: Role) -> None:
    with database.transaction(role) as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == role
        for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(text(f"SHOW {limit}")).scalar_one() != "0", limit


def test_s29_of_a_workers_limits_the_one_nearest_to_the_cause_ends_it_first() -> None:
    configured = app.conf
    assert database.WORKER_LOCK_TIMEOUT < database.WORKER_STATEMENT_TIMEOUT
    assert database.WORKER_STATEMENT_TIMEOUT.total_seconds() < configured.task_time_limit
    app.loader.import_default_modules()
    unlimited = {name for name, task in app.tasks.items() if (task.time_limit or configured.task_time_limit) is None}
    assert unlimited == set()
    waits = configured.broker_transport_options
    assert 0 < waits["socket_connect_timeout"] <= waits["socket_timeout"] <= waits["health_check_interval"] < 10
