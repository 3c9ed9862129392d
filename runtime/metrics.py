"""What a metric is: its name, what it means, and what tells its series apart. Whoever counts or reads one declares it.

Names follow Prometheus: `orders_` for this application, the unit, `_total` for what only grows.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Form(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """`buckets` are the upper bounds of a histogram's, without the last one, which has none."""

    name: str
    form: Form
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Sample(NamedTuple):
    """One value of a gauge, as it was just read."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()
