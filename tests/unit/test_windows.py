"""Windows are taken apart into months and days, and days put together to periods, without losing or repeating one."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from models.analytics.periods import GroupBy, periods
from models.analytics.windows import Window, calendar_month, month_after, parts

DAY = timedelta(days=1)
days = st.dates(date(1970, 1, 1), date(2200, 1, 1))
windows = st.tuples(days, st.integers(0, 500)).map(lambda pair: Window(pair[0], pair[0] + pair[1] * DAY))


def every_day(window: Window) -> list[date]:
    assert window.first and window.last
    return [window.first + number * DAY for number in range((window.last - window.first).days + 1)]


@given(windows)
def test_months_and_edge_days_cover_every_day_once(window: Window) -> None:
    found = parts(window)
    covered = [day for day in every_day(window) if found["first"] <= day < found["months_from"]]
    month = found["months_from"]
    while month < found["months_to"]:
        covered += every_day(Window(month, month_after(month) - DAY))
        month = month_after(month)
    covered += [day for day in every_day(window) if found["months_to"] <= day <= found["last"]]
    assert covered == every_day(window)


@given(windows)
def test_whole_months_are_never_taken_day_by_day(window: Window) -> None:
    found = parts(window)
    edges = (found["months_from"] - found["first"]).days + (found["last"] - found["months_to"]).days + 1
    assert edges <= 60


def test_all_time_has_no_end() -> None:
    found = parts(Window(None, None))
    assert found["months_from"] <= date(1, 1, 1)
    assert found["months_to"] >= date(9999, 1, 1)


def test_a_calendar_month_is_known_as_one() -> None:
    assert calendar_month(Window(date(2024, 2, 1), date(2024, 2, 29))) == date(2024, 2, 1)
    for other in (Window(date(2024, 2, 1), date(2024, 2, 28)), Window(date(2024, 2, 1), None), Window(None, None)):
        assert calendar_month(other) is None
    assert calendar_month(Window(date(2024, 2, 2), date(2024, 2, 29))) is None


@given(windows, st.sampled_from(GroupBy))
def test_every_day_lies_in_exactly_one_period(window: Window, group_by: GroupBy) -> None:
    found = periods(window, group_by)
    assert [day for each in found for day in every_day(Window(each.first, each.last))] == every_day(window)


def test_weeks_begin_on_monday_and_are_cut_off_by_the_window() -> None:
    window = Window(date(2026, 11, 25), date(2026, 12, 8))  # a Wednesday, a Tuesday
    found = [(each.first, each.last) for each in periods(window, GroupBy.WEEK)]
    assert found == [
        (date(2026, 11, 25), date(2026, 11, 29)),
        (date(2026, 11, 30), date(2026, 12, 6)),
        (date(2026, 12, 7), date(2026, 12, 8)),
    ]
    months = [(each.first, each.last) for each in periods(window, GroupBy.MONTH)]
    assert months == [(date(2026, 11, 25), date(2026, 11, 30)), (date(2026, 12, 1), date(2026, 12, 8))]
