"""The audit log is added to and never changed, and its chain tells who changed it all the same (S25)."""

from dataclasses import asdict, replace
from threading import Event
from uuid import UUID, uuid4

import pytest
import sqlalchemy
from at_once import at_once
from audit_trail import an_event, entries, record, seal, tamper, verify
from pydantic import SecretStr
from sqlalchemy import text
from world import World

from models import audit_chain, audit_log, outbox
from models.audit_chain import BEGINNING, Head
from models.audit_log import EventName
from models.audit_verification import NAMED_MAX, Fault, Verdict
from runtime import database, settings
from runtime.database import Role

APPEND_ONLY = ("audit_log", "audit_seals")


def faults(verdict: Verdict) -> list[tuple[Fault, int | None]]:
    return [(finding.fault, finding.position) for finding in verdict.findings]


@pytest.fixture
def chain() -> list[UUID]:
    """Seven sealed events; their ids, in the sequence in which they were sealed."""
    record(*(an_event() for _ in range(7)))
    seal()
    return [entry.id for entry in entries()]


def test_s25_an_event_is_kept_as_it_was_told() -> None:
    user_id = uuid4()
    event = an_event(EventName.ROLE_CHANGED, user_id=user_id, facts={"from": "customer", "to": "staff"})
    record(event)
    [entry] = entries()
    assert (entry.event, entry.user_id, entry.facts) == ("role.changed", user_id, {"from": "customer", "to": "staff"})
    assert (entry.actor, entry.client_address, entry.request_id) == tuple(asdict(event.by).values())


def test_s25_an_event_shares_the_fate_of_its_transaction() -> None:
    record(an_event(EventName.USER_CREATED))
    with pytest.raises(ZeroDivisionError), database.transaction(Role.API) as connection:
        audit_log.record(connection, an_event())
        raise ZeroDivisionError
    assert [entry.event for entry in entries()] == ["user.created"]


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("role", Role)
def test_s24_nobody_changes_the_log_or_its_chain(chain: list[UUID], table: str, change: str, role: Role) -> None:
    column = "event = 'logout'" if table == "audit_log" else "key_id = 'x'"
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"denied|append-only"), database.transaction(role) as c:
        c.execute(text(change.format(table, column)))
    assert verify().faults == 0


def test_s24_the_api_adds_to_the_log_and_cannot_read_it() -> None:
    for table in ("audit_log", "audit_seals", "audit_unsealed"):
        with pytest.raises(sqlalchemy.exc.ProgrammingError, match="denied"), database.transaction(Role.API) as c:
            c.execute(text(f"SELECT FROM {table}"))


def test_a_chain_has_every_event_once_in_gapless_positions(chain: list[UUID], world: World) -> None:
    record(an_event())
    assert seal()[0] == 1
    assert seal()[0] == 0
    sealed = world.sql("SELECT position, event_id FROM audit_seals ORDER BY position")
    assert [tuple(row) for row in sealed] == list(enumerate([*chain, entries()[-1].id], start=1))
    verdict = verify()
    assert (verdict.events, verdict.waiting, verdict.faults, verdict.head.position) == (8, 0, 0, 8)


def test_an_empty_log_is_a_whole_chain() -> None:
    verdict = verify()
    assert (verdict.events, verdict.faults, verdict.head) == (0, 0, Head(0, BEGINNING))


def test_an_event_whose_transaction_takes_long_is_sealed_when_it_is_over() -> None:
    with database.transaction(Role.API) as slow:
        audit_log.record(slow, an_event(EventName.LOGGED_OUT))
        record(an_event())
        assert seal()[0] == 1
    assert [entry.event for entry in entries()] == ["logout", "login.succeeded"]
    assert seal()[0] == 1
    assert verify().faults == 0 and verify().events == 2


def test_s25_recording_waits_for_no_other_event_and_no_sealer() -> None:
    with database.transaction(Role.WORKER) as sealing, database.transaction(Role.API) as recording:
        audit_log.record(recording, an_event())
        audit_chain.seal(sealing, settings.current())
        with database.transaction(Role.API) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '1ms'"))
            audit_log.record(connection, an_event())
    seal()
    assert (verify().events, verify().faults) == (2, 0)


