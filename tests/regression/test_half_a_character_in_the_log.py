"""An error that quoted a lone surrogate could not be logged, and trying to ended the task (25 November 2026).

Log lines are written as UTF-8, which has no halves of characters. Nothing that is logged may make logging fail: it is
what is left when everything else has.
"""

import json
import subprocess
import sys

PROGRAM = """
from runtime import logs
from runtime.settings import LogFormat

logs.configure("tests", "INFO", LogFormat.JSON)
try:
    raise ValueError("half \\ud800 of it")
except ValueError as error:
    logs.get("tests").error("failed \\udfff", exc_info=error, ids={19: 1}, what=object())
"""


def test_half_a_character_is_logged_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    logged = json.loads(line)
    assert logged["event"] == "failed \udfff"
    assert logged["exception"][0]["exc_value"] == "half \ud800 of it"
