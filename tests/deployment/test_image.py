"""The Dockerfile, read as a list of instructions, and the distribution that it installs."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INCLUDED = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
# Benchmarks belong into the image from the day on which the command line imports them.
IMPORTED = re.compile(r"^(?:from|import) benchmarks\b", re.MULTILINE)
WITH_BENCHMARKS = any(IMPORTED.search(path.read_text()) for path in (ROOT / "ops").rglob("*.py"))
PACKAGES = [name for name in INCLUDED if name != "benchmarks" or WITH_BENCHMARKS]


def instructions() -> list[tuple[str, str]]:
    plain = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in plain.splitlines()) if word
    ]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]


def test_the_last_user_is_not_root() -> None:
    users = [rest for word, rest in final_stage() if word == "USER"]
    assert users, "no USER means root"
    assert users[-1].partition(":")[0] not in {"root", "0"}


def test_what_is_started_is_the_api_and_nothing_stands_before_it() -> None:
    assert [word for word, _ in instructions() if word == "ENTRYPOINT"] == []
    [command] = [json.loads(rest) for word, rest in final_stage() if word == "CMD"]
    assert command == ["orders", "serve", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104 - inside its container


def test_the_final_stage_installs_nothing() -> None:
    done = " ".join(rest for word, rest in final_stage() if word == "RUN")
    assert not re.search(r"\b(apt|apt-get|pip|gcc|build-essential)\b", done)


def test_every_package_is_installed_by_hash() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert "--require-hashes --requirement requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_no_registry_is_named() -> None:
    for source in (rest.split()[0] for word, rest in instructions() if word == "FROM"):
        assert "." not in source.partition("/")[0].partition(":")[0]
    text = (ROOT / "Dockerfile").read_text() + (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"\b[\w-]+\.(io|com|org|net|dev)/", text)


def test_what_is_copied_exists_and_is_not_kept_out() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_in
    assert copied == {*PACKAGES, "pyproject.toml", "requirements.lock", "README.md"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our distribution, built as the image builds it, from a copy that holds only what the image is given."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=source, check=True, capture_output=True)
    [built] = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_migration(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.suffix in {".py", ".mako", ".sql", ".html", ".css", ".js"} and "__pycache__" not in path.parts
    }
    assert ours <= packed, sorted(ours - packed)


def test_the_wheel_makes_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "orders = ops.cli:main" in archive.read(entry_points).decode()


def test_the_command_says_that_there_are_no_benchmarks_in_the_image(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    # Without site, so that our own checkout, with its benchmarks, is not installed in this interpreter.
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "ops", "bench", "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"orders: the benchmarks are not installed here: .* `make bench` .*\n", done.stderr)
