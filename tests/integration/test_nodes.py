"""The rows by which the processes of the pipeline say that they are there."""

from dataclasses import replace

from world import World

from models import nodes
from models.nodes import Node, NodeRole
from runtime import clock, database
from workers.presence import Presence

WORKER = Node("worker@here", NodeRole.WORKER, 11, "here", clock.now())


def report(node: Node) -> None:
    with database.transaction() as connection:
        nodes.report(connection, node)


def names(world: World) -> list[str]:
    return [row[0] for row in world.sql("SELECT name FROM nodes ORDER BY name")]


def test_a_process_has_one_row_and_the_last_word_in_it(world: World) -> None:
    report(WORKER)
    world.sql("UPDATE nodes SET beat_at = now() - interval '10 minutes'")
    report(replace(WORKER, pid=12, facts={"depth": 3}))
    [row] = world.sql("SELECT pid, facts, beat_at > now() - interval '1 minute' FROM nodes")
    assert tuple(row) == (12, {"depth": 3}, True)


def test_who_was_silent_for_an_hour_is_forgotten_by_the_next_one_who_speaks(world: World) -> None:
    for name, minutes in (("gone", 61), ("lately", 59), (WORKER.name, 61)):
        report(replace(WORKER, name=name))
        world.sql("UPDATE nodes SET beat_at = now() - interval '1 minute' * :m WHERE name = :n", m=minutes, n=name)
    report(WORKER)
    assert names(world) == ["lately", WORKER.name]


def test_who_goes_takes_its_row_along_and_not_that_of_its_successor(world: World) -> None:
    report(replace(WORKER, pid=12))
    with database.transaction() as connection:
        nodes.leave(connection, WORKER.name, pid=11)
    assert names(world) == [WORKER.name]
    with database.transaction() as connection:
        nodes.leave(connection, WORKER.name, pid=12)
    assert names(world) == []


def test_a_row_that_cannot_be_written_is_no_failure_of_its_process(world: World) -> None:
    presence = Presence(WORKER.name, NodeRole.WORKER)
    with database.session() as connection:
        connection.exec_driver_sql("SET lock_timeout = 100")
        with database.transaction() as other:
            other.exec_driver_sql("LOCK TABLE nodes")
            presence.report(connection)
            assert not presence.is_due, "it is tried again when it is due"
        assert names(world) == []
        presence.report(connection)
        presence.leave(connection)
        connection.exec_driver_sql("RESET lock_timeout")
