"""The bootstrap: when it does nothing, when it begins anew, and what it says when it cannot go on."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops import bootstrap
from ops.bootstrap import BootstrapError, Environment

SCRIPT = Path(bootstrap.__file__)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A checkout whose environment looks complete."""
    (tmp_path / "requirements.lock").write_text("nothing==1.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    environment = Environment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    bootstrap.seal(environment)
    return environment


def test_a_finished_environment_is_complete(environment: Environment) -> None:
    assert environment.complete


def test_a_finished_environment_is_left_alone_and_quickly(environment: Environment) -> None:
    (environment.root / "ops").mkdir()
    copy = environment.root / "ops" / "bootstrap.py"
    copy.write_text(SCRIPT.read_text())

    started_at = time.monotonic()
    done = subprocess.run([sys.executable, "-I", copy], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("", "")
    assert time.monotonic() - started_at < 2  # it takes 0.1 s; this only notices an installation


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_input_asks_for_an_update_in_place(environment: Environment, name: str) -> None:
    (environment.root / name).write_text("changed\n")

    assert not environment.complete
    assert environment.usable


def test_an_interrupted_installation_asks_for_a_new_environment(environment: Environment) -> None:
    environment.unfinished.touch()

    assert not environment.complete
    assert not environment.usable


def test_a_moved_checkout_asks_for_a_new_environment(environment: Environment, tmp_path: Path) -> None:
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)

    assert not Environment(moved).complete
    assert not Environment(moved).usable


def test_an_interpreter_that_has_gone_asks_for_a_new_environment(environment: Environment) -> None:
    environment.python.unlink()
    environment.python.symlink_to(environment.root / "gone")

    assert not environment.complete
    assert not environment.usable


def test_an_unreadable_stamp_asks_for_an_update(environment: Environment) -> None:
    environment.stamp.write_text("{")

    assert not environment.complete


def test_a_python_that_is_too_old_is_told_what_is_needed() -> None:
    message = bootstrap.too_old((3, 9))

    assert "Python 3.11 or newer is needed; this is 3.9" in message
    assert "make PYTHON=" in message


def test_a_python_without_venv_names_the_package_to_install() -> None:
    assert "apt install python3-venv" in bootstrap.no_venv_module((3, 11))


def test_a_failed_command_shows_its_last_lines_and_where_the_rest_is(environment: Environment) -> None:
    code = "import sys; print('\\n'.join(f'line {number}' for number in range(40))); sys.exit(1)"

    with pytest.raises(BootstrapError) as failure:
        bootstrap.run_quietly(environment, [sys.executable, "-c", code])

    assert "line 39" in str(failure.value)
    assert "line 20" not in str(failure.value)
    assert ".venv/install.log" in str(failure.value)
    assert "line 20" in environment.log.read_text()


def test_a_missing_program_is_named(environment: Environment) -> None:
    with pytest.raises(BootstrapError, match="/nonexistent/uv cannot be run"):
        bootstrap.run_quietly(environment, ["/nonexistent/uv"])


def test_the_script_keeps_to_the_grammar_of_python_3_8() -> None:
    """An old interpreter has to understand it in order to say that it is too old."""
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
