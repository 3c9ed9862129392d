"""Requests that a machine makes up from our OpenAPI, good ones and bad ones, with credentials: all checks hold.

`CASES=20000 make test ARGS="-n 1 tests/e2e/test_schemathesis.py"` is what issue 5 asks for, and takes some minutes;
`SEED=2` makes up others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from api_process import running
from world import World

from api.identity.tokens import Tokens
from models.identifiers import uuid7
from models.identity import signing_keys
from models.identity.permissions import Role
from runtime import database, settings
from runtime.database import Role as DatabaseRole

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = ROOT / "docs" / "openapi.json"
PROGRAM = Path(sys.executable).with_name("schemathesis")
CASES = int(os.environ.get("CASES", "1500"))
SEED = int(os.environ.get("SEED", "1"))
REPORT = os.environ.get("REPORT")  # where the figures of a long run are to be kept
# So many are made up in any case: every rule of the description, kept and broken.
SYSTEMATIC = 1000
pytestmark = pytest.mark.timeout(180 + CASES // 20)


def token(world: World, role: Role) -> str:
    with database.transaction(DatabaseRole.API) as connection:
        keys = signing_keys.load(connection, settings.current())
    return Tokens(settings.current(), keys).issue(world.user(role), uuid7())


def examples_per_operation() -> int:
    operations = sum(len(path) for path in json.loads(DESCRIPTION.read_text())["paths"].values())
    # Some have nothing that could be made up in many ways.
    return max(8 * (CASES - SYSTEMATIC) // (5 * operations), 1)


def test_s30_s31_s32_whatever_a_machine_makes_up_is_answered_as_documented(world: World, tmp_path: Path) -> None:
    for sku in ("BOWL-OAK", "KETTLE-STEEL"):  # the articles of the examples
        world.product(sku)
    # Whoever makes up passwords is soon held up.
    settings_of_test = {"LOG_LEVEL": "WARNING", "STREAM_LIFE": "1", "LOGIN_TRIES": "1000000/hour"}
    with running(tmp_path, settings_of_test) as api:
        before = api.resident_bytes
        command: list[str | Path] = [
            PROGRAM,
            "--config-file",
            ROOT / "tests" / "schemathesis.toml",
            "run",
            DESCRIPTION,
            "--url",
            api.url,
        ]
        command += ["--header", f"Authorization: Bearer {token(world, Role.ADMIN)}", "--no-color"]
        # The example would have us wait ten seconds, again and again.
        command += ["--header", "Prefer: wait=1"]
        command += ["--checks", "all", "--mode", "all", "--seed", str(SEED), "--continue-on-failure"]
        command += ["--max-examples", str(examples_per_operation()), "--request-timeout", "60"]
        command += ["--report", "json", "--report-json-path", REPORT or tmp_path / "report.json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        report = json.loads(Path(REPORT or tmp_path / "report.json").read_text())
        assert not api.lines("unexpected error")
        assert api.resident_bytes - before < 60_000_000
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["test_cases"]["generated"] >= CASES, report["test_cases"]
    assert report["operations"]["tested"] == report["operations"]["total"]
