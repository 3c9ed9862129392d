"""Making up the orders and customers of a history: who ordered what, when, and what became of it.

The hot loop of the seeding: plain integers and tuples, tables drawn from instead of computed with.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

from models.identifiers import uuid7_of
from models.lifecycle import Status
from ops.seed import CATALOGUE
from ops.seeding.courses import CHOICE, COURSES, DAY, RESTING, SECOND, USUAL, Course
from ops.seeding.history import History, calendar

# How strongly orders gather on few customers: of 100 000, the largest one places 2 %, and the first hundred 10 %.
GATHERING = 3
# These order for resale: much of everything, under purchase order numbers of their own.
RESELLERS = 25
RESELLERS_BUY = (5, 40)
# Of a hundred orders, how many have one line, two, …; and of a hundred lines, how many are for one piece, two, …
LINES = (48, 30, 15, 7)
PIECES = (78, 14, 5, 3)
# Products are as popular as Zipf's law has it: the second sells half as often as the first, the third a third.
_TABLE = 10_000
_CUSTOMERS_REGISTERED_WITHIN = 60 * DAY


class Customer(NamedTuple):
    id: UUID
    registered_at: int


class SeededOrder(NamedTuple):
    """`customer`: by rank. `day`: from 0. `lines`: (place in CATALOGUE, quantity). `course`: its place in COURSES.

    `times`: of its events, in Unix µs.
    """

    id: UUID
    customer: int
    day: int
    lines: Sequence[tuple[int, int]]
    course: int
    times: Sequence[int]

    @property
    def placed_at(self) -> int:
        return self.times[0]


@cache
def customers(history: History) -> Sequence[Customer]:
    """All customers by rank, the largest first. They registered before the history began, the largest first."""
    dice = history.dice("customers")
    begins = calendar(history).starts[0] - _CUSTOMERS_REGISTERED_WITHIN
    every = _CUSTOMERS_REGISTERED_WITHIN // history.users
    times = [begins + every * rank for rank in range(history.users)]
    return [Customer(uuid7_of(at * 1000, dice.getrandbits(62)), at) for at in times]


def orders(history: History, part: int) -> Iterator[SeededOrder]:
    """The orders of a slice, in the sequence in which they were placed."""
    dice = history.dice(f"orders {part}")
    random, pick, products = dice.random, dice.randrange, _popular()
    days = calendar(history)
    for number in history.numbers(part):
        day = days.day_of(number)
        placed_at = days.placed_at(number, day, random())
        customer = int(history.users * random() ** GATHERING)
        skus = dict.fromkeys(products[int(random() * _TABLE)] for _ in range(_LINES[int(random() * 100)]))
        times_bought = pick(*RESELLERS_BUY) if customer < RESELLERS else 1
        lines = [(product, _PIECES[int(random() * 100)] * times_bought) for product in skus]
        course = CHOICE[int(random() * len(CHOICE))]
        if placed_at + _SETTLES_IN[course] > days.end:
            course = USUAL
        times = _times(placed_at, COURSES[course], random, days.end)
        yield SeededOrder(uuid7_of(placed_at * 1000, dice.getrandbits(62)), customer, day, lines, course, times)


def _times(placed_at: int, course: Course, random: Callable[[], float], end: int) -> Sequence[int]:
    """When the order's events were, the first one included, as far as they lie within the history."""
    times, at, status = [placed_at], placed_at, Status.PENDING
    for leg in course.legs:
        throw = random()
        at += leg.least + int((leg.most - leg.least) * throw * throw)
        if at > end - _SETTLED and status in RESTING:
            break
        times.append(at)
        status = leg.target
    return times


# The moves that follow at once upon the last one that people made end with the history, too.
_SETTLED = 60 * SECOND
_SETTLES_IN = [course.settles_in for course in COURSES]
_LINES = [1 + lines for lines, share in enumerate(LINES) for _ in range(share)]
_PIECES = [1 + pieces for pieces, share in enumerate(PIECES) for _ in range(share)]


@cache
def _popular() -> Sequence[int]:
    """Places in CATALOGUE, each as often as its product is popular, so that any place is as likely as another."""
    sums = list(accumulate(1 / rank for rank in range(1, len(CATALOGUE) + 1)))
    ends = [round(_TABLE * each / sums[-1]) for each in sums]
    order = sorted(range(len(CATALOGUE)), key=lambda product: CATALOGUE[product][2])  # what is cheap sells best
    return [product for product, end, begin in zip(order, ends, [0, *ends], strict=False) for _ in range(end - begin)]
