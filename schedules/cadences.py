"""How often something runs: every so many seconds, or every day at a time of the reporting zone's clocks."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import ClassVar


@dataclass(frozen=True)
class Every:
    """Again when the period is over, wherever clocks stand."""

    period: timedelta

    def __str__(self) -> str:
        number = self.period.total_seconds()
        return f"{number / 60:g} min" if number >= 60 else f"{number:g} s"  # noqa: PLR2004 - seconds of a minute

    def after(self, last_run: datetime, zone: tzinfo) -> datetime:
        return last_run + self.period


@dataclass(frozen=True)
class Daily:
    """Once on each day of the zone, from `at` on.

    On a day on which clocks skip that time, it comes later by as much; where they show it twice, the first counts.
    """

    at: time
    period: ClassVar[timedelta] = timedelta(days=1)

    def __str__(self) -> str:
        return f"day at {self.at:%H:%M}"

    def after(self, last_run: datetime, zone: tzinfo) -> datetime:
        day = last_run.astimezone(zone).date()
        # In UTC, because Python compares times of one zone by what its clocks show, and these show some times twice.
        today = datetime.combine(day, self.at, zone).astimezone(UTC)
        if today > last_run:
            return today
        return datetime.combine(day + timedelta(days=1), self.at, zone).astimezone(UTC)


Cadence = Every | Daily


def seconds(number: float) -> Every:
    return Every(timedelta(seconds=number))


def minutes(number: float) -> Every:
    return Every(timedelta(minutes=number))


def day(*, at: str) -> Daily:
    """Every day at this time of the reporting zone (`HH:MM`)."""
    return Daily(time.fromisoformat(at))
