"""Nothing that a library logged at INFO or above came through (found on 25 November 2026).

The formatter asked the logger for its name, and structlog hands over none for the lines of the standard library: each
of Celery's and uvicorn's lines became a "Logging error" of a hundred lines instead.
"""

import json
import subprocess
import sys

import pytest

from runtime.settings import LogFormat

SCRIPT = """
import logging, sys
from runtime import logs
from runtime.settings import LogFormat
logs.configure("test", "INFO", LogFormat(sys.argv[1]))
logging.getLogger("celery.worker").info("%s ready.", "relay@host")
"""


@pytest.mark.parametrize("form", LogFormat)
def test_a_librarys_line_is_one_line_that_names_the_library(form: LogFormat) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, form], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    assert "relay@host ready." in line
    assert "celery.worker" in line
    if form is LogFormat.JSON:
        assert json.loads(line).keys() == {"event", "source", "level", "process", "timestamp"}
