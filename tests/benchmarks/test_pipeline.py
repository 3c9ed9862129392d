"""The pipeline's benchmark, in small: it runs, moves every order it says it moved, and judges what it found."""

import json
import subprocess
import sys

import pytest
from running_system import bare_environment

pytestmark = pytest.mark.timeout(300)


def test_it_measures_how_soon_how_many_and_at_what_cost_and_judges_each() -> None:
    options = {"rounds": 1, "seconds": 1, "backlog": 500, "tutorial-backlog": 100, "singles": 3, "users": 200}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks", "pipeline", "--tokens", "50", "--connections", "8", "--json"]
    done = subprocess.run([*command, *arguments], env=bare_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["confirmed_ms"]) == 3
    assert {name: len(rates) for name, rates in found["rates"].items()} == {"accepted": 1, "ours": 1, "tutorial": 1}
    [cost] = found["costs"]
    assert set(cost["cpu_us_per_order"]) == {"relay", "worker", "beat", "postgres", "valkey", "api", "load"}
    assert all(cost["cpu_us_per_order"][name] > 0 for name in ("relay", "worker", "postgres", "api"))
    assert len(found["budgets"]) == 4
