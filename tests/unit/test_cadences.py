"""When something runs again: after a period, or on the next day at its time, whatever the zone's clocks do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.cadences import Cadence, day, minutes, seconds

NEW_YORK = ZoneInfo("America/New_York")
# Clocks go from 2:00 to 3:00 on 8 March, and from 2:00 back to 1:00 on 1 November.
SPRING, AUTUMN = datetime(2026, 3, 6, 12, tzinfo=UTC), datetime(2026, 10, 30, 12, tzinfo=UTC)
APIA = ZoneInfo("Pacific/Apia")


def runs(cadence: Cadence, zone: ZoneInfo, since: datetime, days: int = 5) -> Iterator[datetime]:
    """When it runs if somebody looks every ten minutes, as clocks in the zone show it."""
    last_run = since
    for now in (since + timedelta(minutes=10 * step) for step in range(days * 24 * 6)):
        if cadence.after(last_run, zone) <= now:
            last_run = now
            yield now.astimezone(zone)


def shown(times: Iterator[datetime]) -> list[str]:
    return [f"{time:%d %H:%M %Z}" for time in times]


def test_a_period_is_a_period_whatever_clocks_show() -> None:
    changing = datetime(2026, 3, 8, 6, 59, tzinfo=UTC)
    assert seconds(90).after(changing, NEW_YORK) == changing + timedelta(seconds=90)
    assert minutes(10).after(changing, NEW_YORK) == changing + timedelta(minutes=10)


def test_every_day_at_its_time() -> None:
    assert shown(runs(day(at="03:10"), NEW_YORK, datetime(2026, 6, 1, 12, tzinfo=UTC))) == [
        f"{number:02} 03:10 EDT" for number in (2, 3, 4, 5, 6)
    ]


def test_a_time_that_clocks_skip_comes_once_on_that_day_too() -> None:
    assert shown(runs(day(at="02:30"), NEW_YORK, SPRING)) == [
        "07 02:30 EST",
        "08 03:30 EDT",
        "09 02:30 EDT",
        "10 02:30 EDT",
        "11 02:30 EDT",
    ]


def test_a_time_that_clocks_show_twice_comes_once_on_that_day_too() -> None:
    assert shown(runs(day(at="01:30"), NEW_YORK, AUTUMN)) == [
        "31 01:30 EDT",
        "01 01:30 EDT",
        "02 01:30 EST",
        "03 01:30 EST",
        "04 01:30 EST",
    ]


@pytest.mark.parametrize("since", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("hour", range(24))
def test_every_time_comes_once_a_day_over_every_change_of_the_clocks(since: datetime, hour: int) -> None:
    for at in (f"{hour:02}:00", f"{hour:02}:30"):
        days = [time.date() for time in runs(day(at=at), NEW_YORK, since)]
        assert len(days) >= 4, at
        assert days == [days[0] + timedelta(days=number) for number in range(len(days))], at


def test_a_day_that_a_zone_leaves_out_is_no_day() -> None:
    """Samoa went over the date line: 30 December 2011 did not exist there."""
    before = datetime(2011, 12, 28, 20, tzinfo=UTC)
    assert shown(runs(day(at="03:10"), APIA, before, days=3)) == ["29 03:10 -10", "31 03:10 +14", "01 03:10 +14"]


def test_a_run_that_comes_late_does_not_move_the_next_one() -> None:
    late = datetime(2026, 6, 1, 11, 59, tzinfo=NEW_YORK).astimezone(UTC)
    assert day(at="03:15").after(late, NEW_YORK) == datetime(2026, 6, 2, 3, 15, tzinfo=NEW_YORK)


def test_a_run_in_the_hour_that_is_repeated_is_not_repeated_with_it() -> None:
    again_ten_past_one = datetime(2026, 11, 1, 1, 10, tzinfo=NEW_YORK, fold=1)
    assert day(at="01:30").after(again_ten_past_one, NEW_YORK) == datetime(2026, 11, 2, 1, 30, tzinfo=NEW_YORK)


def test_the_day_is_that_of_the_zone() -> None:
    evening_in_new_york = datetime(2026, 6, 2, 1, tzinfo=UTC)
    assert day(at="22:00").after(evening_in_new_york, NEW_YORK) == datetime(2026, 6, 2, 2, tzinfo=UTC)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="hour must be in"):
        day(at="25:00")
