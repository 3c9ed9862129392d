"""A day could be given as a number (25 November 2026).

`to=0` meant the first of January 1970, and `since=0.5` half a second of that day: to pydantic, a number is a time in
seconds. The description promises ISO 8601 and nothing else. schemathesis found it.
"""

import pytest
from api_client import ORDERS, Client, assert_problem


@pytest.mark.parametrize(
    "query",
    [
        "/v1/analytics/orders-per-day?to=0",
        "/v1/analytics/revenue-by-user?from=86400",
        "/v1/analytics/status-counts?to=1767225600",
        "/v1/analytics/status-counts?to=2026-03-02T00:00:00Z",
        f"{ORDERS}?placed_at_min=0",
        f"{ORDERS}?placed_at_max=1767225600.5",
        f"{ORDERS}?placed_at_max=1767225600000",
        "/v1/ops/dead-letters?since=0.5",
    ],
)
def test_a_time_is_spelled_in_iso_8601(as_admin: Client, query: str) -> None:
    problem = assert_problem(as_admin.get(query), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == query.partition("?")[2].partition("=")[0]


@pytest.mark.parametrize("moment", ["2026-03-02T09:00:00Z", "2026-03-02T09:00:00.123%2B01:00", "2026-03-02t09:00:00z"])
def test_times_with_a_zone_are_times(as_admin: Client, moment: str) -> None:
    assert as_admin.get(f"{ORDERS}?placed_at_min={moment}").status_code == 200
    assert as_admin.get("/v1/analytics/orders-per-day?from=2026-03-02&to=2026-03-02").status_code == 200
