"""What the documents say of the log is in the code: the events worth an alarm, and the causes of a 503."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from api import acceptor
from models import errors

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
PACKAGES = ("api", "models", "runtime", "schedules", "workers")
# Those that `api/hitches.py` is told, at its one level.
HITCHES = {acceptor.FULL, acceptor.LOST, acceptor.SPLIT, acceptor.WAITS, acceptor.CROWDED, acceptor.AGAIN}


def trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield ast.parse(path.read_text())


def logged(level: str) -> set[str]:
    """The events that code writes at this level."""
    found = HITCHES if level == "warning" else set()
    for tree in trees():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("log"), attr=called), args=[ast.Constant(str(event)), *_]
                ) if called == level:
                    found = found | {event}
    return found


def test_what_is_worth_an_alarm_is_what_the_code_writes_at_that_level() -> None:
    told = " ".join(OPERATIONS.partition("- Lines at level `warning`")[2].partition("What to do:")[0].split())
    warnings, _, failures = told.partition("at level `error`:")
    for level, events in (("warning", warnings), ("error", failures)):
        named = set(re.findall(r"`([^`]+)`", events)) - {"event"}
        assert named and named <= logged(level)


def test_the_table_of_causes_is_that_of_the_code() -> None:
    section = OPERATIONS.partition("### Somebody is answered 503")[2].partition("\n### ")[0]
    assert re.findall(r"(?m)^\| `(\w+)` \|", section)[1:] == list(errors.Cause)


def test_whoever_cannot_answer_names_the_cause() -> None:
    named: set[str] = set()
    for tree in trees():
        named |= {called.attr for called in _causes(tree)}
        bare = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and _is_unavailable(node.exc)]
        assert not bare, [ast.unparse(node) for node in bare]
    assert named == {cause.name for cause in errors.Cause}


def _causes(tree: ast.Module) -> Iterator[ast.Attribute]:
    """`errors.Cause.…`, wherever it stands."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Attribute(attr="Cause")):
                yield node


def _is_unavailable(raised: ast.expr | None) -> bool:
    """Whether it is raised as a class, or made without a cause."""
    match raised:
        case ast.Attribute(attr="Unavailable"):
            return True
        case ast.Call(func=ast.Attribute(attr="Unavailable"), keywords=named):
            return "cause" not in {each.arg for each in named}
    return False
