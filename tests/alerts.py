"""The alert rules of ops/monitoring/alerts.yml, held against real scrapes of a real API."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import yaml
from promql import Scrape, Vector, evaluate, scrape

ROOT = Path(__file__).resolve().parents[1]
FIRES_WITHIN_SECONDS = 15.0
PATIENCE_SECONDS = 1.5


def rules() -> dict[str, dict[str, Any]]:
    """alert → its rule"""
    groups = yaml.safe_load((ROOT / "ops/monitoring/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


RULES = rules()


class Prometheus:
    """Scrapes one API when told to, and knows what fires. How long it must (`for`) does not count here."""

    def __init__(self, url: str, within_seconds: float = FIRES_WITHIN_SECONDS) -> None:
        self._url = url
        self._within_seconds = within_seconds
        self._scrapes: list[Scrape] = []
        self.scrape()

    def scrape(self) -> None:
        try:
            answer = httpx2.get(f"{self._url}/metrics", timeout=PATIENCE_SECONDS, trust_env=False)
            text = answer.text if answer.status_code == 200 else None
        except httpx2.TransportError:
            text = None
        self._scrapes.append(scrape(time.monotonic(), text, job="orders", instance=self._url))

    @property
    def last(self) -> Mapping[str, Vector]:
        """What the last scrape read."""
        return self._scrapes[-1].samples

    def firing(self, alert: str) -> Vector:
        """The series for which the alert's expression holds."""
        return evaluate(RULES[alert]["expr"], self._scrapes)

    def expect(self, *alerts: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Scrape until all of these fire; a reading of SQL is good for half a second."""
        deadline = time.monotonic() + self._within_seconds
        while silent := [alert for alert in alerts if not self.firing(alert)]:
            assert time.monotonic() < deadline, f"does not fire: {silent}"
            meanwhile()
            time.sleep(0.1)
            self.scrape()

    def expect_silence(self, *alerts: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Scrape twice, with nothing remembered, until none of these fires: of one scrape nothing can be said to grow.

        What happens meanwhile, between the two, is what usually does and must not fire any of them.
        """
        deadline = time.monotonic() + self._within_seconds
        while loud := self._loud(alerts, meanwhile):
            assert time.monotonic() < deadline, f"fires where nothing is wrong: {loud}"
            time.sleep(0.1)

    def _loud(self, alerts: Sequence[str], meanwhile: Callable[[], object]) -> list[str]:
        self._scrapes.clear()
        self.scrape()
        meanwhile()
        self.scrape()
        return [alert for alert in alerts if self.firing(alert)]
