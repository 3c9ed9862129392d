"""All metrics in Prometheus' text form: what the API processes have counted, and what was just read by SQL."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family

from api.metrics import measures
from api.metrics.measures import Measures
from api.metrics.tallies import Tally
from models import vitals
from runtime.metrics import Form, Metric, Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METRICS = (*measures.METRICS, *vitals.METRICS)

Labels = tuple[str, ...]


class _Collector:
    """What prometheus_client asks for when it is to spell something: a list of families."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def spell(counted: Measures, read: Sequence[Sample]) -> bytes:
    """A whole scrape."""
    tallies = list(counted.tallies.all())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector([*_histograms(tallies), *_families([*_counted(tallies), *read])]))
    return generate_latest(registry)


def _counted(tallies: Sequence[Tally]) -> Iterator[Sample]:
    """Counters add up over all processes there ever were, and gauges over those that live."""
    living = [each for each in tallies if each.is_alive]
    sums: dict[tuple[str, Labels], float] = defaultdict(float)
    for each in tallies:
        sums[each.metric, each.labels] += each.numbers[0]
    for metric in measures.METRICS:
        if metric.form is Form.COUNTER:
            yield from (
                Sample(metric, value, labels) for (name, labels), value in sorted(sums.items()) if name == metric.name
            )
    yield Sample(measures.WAITING, sum(each.numbers[0] for each in living if each.metric == measures.WAITING.name))
    looks = [each.numbers[0] for each in living if each.metric == measures.LOOKED_AT.name]
    if any(looks):  # Who has not looked yet answers nobody yet.
        yield Sample(measures.LOOKED_AT, max(0.0, time.monotonic() - min(filter(None, looks))))
    yield Sample(measures.PROCESSES, len(looks))


def _histograms(tallies: Sequence[Tally]) -> Iterator[Family]:
    sums: dict[tuple[str, Labels], list[float]] = {}
    for each in tallies:
        known = sums.setdefault((each.metric, each.labels), [0.0] * len(each.numbers))
        for place, number in enumerate(each.numbers):
            known[place] += number
    for metric in measures.METRICS:
        if metric.form is Form.HISTOGRAM:
            family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for (name, labels), numbers in sorted(sums.items()):
                if name == metric.name:
                    family.add_metric(labels, _cumulative(metric, numbers), numbers[-1])
            yield family


def _cumulative(metric: Metric, numbers: Sequence[float]) -> list[tuple[str, float]]:
    bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    return list(zip(bounds, accumulate(numbers[:-1]), strict=True))


def _families(samples: Sequence[Sample]) -> Iterator[Family]:
    for metric in METRICS:
        if metric.form is not Form.HISTOGRAM:
            make = CounterMetricFamily if metric.form is Form.COUNTER else GaugeMetricFamily
            family = make(metric.name, metric.meaning, labels=metric.labels)
            for sample in samples:
                if sample.metric is metric:
                    family.add_metric(sample.labels, sample.value)
            yield family
