"""docs/tutorial.md is followed: its edits are made and its commands run, as they stand there, in a copy of all this."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import migrations

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COPIED = ("api", "benchmarks", "docs", "models", "ops", "runtime", "schedules", "tests", "workers")


@pytest.fixture
def copy() -> Iterator[Path]:
    """This repository once more, with the same `.venv`. Not in pytest's own directory: its name is too long for the
    socket that PostgreSQL makes below it.
    """
    with tempfile.TemporaryDirectory(prefix="tutorial-") as directory:
        made = Path(directory)
        for name in COPIED:
            shutil.copytree(ROOT / name, made / name)
        for name in ("pyproject.toml", ".venv"):
            (made / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "README.md", made)
        yield made


def numbered(words: str) -> str:
    """With the numbers that the page leaves to its reader."""
    newest = migrations.head()
    return words.replace("NEWEST", newest).replace("NEXT", f"{int(newest) + 1:04}")


def edit(copy: Path, diff: str) -> None:
    run(copy, f"git apply - <<'THE END OF THE EDIT'\n{diff}THE END OF THE EDIT\n")


def write(copy: Path, words: str) -> None:
    """A whole file, which begins with its name."""
    name, _, content = words.removeprefix("# ").partition("\n")
    assert not (copy / name).exists(), name
    (copy / name).write_text(content)


def run(copy: Path, commands: str) -> str:
    """What they print, run as by somebody in whose shell the copy is the project."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(copy), "TMPDIR": str(copy)}
    done = subprocess.run(
        ["/bin/sh", "-e"], cwd=copy, input=commands, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_whoever_follows_the_tutorial_sees_its_test_pass(copy: Path) -> None:
    printed = ""
    for language, words in BLOCK.findall(TUTORIAL.read_text()):
        match language:
            case "diff":
                edit(copy, words)
            case "python":
                write(copy, numbered(words))
            case "sh":
                printed = run(copy, words)
    assert re.search(r"\b\d+ passed\b", printed), printed
    assert "processing --> on_hold: staff" in (copy / "README.md").read_text()
    assert "on_hold" in (copy / "docs" / "openapi.json").read_text()
