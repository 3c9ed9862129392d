"""What is kept for a while only: how long, in which bites, and that nothing else goes with it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from world import World

from models import retention, transition_requests
from models.audit_log import NOBODY
from models.identity import refresh_tokens
from models.identity.sessions import Rules
from models.lifecycle import Actor, Status
from models.retention import RULES
from models.transition_requests import Wish
from runtime import database, settings
from runtime.database import Role
from schedules.timetable import TIMETABLE

TABLES = sorted(RULES)


def sweep(world: World, table: str) -> None:
    """What the timetable asks for, until it asks for no more."""
    kind = f"upkeep.prune-{table.replace('_', '-')}"
    world.sql("INSERT INTO outbox (kind) VALUES (:kind)", kind=kind)
    while world.work(kind):
        pass


def make(world: World, table: str, ages: Sequence[timedelta]) -> None:
    """One row of each age: so long ago it was settled, resolved, or expired. The first line names the row `1`, …"""
    for number, age in enumerate(ages, start=1):
        {
            "idempotency_keys": _key,
            "transition_requests": _request,
            "dead_letters": _letter,
            "refresh_tokens": _token,
            "sessions": _session,
            "api_keys": _api_key,
            "revocations": _revocation,
        }[table](world, number, age)


def _key(world: World, number: int, age: timedelta) -> None:
    world.sql(
        "INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, expires_at)"
        " VALUES (:user, 'route', :key, '', 201, '', now() - :age)",
        user=world.user().id,
        key=str(number),
        age=age,
    )


def _request(world: World, number: int, age: timedelta) -> None:
    """Asked for a minute before it was settled."""
    order, staff = world.place(world.user(), {world.product().sku: 1}), world.user()
    world.sql(
        "INSERT INTO transition_requests (id, order_id, to_status, reason, actor, requested_by, state, created_at,"
        " resolved_at) VALUES (uuidv7(-CAST(:age AS interval) - interval '1 minute'), :order, 'cancelled', :number,"
        " 'staff', :staff, 'refused', now() - :age - interval '1 minute', now() - :age)",
        order=order.id,
        staff=staff.id,
        number=str(number),
        age=age,
    )


def _letter(world: World, number: int, age: timedelta) -> None:
    world.sql(
        "INSERT INTO dead_letters (kind, error, attempts, first_at, last_at, resolved_at, resolved_by, resolved_how)"
        " VALUES (:number, '', 8, now() - :age, now() - :age, now() - :age, 'somebody', 'discarded')",
        number=str(number),
        age=age,
    )


def _token(world: World, number: int, age: timedelta) -> None:
    world.sql(
        "INSERT INTO refresh_tokens (sha256, family, user_id, issued_at, expires_at)"
        " VALUES (CAST(:number AS text)::bytea, gen_random_uuid(), :user, now() - :age, now() - :age)",
        user=world.user().id,
        number=str(number),
        age=age,
    )


def _session(world: World, number: int, age: timedelta) -> None:
    world.sql(
        "INSERT INTO sessions (id, user_id, ends_at)"
        " VALUES (CAST(lpad(CAST(:number AS text), 32, '0') AS uuid), :user, now() - :age)",
        user=world.user().id,
        number=str(number),
        age=age,
    )


def _api_key(world: World, number: int, age: timedelta) -> None:
    """Revoked so long ago, or expired."""
    world.sql(
        "INSERT INTO api_keys (id, user_id, name, prefix, sha256, permissions, expires_at, revoked_at)"
        " VALUES (uuidv7(), :user, '', :number, '', ARRAY['orders:place'], now() - :age,"
        " CASE WHEN :is_revoked THEN now() - :age END)",
        user=world.user().id,
        number=str(number),
        is_revoked=number % 2 == 0,
        age=age,
    )


def _revocation(world: World, number: int, age: timedelta) -> None:
    world.sql(
        "INSERT INTO revocations (subject, epoch, at) VALUES (gen_random_uuid(), :n, now() - :age)", n=number, age=age
    )


NAMES = {
    "idempotency_keys": "key",
    "transition_requests": "reason",
    "dead_letters": "kind",
    "refresh_tokens": "convert_from(sha256, 'UTF8')",
    "sessions": "right(CAST(id AS text), 1)",
    "api_keys": "prefix",
    "revocations": "CAST(epoch AS text)",
}


def left(world: World, table: str) -> list[str]:
    return sorted(row[0] for row in world.sql(f"SELECT {NAMES[table]} FROM {table} WHERE {NAMES[table]} ~ '^[0-9]$'"))


@pytest.mark.parametrize("table", TABLES)
def test_what_is_old_enough_goes_and_what_is_younger_stays(world: World, table: str) -> None:
    kept, second = RULES[table].kept, timedelta(seconds=10)
    make(world, table, [kept + second, kept - second, kept + timedelta(days=500)])
    sweep(world, table)
    assert left(world, table) == ["2"]


@pytest.mark.parametrize("table", TABLES)
def test_a_sweep_takes_bounded_bites_until_there_is_no_more(world: World, table: str) -> None:
    make(world, table, [RULES[table].kept + timedelta(hours=1)] * 5)
    with database.transaction() as connection:
        assert [retention.forget(connection, table, limit=2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_that_is_pruned_stands_in_the_timetable(table: str) -> None:
    assert f"upkeep.prune-{table.replace('_', '-')}" in {entry.kind for entry in TIMETABLE}


def test_a_sweep_that_was_full_asks_for_the_next_one_at_once(world: World) -> None:
    world.sql(
        "INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, expires_at)"
        " SELECT :user, 'route', n::text, '', 201, '', now() FROM generate_series(1, :keys) AS n",
        user=world.user().id,
        keys=2 * retention.ROWS_PER_BITE + 1,
    )
    world.sql("INSERT INTO outbox (kind) VALUES ('upkeep.prune-idempotency-keys')")
    assert [world.work() for _ in range(4)] == [1, 1, 1, 0], "three bites, each with a row of its own"
    assert world.sql("SELECT count(*) FROM idempotency_keys")[0][0] == 0


def test_keys_are_kept_for_72_hours(world: World) -> None:
    bowl = world.product()
    world.place(world.user(), {bowl.sku: 1})
    [[hours]] = world.sql("SELECT extract(epoch FROM expires_at - now()) / 3600 FROM idempotency_keys")
    assert 71.9 < hours <= 72


def test_what_is_not_settled_yet_stays_however_old_it_is(world: World) -> None:
    order, staff = world.place(world.user(), {world.product().sku: 1}), world.user()
    with database.transaction(Role.API) as connection:
        wish = Wish(Status.CANCELLED, Actor.STAFF, staff.id)
        transition_requests.ask(connection, order.id, None, wish)
    world.sql("UPDATE transition_requests SET id = uuidv7(interval '-2 years'), created_at = '2020-01-01'")
    world.sql(
        "INSERT INTO dead_letters (kind, error, attempts, first_at, last_at) VALUES ('1', '', 8, now(), '2020-01-01')"
    )
    sweep(world, "transition_requests")
    sweep(world, "dead_letters")
    assert world.sql("SELECT state FROM transition_requests") == [("pending",)]
    assert left(world, "dead_letters") == ["1"]


def test_a_session_goes_on_when_its_old_tokens_are_forgotten(world: World) -> None:
    user, rules = world.user(), Rules.of(settings.current())
    with database.transaction(Role.API) as connection:
        first = refresh_tokens.begin(connection, user, rules, NOBODY)
        assert first is not None
        second = refresh_tokens.exchange(connection, first.token, rules, NOBODY)
    world.sql("UPDATE refresh_tokens SET expires_at = now() - interval '31 days' WHERE used_at IS NOT NULL")
    sweep(world, "refresh_tokens")
    with database.transaction(Role.API) as connection:
        assert second is not None
        assert refresh_tokens.exchange(connection, second.token, rules, NOBODY) is not None


def test_a_key_that_is_claimed_anew_while_it_is_pruned_is_left_alone(world: World) -> None:
    """The claim of an expired key rewrites its row; the sweep passes over it, does not wait, and deletes the rest."""
    make(world, "idempotency_keys", [timedelta(hours=1), timedelta(hours=1)])
    with database.transaction(Role.OWNER) as claim:
        claim.exec_driver_sql("UPDATE idempotency_keys SET expires_at = now() + interval '72 hours' WHERE key = '1'")
        with database.transaction() as connection:
            assert retention.forget(connection, "idempotency_keys") == 1
    assert left(world, "idempotency_keys") == ["1"]


def test_ids_of_requests_are_in_the_order_of_time(world: World) -> None:
    """The pruning of requests leans on it."""
    order, staff = world.place(world.user(), {world.product().sku: 1}), world.user()
    with database.transaction(Role.API) as connection:
        transition_requests.ask(connection, order.id, None, Wish(Status.CANCELLED, Actor.STAFF, staff.id))
    [[apart]] = world.sql("SELECT extract(epoch FROM created_at - uuid_extract_timestamp(id)) FROM transition_requests")
    assert abs(apart) < 5
