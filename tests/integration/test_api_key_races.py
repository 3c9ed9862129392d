"""Two who change the keys of one owner at the same moment: one comes second, and knows of the first."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from at_once import at_once
from key_holders import key_of, service
from world import World

from models import errors
from models.audit_log import NOBODY
from models.identity import api_key_desk
from models.identity.api_key_desk import LIVE_MAX, NewKey, Rotation, Wanted
from models.identity.permissions import Permission
from models.identity.users import User
from runtime import database
from runtime.database import Role

WANTED = Rotation(timedelta(hours=1), timedelta(days=1))


def made_if_there_is_room(owner: User) -> bool:
    try:
        key_of(owner, [Permission.PLACE_ORDERS])
    except errors.TooManyKeys:
        return False
    return True


def rotated(made: NewKey) -> NewKey:
    with database.transaction(Role.API) as connection:
        return api_key_desk.rotate(connection, made.key.id, None, WANTED, None, NOBODY)


def test_who_makes_the_last_key_is_waited_for(world: World) -> None:
    robot = service()
    for _ in range(LIVE_MAX - 1):
        key_of(robot, [Permission.PLACE_ORDERS])
    with ThreadPoolExecutor(1) as second:
        with database.transaction(Role.API) as first:
            wanted = Wanted("the last", [Permission.PLACE_ORDERS], timedelta(days=1))
            api_key_desk.make(first, robot.id, wanted, None, NOBODY)
            comes_second = second.submit(made_if_there_is_room, robot)
            time.sleep(0.5)  # time enough for who does not wait
        assert comes_second.result() is False
    assert world.sql("SELECT count(*) FROM api_keys") == [(LIVE_MAX,)]


def test_of_many_rotations_of_one_key_at_once_one_successor_is_left(world: World) -> None:
    old = key_of(service())
    successors = {made.key.id for made in at_once(*[lambda: rotated(old)] * 4)}
    assert len(successors) == 4
    good = [row[0] for row in world.sql("SELECT id FROM api_keys WHERE expires_at > now()")]
    [[successor]] = world.sql("SELECT rotated_to FROM api_keys WHERE id = :id", id=old.key.id)
    assert sorted(good) == sorted([old.key.id, successor])
