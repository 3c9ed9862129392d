"""What a history is: its arguments, its name, and when its orders were placed.

Days have a weekly rhythm, a season, growth and luck; a day has hours. Nothing here is random but by the history's name.
"""

import hashlib
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import accumulate
from zoneinfo import ZoneInfo

MICROSECONDS = 1_000_000
# What one transaction writes: some hundred kilobytes of each table, and as many events as a fold takes at once. Of a
# small history less, so that there is something to do for several processes.
ORDERS_PER_SLICE_MAX = 10_000
SLICES_MIN = 8
# The shop grows by half in a year.
GROWTH_PER_DAY = 1.5 ** (1 / 365)
MONDAY_TO_SUNDAY = (1.12, 1.04, 1.00, 1.01, 1.06, 0.92, 0.85)
JANUARY_TO_DECEMBER = (0.88, 0.92, 0.97, 0.98, 1.00, 0.96, 0.92, 0.93, 0.99, 1.04, 1.22, 1.30)
LUCK = 0.08
# Orders by the hour of the business day: little at night, a peak around noon and a higher one in the evening.
MIDNIGHT_TO_MIDNIGHT = (4, 2, 1, 1, 1, 2, 6, 14, 24, 33, 40, 44, 46, 42, 38, 37, 39, 44, 52, 60, 62, 50, 30, 14)
# The last order of a day comes a minute before midnight: its first moves are made on the same day.
LAST_MOMENT = 1 - 90 / 86_400


@dataclass(frozen=True)
class History:
    """`until`: the first business day, in `zone`, that it leaves to the future."""

    orders: int
    days: int
    users: int
    seed: int
    until: date
    zone: str = "UTC"

    @property
    def name(self) -> str:
        """Another history has another one: their users and ids do not meet."""
        told = f"{self.orders} {self.days} {self.users} {self.seed} {self.until} {self.zone}"
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def begins_on(self) -> date:
        return self.until - timedelta(days=self.days)

    @property
    def orders_per_slice(self) -> int:
        return min(ORDERS_PER_SLICE_MAX, -(-self.orders // SLICES_MIN))

    @property
    def slices(self) -> int:
        return -(-self.orders // self.orders_per_slice)

    def numbers(self, part: int) -> range:
        """Which of the history's orders belong to a slice."""
        return range(part * self.orders_per_slice, min((part + 1) * self.orders_per_slice, self.orders))

    def dice(self, purpose: str) -> random.Random:
        """The same throws for the same purpose, whichever process throws them."""
        return random.Random(f"{self.name} {purpose}")  # noqa: S311 - a past that can be repeated


@dataclass(frozen=True)
class Calendar:
    """`placed[d]`: how many orders were placed before the end of day d. `starts`: in Unix µs, one more than days."""

    days: Sequence[date]
    starts: Sequence[int]
    placed: Sequence[int]

    @property
    def end(self) -> int:
        """The end of the history, in Unix µs."""
        return self.starts[-1]

    def day_of(self, number: int) -> int:
        """On which day, counted from 0, the history's order of this number was placed."""
        return bisect_right(self.placed, number)

    def placed_at(self, number: int, day: int, luck: float) -> int:
        """When it was placed, in Unix µs: later than the order before it, by the hours of the day."""
        before = self.placed[day - 1] if day else 0
        share = (number - before + luck) / (self.placed[day] - before)
        return self.starts[day] + int((self.starts[day + 1] - self.starts[day]) * LAST_MOMENT * _moment(share))


@cache
def calendar(history: History) -> Calendar:
    dice = history.dice("days")
    days = [history.begins_on + timedelta(days=n) for n in range(history.days)]
    weights = [_weight(day, n) * (1 + LUCK * (2 * dice.random() - 1)) for n, day in enumerate(days)]
    sums = list(accumulate(weights))
    zone = ZoneInfo(history.zone)
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone) for day in (*days, history.until)]
    return Calendar(
        days,
        [round(start.timestamp()) * MICROSECONDS for start in starts],
        [round(history.orders * weight / sums[-1]) for weight in sums],
    )


def _weight(day: date, number: int) -> float:
    return GROWTH_PER_DAY**number * MONDAY_TO_SUNDAY[day.weekday()] * JANUARY_TO_DECEMBER[day.month - 1]


_HOURS = [0.0, *accumulate(each / sum(MIDNIGHT_TO_MIDNIGHT) for each in MIDNIGHT_TO_MIDNIGHT)]


def _moment(share: float) -> float:
    """By which part of the day so large a share of its orders has come."""
    hour = min(bisect_right(_HOURS, share), len(MIDNIGHT_TO_MIDNIGHT)) - 1
    return (hour + (share - _HOURS[hour]) / (_HOURS[hour + 1] - _HOURS[hour])) / len(MIDNIGHT_TO_MIDNIGHT)
