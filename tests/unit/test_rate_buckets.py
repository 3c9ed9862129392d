"""The buckets behind the limits for requests, with a clock that the test turns (S36)."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from api.edge.rate_limits import LEFT, Buckets

SECONDS = 60.0


def takes(buckets: Buckets, key: str, now: float) -> bool:
    return buckets.take(key, now) <= SECONDS


def taken_at_once(buckets: Buckets, key: str, now: float) -> int:
    return next(number for number in count() if not takes(buckets, key, now))


def test_s36_a_full_bucket_has_its_quota_and_not_one_more() -> None:
    assert taken_at_once(Buckets("caller", "120/minute"), "ada", 1000.0) == 120


def test_s36_an_empty_bucket_fills_evenly() -> None:
    buckets = Buckets("caller", "120/minute")
    taken_at_once(buckets, "ada", 1000.0)
    assert taken_at_once(buckets, "ada", 1000.51) == 1
    assert taken_at_once(buckets, "ada", 1010.51) == 20
    assert taken_at_once(buckets, "ada", 9999.0) == 120


def test_s36_everybody_has_their_own() -> None:
    buckets = Buckets("caller", "5/minute")
    taken_at_once(buckets, "ada", 1000.0)
    assert taken_at_once(buckets, "eve", 1000.0) == 5


@given(
    pauses=st.lists(st.floats(min_value=0, max_value=30), min_size=1, max_size=200),
    quota=st.integers(min_value=1, max_value=50),
)
def test_s36_in_no_while_more_is_taken_than_the_quota_and_what_came_in_since(pauses: list[float], quota: int) -> None:
    buckets, now, taken = Buckets("caller", f"{quota}/minute"), 1000.0, [0.0]
    taken.clear()
    for pause in pauses:
        now += pause
        if takes(buckets, "ada", now):
            taken.append(now)
    for first, began in enumerate(taken):
        for last, ended in enumerate(taken[first:], start=1):
            assert last <= quota + (ended - began) * quota / SECONDS + 1e-6


def test_s36_strangers_without_number_cost_a_bounded_memory_and_push_out_nobody_who_keeps_asking() -> None:
    buckets, allowed = Buckets("address", "10/minute", keys_max=100), 0
    for number in range(10_000):
        takes(buckets, f"stranger {number}", 1000.0)
        allowed += takes(buckets, "busy", 1000.0)
    assert len(buckets) == 100
    assert allowed == 10


def test_s36_the_fields_say_what_is_left() -> None:
    buckets = Buckets("caller", "100/10 seconds")
    scope = {"state": {}}  # type: ignore[var-annotated]
    for _ in range(10):
        buckets.charge("ada", scope)
    policy, left = scope["state"][LEFT]
    assert policy == b'"caller";q=100;w=10'
    name, remaining, full_in = left.decode().split(";")
    assert name == '"caller"'
    assert int(remaining.removeprefix("r=")) in {90, 91}
    assert full_in == "t=1"
