"""Rules of the house that a machine can check (STYLE.md). That each of them can fail: `test_rules_can_fail.py`."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import house_rules
import pytest
from fastapi.routing import iter_route_contexts

from api.app import ROUTERS

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "benchmarks", "models", "ops", "runtime", "schedules", "workers")
OURS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

Measure = Callable[[Iterable[Path]], list[tuple[int, str]]]

# The edges: one place each that opens transactions and commits.
EDGES = {"runtime/database.py", "api/database.py", "ops/migrate.py"}
RELAY = {"workers/bell.py"}
# The usual app that we compare ourselves with does what usual apps do.
USUAL = {"benchmarks/tutorial/app.py", "benchmarks/tutorial/pipeline.py"}


def but(names: set[str], *packages: str) -> list[Path]:
    """Our files, or those of these packages, without the named ones."""
    named = {ROOT / name for name in names}
    return [path for path in OURS if path not in named and path.relative_to(ROOT).parts[0] in (packages or PACKAGES)]


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_down() -> None:
    assert house_rules.importing_upwards(ROOT) == ""


@pytest.mark.timeout(400)
def test_types_are_checked_strictly() -> None:
    run("mypy")


def test_the_linter_has_nothing_to_say() -> None:
    run("ruff", "check", ".")


def test_the_formatter_has_nothing_to_change() -> None:
    run("ruff", "format", "--check", ".")


def test_a_file_is_one_idea() -> None:
    assert house_rules.too_long(OURS + TESTS) == []


def test_a_function_is_one_paragraph() -> None:
    assert house_rules.with_a_function_too_long(OURS + TESTS) == []


@pytest.mark.parametrize(
    ("measure", "median_max"), [(house_rules.lines_of_files, 120), (house_rules.lines_of_functions, 10)]
)
@pytest.mark.parametrize("paths", [OURS, TESTS], ids=["ours", "tests"])
def test_half_of_them_are_short(measure: Measure, median_max: int, paths: list[Path]) -> None:
    """`make test ARGS="-n 0 -rP tests/architecture/test_house_rules.py -k short"` prints how long they are."""
    counted = measure(paths)
    lines = [number for number, _ in counted]
    longest = [f"{number} {name}" for number, name in reversed(counted[-5:])]
    sys.stdout.write(
        f"{len(lines)}, {sum(lines)} lines, median {median(lines)}, longest:\n" + "\n".join(longest) + "\n"
    )
    assert median(lines) <= median_max


def test_no_import_hides() -> None:
    assert house_rules.hiding_an_import(OURS + TESTS) == []


def test_a_module_opens_with_what_it_owns() -> None:
    assert house_rules.without_a_docstring(OURS) == []


def test_only_the_edges_commit() -> None:
    assert house_rules.committing(but(EDGES | USUAL)) == []


def test_no_verb_and_no_endpoint_begins_a_transaction() -> None:
    assert house_rules.beginning_a_transaction(but(EDGES, "api", "models")) == []


def test_only_the_relay_publishes() -> None:
    assert house_rules.publishing(but(RELAY | USUAL)) == []


def test_no_file_names_the_place_it_was_written_in() -> None:
    assert house_rules.breaking(lambda path: str(ROOT) not in path.read_text(), OURS + TESTS) == []


def test_the_lock_pins_every_package_by_hash_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][a-z0-9._\[\]-]*==[^ ]+", lock, re.MULTILINE)
    assert len(pins) > 50
    assert len(re.findall(r"^[a-z0-9][^\n]*\\\n\s+--hash=sha256:", lock, re.MULTILINE)) == len(pins)
    assert "://" not in lock


def test_no_dependency_of_a_route_runs_in_a_thread() -> None:
    """FastAPI runs a plain `def` in a thread pool, at ten times the cost of calling it (docs/decisions/0015)."""
    waiting = [context.dependant for router in ROUTERS for context in iter_route_contexts(router.routes)]
    plain = set()
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        if not inspect.iscoroutinefunction(dependant.call):
            plain.add(dependant.call)
    assert plain == set()
