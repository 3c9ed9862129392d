"""The analytics' benchmark, in small: it seeds, asks, folds and weighs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from running_system import bare_environment

pytestmark = pytest.mark.timeout(300)


def measured(data: Path) -> dict[str, Any]:
    options = {"orders": 2000, "small": 1000, "users": 200, "rounds": 1, "workers": 1, "data": str(data)}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks", "analytics", "--json", *arguments]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_measures_answers_folds_and_sizes(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert found["seeded"]["written"]["orders"] == 2000
    assert set(found["in_database"]) == {*found["flat"], *found["live"]}
    for times in (*found["flat"].values(), *found["live"].values(), *found["in_database"].values()):
        assert times["small_ms"] > 0 < times["large_ms"]
    assert len(found["raw_ms"]) == 6
    assert all(fold["events"] > 1000 for fold in found["folds"].values())
    assert found["bytes_per_order"]["order_events"] > found["index_bytes_per_order"]["pk_order_events"] > 50
    assert len(found["budgets"]) == len(found["flat"]) + 1
