"""The rules, the dashboard and the runbook speak of metrics that there are, and of each other."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerts import RULES
from promql import Scrape, evaluate, names, scrape

from api.metrics import exposition
from api.metrics.measures import Measures
from models import vitals
from runtime.metrics import Form

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
DASHBOARD = json.loads((ROOT / "ops/monitoring/grafana/dashboards/orders.json").read_text())
PARTS_OF_A_HISTOGRAM = ("_bucket", "_count", "_sum")
PROMETHEUS_OWN = {"up"}
CAUSED_IN = ("tests/e2e/test_alerts.py", "tests/integration/test_alerts_of_an_api.py")

METRICS = {metric.name: metric for metric in exposition.METRICS}
SERIES = PROMETHEUS_OWN | {
    name + part
    for name, metric in METRICS.items()
    for part in (PARTS_OF_A_HISTOGRAM if metric.form is Form.HISTOGRAM else ("",))
}


def queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_asks_for_metrics_and_labels_that_there_are(alert: str) -> None:
    assert_exists(RULES[alert]["expr"])


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_the_dashboard_asks_for_metrics_and_labels_that_there_are(title: str, query: str) -> None:
    assert_exists(query)


def assert_exists(query: str) -> None:
    assert names(query) <= SERIES
    known = {"job", "instance", "le"} | {label for metric in METRICS.values() for label in metric.labels}
    grouped = {label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")}
    matched = set(re.findall(r"[{,](\w+)(?:=|!=|=~|!~)", query))
    assert grouped | matched <= known


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_what_is_wrong_how_urgent_it_is_and_what_to_do(alert: str) -> None:
    rule: dict[str, Any] = RULES[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/operations.md" and anchor == alert.lower()
    entry = re.search(rf"(?ms)^#### {alert}\n(.+?)(?=^#)", OPERATIONS)
    assert entry, f"no entry of the runbook is called {alert}"
    for part in ("**Means**", "**Look**", "**Act**"):
        assert part in entry[1]


def test_the_runbook_has_no_entry_of_an_alert_that_is_gone() -> None:
    section = OPERATIONS.partition("### Alerts")[2].partition("\n### ")[0]
    assert re.findall(r"(?m)^#### (\w+)$", section) == list(RULES)


ONE_EACH = {metric.name for metric in vitals.METRICS}
BOUND = re.compile(r" (==|>|<) [\d.]+$")


@pytest.mark.parametrize("alert", [alert for alert, rule in RULES.items() if names(rule["expr"]) <= ONE_EACH])
def test_what_all_api_processes_tell_alike_is_one_alert_and_not_one_for_each(alert: str) -> None:
    """Found by a review on 25 November 2026: one rule had forgotten, and fired as often as there were containers."""
    told = "\n".join(f"{name} 1" for name in ONE_EACH)
    scrapes = [
        Scrape(
            at,
            {
                name: {**samples, **scrape(at, told, job="orders", instance="b").samples[name]}
                for name, samples in scrape(at, told, job="orders", instance="a").samples.items()
            },
        )
        for at in (0, 15)
    ]
    grouped = re.findall(r"by \((\w+)\)", RULES[alert]["expr"])
    series = evaluate(BOUND.sub("", RULES[alert]["expr"]), scrapes)
    assert series and {name for labels in series for name, _ in labels} <= set(grouped)


def test_every_alert_is_fired_by_a_test() -> None:
    fired = {alert for path in CAUSED_IN for alert in expected_by((ROOT / path).read_text())}
    assert fired == set(RULES)


def test_an_alert_that_is_only_named_is_not_fired() -> None:
    named = 'ALERTS = ("Named",)\nwatching.expect_silence("Silent")\n'
    assert set(expected_by(named + 'watching.expect("Fired", *ALERTS, meanwhile=lambda: go("On"))')) == {"Fired"}


def expected_by(source: str) -> Iterator[str]:
    """The alerts for which a test waits: the words in its calls of `expect`."""
    for call in ast.walk(ast.parse(source)):
        match call:
            case ast.Call(func=ast.Attribute(attr="expect"), args=expected):
                yield from (str(word.value) for word in expected if isinstance(word, ast.Constant))


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    section = OPERATIONS.partition("### Metrics")[2].partition("\n### ")[0]
    rows = re.findall(r"(?m)^\| `(orders_\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", section)
    told = [(name, form, labels.replace("`", ""), meaning) for name, form, labels, meaning in rows]
    assert told == [
        (metric.name, metric.form.value, ", ".join(metric.labels), metric.meaning) for metric in exposition.METRICS
    ]


def test_a_scrape_has_what_the_code_declares_and_nothing_else() -> None:
    text = exposition.spell(Measures(), []).decode()
    declared = dict(re.findall(r"(?m)^# TYPE (\S+) (\w+)$", text))
    assert declared == {name: metric.form.value for name, metric in METRICS.items()}
    assert scrape(0, text).samples.keys() <= SERIES


def test_grafana_is_given_the_dashboard_and_the_source_that_its_panels_name() -> None:
    provisioning = ROOT / "ops/monitoring/grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    [provider] = yaml.safe_load((provisioning / "dashboards/orders.yml").read_text())["providers"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert f"./ops/monitoring/grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    assert source["url"] == "http://prometheus:9090"


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