def test_whoever_records_and_seals_at_the_same_time_the_chain_is_whole() -> None:
    done = Event()

    def tell() -> None:
        for _ in range(60):
            record(an_event(), an_event())

    def seal_on() -> None:
        while not done.is_set():
            seal(limit=7)
            assert verify().faults == 0

    def tellers() -> None:
        at_once(*[tell] * 4)
        done.set()

    at_once(tellers, seal_on, seal_on, seal_on)
    while seal()[0]:
        pass
    verdict = verify()
    assert (verdict.events, verdict.waiting, verdict.faults) == (480, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        "event = 'login.failed'",
        "at = at + interval '1 microsecond'",
        "user_id = gen_random_uuid()",
        "actor = NULL",
        "client_address = '192.0.2.8'",
        "request_id = 'req_other'",
        "facts = facts || '{\"number\": 8}'",
    ],
)
def test_s25_an_altered_event_is_named(chain: list[UUID], change: str) -> None:
    tamper(f"UPDATE audit_log SET {change} WHERE id = :id", id=chain[3])
    verdict = verify()
    assert faults(verdict) == [(Fault.ALTERED, 4)]
    assert verdict.findings[0].event_id == chain[3]


def test_s25_a_missing_event_is_named(chain: list[UUID]) -> None:
    tamper("DELETE FROM audit_log WHERE id = :id", id=chain[3])
    verdict = verify()
    assert faults(verdict) == [(Fault.MISSING, 4)]
    assert verdict.findings[0].event_id == chain[3]


def test_s25_events_that_changed_places_are_named(chain: list[UUID]) -> None:
    tamper(
        "UPDATE audit_seals SET event_id = gen_random_uuid() WHERE position = 3",
        "UPDATE audit_seals SET event_id = :third WHERE position = 6",
        "UPDATE audit_seals SET event_id = :sixth WHERE position = 3",
        third=chain[2],
        sixth=chain[5],
    )
    verdict = verify()
    assert faults(verdict) == [(Fault.REORDERED, 3), (Fault.REORDERED, 6)]
    assert [finding.event_id for finding in verdict.findings] == [chain[5], chain[2]]


def test_s25_an_event_that_was_removed_with_its_seal_leaves_a_gap(chain: list[UUID]) -> None:
    removed = ("DELETE FROM audit_log WHERE id = :id", "DELETE FROM audit_seals WHERE event_id = :id")
    tamper(*removed, id=chain[3])
    assert faults(verify()) == [(Fault.SEAL_MISSING, 4)]


def test_s25_a_closed_gap_is_named_where_it_was(chain: list[UUID]) -> None:
    tamper(
        "DELETE FROM audit_log WHERE id = :id",
        "DELETE FROM audit_seals WHERE event_id = :id",
        "UPDATE audit_seals SET position = -position WHERE position > 4",
        "UPDATE audit_seals SET position = -position - 1 WHERE position < 0",
        id=chain[3],
    )
    assert faults(verify())[0] == (Fault.ALTERED, 4)


def test_s25_who_lacks_the_key_cannot_make_a_seal(chain: list[UUID]) -> None:
    """Whoever can write to the database alters an event and chains everything anew, with a key of their own."""
    foreign = settings.current().model_copy(update={"secret_key": SecretStr("f" * 64)})
    tamper("UPDATE audit_log SET event = 'login.failed' WHERE id = :id", id=chain[3])
    tamper("DELETE FROM audit_seals", "INSERT INTO audit_unsealed SELECT id FROM audit_log")
    with database.transaction(Role.WORKER) as connection:
        audit_chain.seal(connection, foreign)
    assert faults(verify()) == [(Fault.OTHER_KEY, position) for position in range(1, 8)]
    own = audit_chain.Sealer.of(settings.current()).key_id
    tamper("UPDATE audit_seals SET key_id = :own", own=own)
    assert {fault for fault, _ in faults(verify())} == {Fault.ALTERED}


