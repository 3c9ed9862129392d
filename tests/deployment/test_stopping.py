"""How long each process may take to end: what docs/operations.md says, what the code has, and who waits for it."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.app import create_app
from ops import serve
from ops.local import profile
from ops.local.profile import Numbers
from runtime import shutdown
from workers.app import app

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "docs/operations.md").read_text().partition("\n## Stopping\n")[2].partition("\n## ")[0]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
MONITORING = {"prometheus", "grafana"}


@dataclass(frozen=True)
class Bound:
    """A row of the table; seconds that it leaves open are None."""

    seconds: float | None
    sum_of: tuple[str, ...]
    compose_seconds: float | None


def seconds(cell: str) -> float | None:
    found = re.match(r"(\d+) s\b", cell)
    return float(found[1]) if found else None


def table() -> dict[str, Bound]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line[:3] == "| `"]
    return {
        name.strip("`"): Bound(seconds(within), tuple(re.findall(r"`([A-Z_]+_SECONDS)`", which)), seconds(waits))
        for name, within, which, waits in rows
    }


TABLE = table()
# Those that `orders up` runs, by role: nothing is started to know how long they may take.
GIVEN = {"DATABASE_URL": "postgresql://db", "BROKER_URL": "redis://broker"}


def test_the_table_has_every_process_of_ours_and_both_engines() -> None:
    assert TABLE.keys() == SERVICES.keys() - MONITORING | {"orders up"}


@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"migrate"}))
def test_a_bound_is_the_sum_of_its_parts(name: str) -> None:
    assert TABLE[name].seconds == sum(getattr(shutdown, part) for part in TABLE[name].sum_of)


@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"orders up"}))
def test_compose_waits_for_longer_than_a_process_may_take(name: str) -> None:
    waits = TABLE[name].compose_seconds
    assert waits == seconds(SERVICES[name]["stop_grace_period"].replace("s", " s"))
    assert waits is not None
    assert waits > (TABLE[name].seconds or 0)


def test_whoever_keeps_processes_running_gives_each_the_time_it_needs(tmp_path: Path) -> None:
    local = profile.processes(profile.profile(tmp_path, 8000, Numbers(), GIVEN))
    assert {role: process.stop_seconds for role, [process] in local.items()} == {
        role: TABLE[role].seconds for role in local
    }
    assert serve.process("api-1", 8000).stop_seconds == TABLE["api"].seconds, "among `--workers`, too"
    here = profile.profile(tmp_path, 8000, Numbers(), {})
    assert here.postgres and here.valkey
    for engine in (here.postgres.process, here.valkey.process):
        assert engine.is_needed
        assert engine.stop_seconds == TABLE[engine.name].seconds
    slowest = max(process.stop_seconds for [process] in local.values())
    assert TABLE["orders up"].seconds == slowest + shutdown.OTHERS_SECONDS


def test_an_api_process_that_uses_all_its_time_for_requests_has_time_left_to_write() -> None:
    """`tests/regression/test_a_stop_that_cut_itself_off.py` is what happened where it had none."""
    answering = serve.configuration(create_app).timeout_graceful_shutdown
    assert answering == shutdown.ANSWER_SECONDS
    left = serve.process("api", 8000).stop_seconds - answering
    assert left > shutdown.WRITE_SECONDS + shutdown.CLOSE_SECONDS + shutdown.FLUSH_SECONDS


def test_a_worker_finishes_its_batches_within_its_part() -> None:
    assert timedelta(seconds=app.conf.worker_soft_shutdown_timeout) == timedelta(seconds=shutdown.WORK_SECONDS)
