"""Quantiles from a histogram are as near to the exact ones as it says, however the histogram was put together."""

import math

from hypothesis import given
from hypothesis import strategies as st

from models.analytics import fulfilment
from models.analytics.fulfilment import ERROR, GAMMA

times = st.lists(st.floats(0.001, 3e8), min_size=1, max_size=60)
# A value has four digits: that is as much as half a unit of the last one more.
DIGITS = 0.0006


def histogram(seconds: list[float]) -> dict[int, int]:
    """As the SQL makes it."""
    found: dict[int, int] = {}
    for each in seconds:
        bucket = math.ceil(math.log(max(each * 1000, 1)) / math.log(GAMMA))
        found[bucket] = found.get(bucket, 0) + 1
    return found


@given(times, st.sampled_from([0.5, 0.95, 1.0]))
def test_a_quantile_is_within_the_error_of_the_exact_one(seconds: list[float], share: float) -> None:
    exact = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    told = fulfilment.quantile(histogram(seconds), share)
    assert told is not None
    assert abs(told - exact) <= exact * (ERROR + DIGITS)


@given(times, times)
def test_histograms_of_parts_add_up_to_that_of_the_whole(one: list[float], other: list[float]) -> None:
    assert fulfilment.merged([histogram(one), histogram(other)]) == histogram(one + other)


def test_nothing_has_no_median() -> None:
    assert fulfilment.quantile({}, 0.5) is None
    assert fulfilment.quantile({7: 0}, 0.5) is None
