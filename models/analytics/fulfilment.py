"""How long orders take from placed to delivered: a histogram whose buckets grow by a constant factor.

Bucket n holds times in (γⁿ⁻¹, γⁿ] milliseconds. A quantile is told as 2γⁿ/(γ+1), which is at most `ERROR` away from
every time of its bucket, relative to that time (DDSketch: Masson, Rim, Lee, VLDB 2019). Histograms of days add up to
those of weeks and months, and so do those of two folds: that is why medians are not kept themselves.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

ERROR = 0.01
GAMMA = (1 + ERROR) / (1 - ERROR)
MILLISECONDS_MIN = 1

# The bucket of a time `{taken}`, an interval. What a clock that was stepped back made negative is the shortest time.
BUCKET = (
    f"ceil(ln(greatest(extract(epoch FROM {{taken}}) * 1000, {MILLISECONDS_MIN})::double precision)"
    f" / {math.log(GAMMA)!r})::int"
)


def seconds(bucket: int) -> float:
    """What is told of the times in a bucket; more digits than these would say nothing."""
    return float(f"{2 * GAMMA**bucket / (GAMMA + 1) / 1000:.4g}")


def merged(histograms: Iterable[Mapping[int, int]]) -> Mapping[int, int]:
    """The histogram of all of their orders together."""
    together: Counter[int] = Counter()
    for each in histograms:
        together.update(each)
    return together


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The time, in seconds, that this share of the orders did not exceed (nearest rank); None where there are none."""
    rank = math.ceil(share * sum(histogram.values()))
    for bucket in sorted(histogram):
        rank -= histogram[bucket]
        if rank <= 0 < histogram[bucket]:
            return seconds(bucket)
    return None
