"""The fault campaign, in short: a whole system with two of everything, and something killed every second."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as bench
from benchmarks.faults import FAULTS

pytestmark = pytest.mark.timeout(600)

ORDERS, SECONDS = 1500, 12


def test_nothing_is_lost_and_nothing_moves_twice_while_something_is_killed_every_second() -> None:
    options = {"orders": ORDERS, "seconds": SECONDS, "lease": 5, "replays": 300}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = CliRunner().invoke(bench.app, ["chaos", "--json", *arguments])
    report = json.loads(done.stdout)
    assert [verdict for verdict in report["verdicts"] if not verdict["is_kept"]] == [], report
    assert (done.exit_code, report["good"]) == (0, True)
    assert sum(report["statuses"].values()) == ORDERS
    assert set(report["faults"]) == set(FAULTS)
    assert sum(report["faults"].values()) >= SECONDS
