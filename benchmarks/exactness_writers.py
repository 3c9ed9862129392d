"""Clients who change their minds, in a process that is going to be killed.

Each thread places orders, some of them in transactions that are rolled back or that stay open for a while, and moves or
cancels what it has placed. It runs until it is killed.
"""

import random
import threading
import time
from collections.abc import Sequence
from uuid import UUID

from api.views.orders import AnswerRenderer
from models import acceptance, advance
from models.acceptance import Answer, Item, Request, Terms
from models.advance import Step
from models.errors import OrderPipelineError
from models.lifecycle import Actor, Policy, Status
from runtime import database, settings
from runtime.database import Role

ORDERS_PER_BATCH = 3
ROLLED_BACK = 0.25
# A transaction that has written stays open for up to so long: what began after it is committed before it.
OPEN_SECONDS_MAX = 0.05
JOURNEY = (Status.PENDING, Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED)
CANCELLABLE = (Status.PENDING, Status.CONFIRMED)

# An order of ours, as we left it: how far it came on its journey.
Own = tuple[UUID, int]


class ChangedMind(Exception):
    """The transaction is given up after all of it was written."""


def write(user: UUID, sku: str, dice: random.Random) -> None:
    """Place, move and cancel without end."""
    configured = settings.current()
    policy = Policy.of(configured)
    terms = Terms(policy, configured.zone, AnswerRenderer())
    own: list[Own] = []
    while True:
        own += [(order, 0) for order in _place(terms, user, sku, dice)]
        if own and dice.random() < 0.7:  # noqa: PLR2004 - more moves than orders
            chosen = own.pop(dice.randrange(len(own)))
            moved = _move(policy, chosen, dice)
            own += [moved] if moved else []


def _place(terms: Terms, user: UUID, sku: str, dice: random.Random) -> list[UUID]:
    keys = [f"{dice.getrandbits(64):x}" for _ in range(ORDERS_PER_BATCH)]
    batch = [Request(user, Actor.OWNER, key, key.encode(), (Item(sku, dice.randint(1, 3)),)) for key in keys]
    try:
        with database.transaction(Role.API) as connection:
            outcomes = acceptance.accept(connection, batch, terms)
            _linger(dice)
    except ChangedMind:
        return []
    return [each.order_id for each in outcomes if isinstance(each, Answer) and each.order_id]


def _move(policy: Policy, own: Own, dice: random.Random) -> Own | None:
    order, place = own
    source = JOURNEY[place]
    cancels = source in CANCELLABLE and dice.random() < 0.4  # noqa: PLR2004 - a moody crowd
    step = Step(order, place + 1, source, Status.CANCELLED if cancels else JOURNEY[place + 1], Actor.STAFF)
    try:
        with database.transaction() as connection:
            advance.advance(connection, [step], policy)
            _linger(dice)
    except (ChangedMind, OrderPipelineError):
        return own
    is_over = cancels or place + 2 == len(JOURNEY)
    return None if is_over else (order, place + 1)


def _linger(dice: random.Random) -> None:
    time.sleep(dice.random() ** 4 * OPEN_SECONDS_MAX)
    if dice.random() < ROLLED_BACK:
        raise ChangedMind


def write_all(users: Sequence[UUID], sku: str, seed: int) -> None:
    """Each of them in a thread, until the process is killed."""
    for number, user in enumerate(users):
        dice = random.Random(seed * 1000 + number)  # noqa: S311
        threading.Thread(target=write, args=(user, sku, dice)).start()
