"""The courses that orders take in a history, as data: which moves, by whom, after how long, and how often.

Each is a way through the lifecycle (`models/lifecycle.py`), from pending to its end. An order whose course is longer
than the history rests where it has got to, as it would in a system whose pipeline keeps up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.advance import OUT_OF_STOCK
from models.dead_letters import ATTEMPTS_EXHAUSTED
from models.lifecycle import BY_ENDS, Actor, Status, StockEffect

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
# Where an order waits for people. From every other status that is not final, it goes on at once.
RESTING = frozenset({Status.PROCESSING, Status.SHIPPED, Status.FAILED})


@dataclass(frozen=True)
class Leg:
    """A move, after at least and at most so long (µs); most orders wait less than the mean of the two."""

    target: Status
    actor: Actor
    least: int
    most: int
    reason: str | None = None


@dataclass(frozen=True)
class Course:
    """`share`: of how many orders in a thousand."""

    share: int
    legs: tuple[Leg, ...]

    @property
    def settles_in(self) -> int:
        """After how long, at the latest, an order on it rests for the first time, in µs."""
        spent = 0
        for leg in self.legs:
            spent += leg.most
            if leg.target in RESTING:
                break
        return spent


_S, _A = Status, Actor
_CONFIRMED = Leg(_S.CONFIRMED, _A.SYSTEM, SECOND // 50, SECOND)
_PROCESSING = Leg(_S.PROCESSING, _A.SYSTEM, SECOND // 50, SECOND)
_SHIPPED = Leg(_S.SHIPPED, _A.STAFF, 2 * HOUR, 44 * HOUR)
_DELIVERED = Leg(_S.DELIVERED, _A.STAFF, 14 * HOUR, 8 * DAY)
_FAILED = Leg(_S.FAILED, _A.SYSTEM, 10 * SECOND, 60 * SECOND, ATTEMPTS_EXHAUSTED)
_TRIED_AGAIN = Leg(_S.PENDING, _A.STAFF, HOUR // 2, 20 * HOUR, "the warehouse answers again")


def _cancelled(actor: Actor, least: int, most: int, reason: str | None) -> Leg:
    return Leg(_S.CANCELLED, actor, least, most, reason)


_ON_ITS_WAY = (_CONFIRMED, _PROCESSING)
COURSES: tuple[Course, ...] = (
    Course(918, (*_ON_ITS_WAY, _SHIPPED, _DELIVERED)),
    Course(14, (_CONFIRMED, _cancelled(_A.OWNER, 5 * SECOND, 60 * SECOND, None))),
    Course(32, (*_ON_ITS_WAY, _cancelled(_A.STAFF, HOUR, 30 * HOUR, "the customer changed their mind"))),
    Course(8, (*_ON_ITS_WAY, _cancelled(_A.STAFF, HOUR, 12 * HOUR, "the payment was refused"))),
    Course(12, (_cancelled(_A.SYSTEM, SECOND // 50, SECOND, OUT_OF_STOCK),)),
    Course(6, (Leg(_S.EXPIRED, _A.SYSTEM, DAY, DAY + 30 * SECOND),)),
    Course(7, (*_ON_ITS_WAY, _FAILED, _TRIED_AGAIN, *_ON_ITS_WAY, _SHIPPED, _DELIVERED)),
    Course(2, (_FAILED, _TRIED_AGAIN, *_ON_ITS_WAY, _SHIPPED, _DELIVERED)),
    Course(1, (_FAILED, _TRIED_AGAIN, _cancelled(_A.STAFF, SECOND, 30 * SECOND, "no longer available"))),
)
USUAL = 0
# Places in COURSES, one for each thousandth.
CHOICE: Sequence[int] = tuple(place for place, course in enumerate(COURSES) for _ in range(course.share))


@dataclass(frozen=True)
class Holding:
    """What an order has done to the stock: is a line of it reserved, has it left the house."""

    reserved: bool = False
    taken: bool = False

    def after(self, source: Status, target: Status) -> "Holding":
        match BY_ENDS[source, target].stock:
            case StockEffect.RESERVE:
                return Holding(reserved=True)
            case StockEffect.RELEASE:
                return Holding()
            case StockEffect.TAKE:
                return Holding(taken=True)
            case _:
                return self
