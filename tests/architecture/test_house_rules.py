"""Rules of the house that a machine can check (STYLE.md)."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from api.app import ROUTERS

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "benchmarks", "models", "ops", "runtime", "schedules", "workers")
OURS = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# The edges: one place each that opens transactions and commits.
EDGES = {"runtime/database.py", "api/database.py", "ops/migrate.py"}
RELAY = {"workers/bell.py"}
# The usual app that we compare ourselves with does what usual apps do.
USUAL = {"benchmarks/tutorial/app.py", "benchmarks/tutorial/pipeline.py"}


def breaking(rule: Callable[[Path], bool], paths: Iterable[Path]) -> list[str]:
    """The files that do not keep it."""
    return [name(path) for path in paths if not rule(path)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_down() -> None:
    run("importlinter.cli")


@pytest.mark.timeout(400)
def test_types_are_checked_strictly() -> None:
    run("mypy")


def test_the_linter_has_nothing_to_say() -> None:
    run("ruff", "check", ".")


def test_the_formatter_has_nothing_to_change() -> None:
    run("ruff", "format", "--check", ".")


def test_a_file_is_one_idea() -> None:
    assert breaking(lambda path: len(path.read_text().splitlines()) <= FILE_LINES_MAX, OURS + TESTS) == []


def test_a_function_is_one_paragraph() -> None:
    too_long = [
        f"{name(path)}: {node.name}"
        for path in OURS + TESTS
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{name(path)}: {node.name}"
        for path in OURS + TESTS
        for node in functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def test_a_module_opens_with_what_it_owns() -> None:
    assert breaking(lambda path: bool(ast.get_docstring(ast.parse(path.read_text()))), OURS) == []


def test_only_the_edges_commit() -> None:
    others = [path for path in OURS if name(path) not in EDGES | USUAL]
    assert breaking(lambda path: not re.search(r"\.(commit|rollback)\(\)", path.read_text()), others) == []


def test_only_the_relay_publishes() -> None:
    others = [path for path in OURS if name(path) not in RELAY | USUAL]
    publishes = re.compile(r"\.(delay|apply_async|send_task|publish)\(")
    assert breaking(lambda path: not publishes.search(path.read_text()), others) == []


def test_no_file_names_the_place_it_was_written_in() -> None:
    assert breaking(lambda path: str(ROOT) not in path.read_text(), OURS + TESTS) == []


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