def test_s25_the_seal_of_one_past_does_not_fit_into_another(chain: list[UUID], world: World) -> None:
    """Somebody restores yesterday's backup, and then puts an event of today, with its own seal, behind another day."""
    [(event, seal_of_it)] = world.sql(
        "SELECT CAST(l AS text), CAST(s AS text) FROM audit_seals AS s JOIN audit_log AS l ON l.id = s.event_id"
        " WHERE position = 7"
    )
    tamper("DELETE FROM audit_log", "DELETE FROM audit_seals")
    record(*(an_event() for _ in range(6)))
    seal()
    tamper(
        "INSERT INTO audit_log SELECT (CAST(:event AS audit_log)).*",
        "INSERT INTO audit_seals SELECT (CAST(:seal AS audit_seals)).*",
        event=event,
        seal=seal_of_it,
    )
    assert faults(verify()) == [(Fault.ALTERED, 7)]


def test_s25_an_event_that_was_removed_before_it_was_sealed_is_named() -> None:
    record(an_event(), an_event())
    first = entries()[0].id
    tamper("DELETE FROM audit_log WHERE id = :id", id=first)
    assert seal()[0] == 1, "the others are sealed all the same"
    verdict = verify()
    assert [(each.fault, each.event_id) for each in verdict.findings] == [(Fault.MISSING, first)]
    assert (verdict.events, verdict.waiting) == (1, 1)


def test_s25_an_event_that_was_kept_from_being_sealed_is_named(chain: list[UUID]) -> None:
    record(an_event())
    tamper("DELETE FROM audit_unsealed")
    assert [(each.fault, each.event_id) for each in verify().findings] == [(Fault.NEVER_SEALED, entries()[-1].id)]


def test_s25_an_event_that_waits_for_its_seal_for_long_is_named() -> None:
    record(an_event())
    assert verify().faults == 0
    tamper("UPDATE audit_log SET at = now() - interval '11 minutes'")
    assert faults(verify()) == [(Fault.NOT_SEALED_IN_TIME, None)]


def test_s25_an_end_that_was_cut_off_is_noticed_by_who_noted_the_head(chain: list[UUID]) -> None:
    noted = verify().head
    last = ("DELETE FROM audit_log WHERE id = :id", "DELETE FROM audit_seals WHERE event_id = :id")
    tamper(*last, id=chain[-1])
    assert verify().faults == 0, "nothing in the database tells"
    assert faults(verify(noted)) == [(Fault.CUT_OFF, 7)]


def test_a_noted_head_is_where_verification_begins(chain: list[UUID]) -> None:
    noted = verify().head
    record(an_event())
    seal()
    tamper("UPDATE audit_log SET event = 'logout' WHERE id = :id", id=chain[0])
    verdict = verify(noted)
    assert (verdict.events, verdict.faults, verdict.head.position) == (1, 0, 8)
    assert faults(verify(replace(noted, hash=BEGINNING)))[0] == (Fault.NOT_THE_NOTED_HEAD, 7)


def test_what_was_put_away_up_to_a_noted_head_is_not_missed_behind_it(chain: list[UUID]) -> None:
    noted = verify().head
    record(an_event())
    seal()
    tamper("DELETE FROM audit_log WHERE id IN (SELECT event_id FROM audit_seals WHERE position <= 7)")
    tamper("DELETE FROM audit_seals WHERE position <= 7")
    assert faults(verify()) == [(Fault.SEAL_MISSING, 1)]
    assert verify(noted).faults == 0


def test_of_many_faults_the_first_hundred_are_named_and_all_are_counted() -> None:
    record(*(an_event() for _ in range(150)))
    seal()
    tamper("UPDATE audit_log SET event = 'logout'")
    verdict = verify()
    assert (verdict.faults, len(verdict.findings)) == (150, NAMED_MAX)


def test_the_timetable_has_events_sealed_in_bites(world: World) -> None:
    record(*(an_event() for _ in range(3)))
    with database.transaction() as connection:
        outbox.put(connection, "upkeep.seal-audit-log")
    world.work("upkeep.seal-audit-log")
    assert (verify().events, verify().waiting) == (3, 0)
    assert world.due() == []


def test_heads_are_read_as_they_are_spelled(chain: list[UUID]) -> None:
    noted = verify().head
    assert Head.parse(str(noted)) == noted
    for wrong in ("", "7", "7:", "7:zz", "0:" + "0" * 64, "-1:" + "0" * 64, "7:" + "0" * 62, str(noted) + "00"):
        with pytest.raises(ValueError):  # noqa: PT011 - that it is refused is all
            Head.parse(wrong)
