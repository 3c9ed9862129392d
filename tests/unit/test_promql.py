"""The evaluator of our alert rules, against examples whose result anybody can tell who knows Prometheus."""

import math

import pytest
from promql import evaluate, names, scrape

FIRST = """
a_total{kind="x",status="200"} 10
a_total{kind="x",status="503"} 1
a_total{kind="y",status="200"} 5
d_bucket{le="0.1"} 0
d_bucket{le="1.0"} 0
d_bucket{le="+Inf"} 0
g 7
""".strip()
LAST = """
# HELP a_total something
a_total{kind="x",status="200"} 30
a_total{kind="x",status="503"} 3
a_total{kind="y",status="200"} 2
d_bucket{le="0.1"} 5
d_bucket{le="1.0"} 10
d_bucket{le="+Inf"} 10
g 4
""".strip()
SCRAPES = [scrape(0, FIRST, job="orders"), scrape(10, LAST, job="orders")]


def values(expression: str) -> list[float]:
    return sorted(evaluate(expression, SCRAPES).values())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("g", [4]),
        ("g > 4", []),
        ("g >= 4", [4]),
        ("g == 4", [4]),
        ("up == 0", []),
        ('up{job="orders"} == 1', [1]),
        ('up{job="others"} == 1', []),
        ('a_total{status=~"5.."}', [3]),
        ('a_total{status!~"5..",kind!="y"}', [30]),
        ('absent(up{job="orders"} == 1)', []),
        ('absent(up{job="others"} == 1)', [1]),
        ("absent(g == 7)", [1]),
        ("sum(a_total)", [35]),
        ("sum by (kind) (a_total)", [2, 33]),
        ("max(a_total) - min(a_total)", [28]),
        ("delta(g[15m])", [-3]),
        ('rate(a_total{kind="x"}[5m])', [0.2, 2]),
        ('increase(a_total{kind="y"}[5m])', [2]),  # it began anew
        ('sum(rate(a_total{status=~"5.."}[5m])) / sum(rate(a_total[5m])) * 100', [pytest.approx(100 * 0.2 / 2.4)]),
        ("histogram_quantile(0.5, sum by (le) (rate(d_bucket[5m])))", [pytest.approx(0.1)]),
        ("histogram_quantile(0.75, sum by (le) (rate(d_bucket[5m])))", [pytest.approx(0.55)]),
    ],
)
def test_an_expression_has_the_value_that_prometheus_gives_it(expression: str, expected: list[float]) -> None:
    assert values(expression) == expected


def test_what_nobody_answered_is_down_and_everything_else_is_missing() -> None:
    silent = [scrape(0, None, job="orders")]
    assert evaluate('up{job="orders"} == 0', silent)
    assert evaluate("max(g) == 0", silent) == {}


def test_a_ratio_of_nothing_is_no_number_and_fires_nothing() -> None:
    still = [scrape(0, FIRST), scrape(10, FIRST)]
    [ratio] = evaluate("sum(rate(a_total[5m])) / sum(rate(a_total[5m]))", still).values()
    assert math.isnan(ratio)
    assert evaluate("sum(rate(a_total[5m])) / sum(rate(a_total[5m])) > 0.01", still) == {}


@pytest.mark.parametrize("expression", ["a[5m] offset 1d", "topk(3, g)", "g > h", "rate(g)", "g or h"])
def test_what_it_does_not_know_it_refuses(expression: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        evaluate(expression, SCRAPES)


def test_it_names_the_metrics_that_are_asked_for() -> None:
    assert names('sum by (le) (rate(a_bucket{x="sum"}[5m])) / max(b) > 1') == {"a_bucket", "b"}
