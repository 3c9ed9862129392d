"""The README's session, as a reader would paste it, against the running system."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"## One order by curl\n.*?```sh\n(.*?)```", re.DOTALL)


def test_the_session_in_the_readme_works(system: Any, tmp_path: Path) -> None:
    found = BLOCK.search(README.read_text())
    assert found is not None
    staff = system.users["staff"]
    environment = {
        "PATH": os.environ["PATH"],
        "no_proxy": "*",
        "API": system.api,
        "STAFF_EMAIL": staff["email"],
        "STAFF_PASSWORD": staff["password"],
    }
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", found[1]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    registered, *statuses, events, analytics = done.stdout.splitlines()
    assert json.loads(registered)["role"] == "customer"
    assert statuses[-1] == "delivered"
    assert [event["to_status"] for event in json.loads(events)["data"]][-1] == "delivered"
    assert json.loads(analytics)["data"][0]["orders"] >= 1
