"""Users by revenue are the same wherever they are found: computed ahead, along an index, or added up."""

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from explained import plans_of
from world import World

from models.analytics import standard_windows, user_revenue
from models.analytics.standard_windows import RANKS, StandardWindow, window_of
from models.analytics.user_revenue import Computed, Ranking, UserRevenue
from models.analytics.windows import Window
from runtime import database
from runtime.database import Role

TODAY = datetime.now(UTC).date()
MONTH = Window(date(2026, 2, 1), date(2026, 2, 28))
USERS = 40
# Orders of many users on many days, in two currencies: as the fold would have left them.
FILL = """
    INSERT INTO {table} ({period}, user_id, currency, orders, revenue_minor)
    SELECT {of_day}, CAST('00000000-0000-7000-8000-' || lpad(to_hex(u), 12, '0') AS uuid), currency, count(*),
        sum((u * 7919 + day * 104729) % 1000)
    FROM generate_series(1, :users) AS u, generate_series(0, :days) AS day,
        LATERAL (SELECT CAST(:last AS date) - day AS placed_on) AS d,
        LATERAL (SELECT CASE WHEN u % 3 = 0 THEN 'USD' ELSE 'EUR' END AS currency) AS c
    WHERE (u + day) % 5 = 0 GROUP BY 1, 2, 3
"""
RECOUNT = """
    SELECT user_id, currency, sum(orders) AS orders, sum(revenue_minor) AS revenue FROM daily_user_revenue
    WHERE placed_on >= coalesce(CAST(:first AS date), '-infinity') AND placed_on <= :last
      AND (CAST(:currency AS text) IS NULL OR currency = :currency)
    GROUP BY 1, 2 ORDER BY revenue DESC, user_id DESC, currency DESC
"""


def fill(world: World, users: int = USERS, last: date = TODAY, days: int = 400) -> None:
    for table, period, of_day in (
        ("daily_user_revenue", "placed_on", "placed_on"),
        ("monthly_user_revenue", "month", "date_trunc('month', placed_on)::date"),
    ):
        world.sql(FILL.format(table=table, period=period, of_day=of_day), users=users, last=last, days=days)
    world.sql(
        "INSERT INTO daily_orders SELECT placed_on, currency, 'delivered', sum(orders), sum(revenue_minor)"
        " FROM daily_user_revenue GROUP BY placed_on, currency"
    )


def recounted(world: World, window: Window, currency: str | None) -> list[UserRevenue]:
    rows = world.sql(RECOUNT, first=window.first, last=window.last, currency=currency)
    return [UserRevenue(row.user_id, row.currency, row.orders, int(row.revenue)) for row in rows]


def ranking(window: Window, currency: str | None, after: UserRevenue | None = None, limit: int = 100) -> Ranking:
    with database.transaction(Role.API) as connection:
        return user_revenue.ranking(connection, window, currency, after, limit)


def paged(window: Window, currency: str | None, limit: int) -> tuple[list[UserRevenue], list[Computed]]:
    """Everything, page by page, and how each page was found."""
    users: list[UserRevenue] = []
    computed = []
    while True:
        page = ranking(window, currency, users[-1] if users else None, limit)
        computed.append(page.computed)
        users += page.users
        if len(page.users) < limit:
            return users, computed


def compute(*standards: StandardWindow) -> None:
    for each in standards or StandardWindow:
        with database.transaction() as connection:
            standard_windows.compute(connection, each, TODAY)


LIVE = (
    Window(TODAY - timedelta(days=2), TODAY),
    Window(TODAY - timedelta(days=100), TODAY - timedelta(days=3)),
    Window(date(2026, 1, 31), date(2026, 3, 1)),
    Window(date(2026, 2, 1), date(2026, 2, 27)),
    Window(date(2026, 1, 1), date(2026, 3, 31)),
    Window(TODAY - timedelta(days=365), TODAY),
    Window(None, TODAY),
)


@pytest.mark.parametrize("currency", [None, "EUR", "USD", "JPY"])
def test_every_way_finds_what_a_recount_finds(world: World, currency: str | None) -> None:
    fill(world)
    for window in LIVE:
        found = ranking(window, currency)
        assert (found.users, found.computed) == (recounted(world, window, currency), Computed.LIVE), window
    month = ranking(MONTH, currency)
    assert (month.users, month.computed) == (recounted(world, MONTH, currency), Computed.CALENDAR_MONTH)
    compute()
    for standard in StandardWindow:
        window = window_of(standard, TODAY)
        found = ranking(window, currency)
        assert (found.users, found.computed) == (recounted(world, window, currency), Computed.STANDARD_WINDOW)


@pytest.mark.parametrize("window", [LIVE[2], MONTH, window_of(StandardWindow.DAYS_30, TODAY)], ids=str)
def test_pages_of_any_size_hold_every_user_once(world: World, window: Window) -> None:
    fill(world)
    compute(StandardWindow.DAYS_30)
    for currency, limit in itertools.product([None, "EUR"], [1, 7, 100]):
        assert paged(window, currency, limit)[0] == recounted(world, window, currency)


