"""Days put together to weeks (ISO 8601: from Monday) and calendar months, none left out because it is empty."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar

from models.analytics.windows import DAY, Window, month_of

# The currency of days on which nothing was ordered, when the caller names none.
CURRENCY_DEFAULT = "EUR"


class GroupBy(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Period:
    """A day, a week or a month, or what lies of it in the window. Both ends included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


class OfADay(Protocol):
    @property
    def day(self) -> date: ...


class OfADayInMoney(OfADay, Protocol):
    @property
    def currency(self) -> str: ...


AnyDay = TypeVar("AnyDay", bound=OfADay)
AnyDayOfMoney = TypeVar("AnyDayOfMoney", bound=OfADayInMoney)


def periods(window: Window, group_by: GroupBy) -> list[Period]:
    """The periods of a bounded window, in sequence: each of its days lies in one of them."""
    assert window.first is not None and window.last is not None
    found: list[Period] = []
    for number in range((window.last - window.first).days + 1):
        day = window.first + number * DAY
        if found and _start(day, group_by) <= found[-1].first:
            found[-1] = Period(found[-1].first, day)
        else:
            found.append(Period(day, day))
    return found


def grouped(window: Window, group_by: GroupBy, days: Sequence[AnyDay]) -> Iterator[tuple[Period, list[AnyDay]]]:
    """Every period of the window, with those of `days`, which come in sequence, that lie in it."""
    left = list(reversed(days))
    for period in periods(window, group_by):
        inside: list[AnyDay] = []
        while left and left[-1].day in period:
            inside.append(left.pop())
        yield period, inside


def grouped_by_currency(
    window: Window, group_by: GroupBy, days: Sequence[AnyDayOfMoney], otherwise: str | None
) -> Iterator[tuple[Period, str, list[AnyDayOfMoney]]]:
    """As `grouped`, each period once for every currency that `days` have; where they have none, for `otherwise`."""
    currencies = sorted({day.currency for day in days}) or [otherwise or CURRENCY_DEFAULT]
    for period, inside in grouped(window, group_by, days):
        for currency in currencies:
            yield period, currency, [day for day in inside if day.currency == currency]


def _start(day: date, group_by: GroupBy) -> date:
    if group_by is GroupBy.MONTH:
        return month_of(day)
    return day - timedelta(days=day.weekday()) if group_by is GroupBy.WEEK else day
