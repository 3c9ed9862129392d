"""Rules of the house that a machine can check (STYLE.md), as functions: what breaks one of them, among these files."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
PUBLISHES = re.compile(r"\.(delay|apply_async|send_task|publish)\(")
COMMITS = re.compile(r"\.(commit|rollback)\(\)")
BEGINS = re.compile(r"(connection|engine)\.begin\(\)|database\.(transaction|session|connect)\(")

Rule = Callable[[Iterable[Path]], list[str]]


def breaking(keeps: Callable[[Path], bool], paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths if not keeps(path)]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of_files(paths: Iterable[Path]) -> list[tuple[int, str]]:
    return sorted((len(path.read_text().splitlines()), str(path)) for path in paths)


def lines_of_functions(paths: Iterable[Path]) -> list[tuple[int, str]]:
    return sorted(
        ((node.end_lineno or 0) - node.lineno + 1, f"{path}: {node.name}") for path in paths for node in functions(path)
    )


def too_long(paths: Iterable[Path]) -> list[str]:
    return [name for lines, name in lines_of_files(paths) if lines > FILE_LINES_MAX]


def with_a_function_too_long(paths: Iterable[Path]) -> list[str]:
    return [name for lines, name in lines_of_functions(paths) if lines > FUNCTION_LINES_MAX]


def hiding_an_import(paths: Iterable[Path]) -> list[str]:
    """In a function, or where only a type checker sees it."""
    in_functions = [
        f"{path}: {node.name}"
        for path in paths
        for node in functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    return in_functions + breaking(lambda path: not re.search(r"(?m)^if .*TYPE_CHECKING", path.read_text()), paths)


def without_a_docstring(paths: Iterable[Path]) -> list[str]:
    return breaking(lambda path: bool(ast.get_docstring(ast.parse(path.read_text()))), paths)


def publishing(paths: Iterable[Path]) -> list[str]:
    return breaking(lambda path: not PUBLISHES.search(path.read_text()), paths)


def committing(paths: Iterable[Path]) -> list[str]:
    return breaking(lambda path: not COMMITS.search(path.read_text()), paths)


def beginning_a_transaction(paths: Iterable[Path]) -> list[str]:
    return breaking(lambda path: not BEGINS.search(path.read_text()), paths)


def importing_upwards(root: Path) -> str:
    """What import-linter says of the packages in `root`, by the contracts of its pyproject.toml; nothing if they hold.

    By its script: `python -m importlinter.cli` ends with 0 and looks at nothing.
    """
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