def test_behind_the_ranks_that_are_kept_the_rest_is_added_up(world: World) -> None:
    fill(world, users=RANKS * 9 // 5, days=100)
    compute(StandardWindow.DAYS_90)
    window = window_of(StandardWindow.DAYS_90, TODAY)
    users, computed = paged(window, None, 450)
    assert users == recounted(world, window, None)
    assert [kind for kind, _ in itertools.groupby(computed)] == [Computed.STANDARD_WINDOW, Computed.LIVE]
    assert world.sql("SELECT max(rank) FROM top_users") == [(RANKS,)]


def test_a_standard_window_says_as_of_when_it_was_computed(world: World) -> None:
    fill(world)
    compute(StandardWindow.DAYS_7)
    world.sql("UPDATE standard_windows SET as_of = now() - interval '90 seconds'")
    found = ranking(window_of(StandardWindow.DAYS_7, TODAY), None)
    assert 90 <= found.freshness.lag_seconds < 120


def test_when_the_day_has_changed_the_window_is_computed_first_and_added_up_until_then(world: World) -> None:
    fill(world)
    compute()
    tomorrow = TODAY + timedelta(days=1)
    assert ranking(window_of(StandardWindow.DAYS_7, tomorrow), None).computed is Computed.LIVE
    with database.transaction() as connection:
        assert standard_windows.due(connection, TODAY) == []
        assert len(standard_windows.due(connection, tomorrow)) == len(StandardWindow)


def test_a_window_rests_for_many_times_as_long_as_it_took(world: World) -> None:
    compute()
    world.sql("UPDATE standard_windows SET took = interval '1 second', computed_at = now() - interval '49 seconds'")
    world.sql("UPDATE standard_windows SET computed_at = now() - interval '51 seconds' WHERE name = '90d'")
    world.sql("UPDATE standard_windows SET computed_at = now() + interval '1 hour' WHERE name = 'all'")
    with database.transaction() as connection:
        assert standard_windows.due(connection, TODAY) == [StandardWindow.DAYS_90, StandardWindow.ALL_TIME]


def test_the_timetable_computes_every_window_in_a_transaction_each(world: World) -> None:
    fill(world)
    world.sql("INSERT INTO outbox (kind) VALUES ('rollups.top-users')")
    assert [world.work("rollups.top-users") for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert [row.name for row in world.sql("SELECT name FROM standard_windows ORDER BY name")] == sorted(StandardWindow)


def read(window: Window, currency: str | None) -> tuple[Sequence[UserRevenue], int]:
    """The first page, and how many buffers it took."""
    with database.transaction(Role.API) as connection:
        found, plans = plans_of(connection, user_revenue.ranking, window, currency, None, 20)
    assert found.computed is not Computed.LIVE
    return found.users, sum(plan.buffers for plan in plans)


def test_a_month_and_a_standard_window_cost_the_same_however_many_users_there_are(world: World) -> None:
    bounds = {MONTH: 250, window_of(StandardWindow.DAYS_365, TODAY): 50}
    for users in (60, 3000):
        # Rows that other tests left dead would be read, too.
        world.sql("TRUNCATE daily_user_revenue, monthly_user_revenue, daily_orders, top_users, standard_windows")
        fill(world, users)
        compute(StandardWindow.DAYS_365)
        world.sql("ANALYZE monthly_user_revenue, daily_orders, top_users")
        for (window, buffers), currency in itertools.product(bounds.items(), [None, "EUR"]):
            assert read(window, currency)[1] <= buffers, (users, window, currency)


def test_what_a_user_spends_is_read_day_by_day_along_the_key(world: World) -> None:
    fill(world, 800)
    world.sql("ANALYZE daily_user_revenue")
    user = world.sql("SELECT user_id FROM daily_user_revenue LIMIT 1")[0][0]
    window = Window(TODAY - timedelta(days=365), TODAY)
    with database.transaction(Role.API) as connection:
        (_, spent), plans = plans_of(connection, user_revenue.spending, user, window, None, False)
    kept = world.sql(
        "SELECT placed_on, orders, revenue_minor FROM daily_user_revenue WHERE user_id = :user AND placed_on >= :first"
        " ORDER BY placed_on",
        user=user,
        first=window.first,
    )
    assert [(day.day, day.orders, day.revenue_minor) for day in spent] == [tuple(row) for row in kept]
    [scan] = [scan for plan in plans for scan in plan.scans if scan.table == "daily_user_revenue"]
    assert scan.index == "pk_daily_user_revenue"
    assert scan.rows + scan.removed == pytest.approx(len(kept), rel=0.05), "told as an average of the days"
    assert sum(plan.buffers for plan in plans) < 8 * 366
