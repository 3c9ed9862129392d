"""Business days are dates in the reporting zone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from runtime import clock

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        # Standard time: midnight is 05:00 UTC. The clocks go forward on 8 March 2026 and back on 1 November.
        (datetime(2026, 3, 7, 4, 59, 59, tzinfo=UTC), date(2026, 3, 6)),
        (datetime(2026, 3, 7, 5, 0, tzinfo=UTC), date(2026, 3, 7)),
        (datetime(2026, 3, 9, 3, 59, 59, tzinfo=UTC), date(2026, 3, 8)),
        (datetime(2026, 3, 9, 4, 0, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 11, 1, 3, 59, 59, tzinfo=UTC), date(2026, 10, 31)),
        (datetime(2026, 11, 2, 4, 59, 59, tzinfo=UTC), date(2026, 11, 1)),
        (datetime(2026, 11, 2, 5, 0, tzinfo=UTC), date(2026, 11, 2)),
    ],
)
def test_a_day_begins_at_local_midnight_through_both_changes_of_the_clock(instant: datetime, day: date) -> None:
    assert clock.business_day(instant, NEW_YORK) == day


def test_now_is_aware_and_in_utc() -> None:
    assert clock.now().tzinfo is UTC
