"""No log line of a library was ever written (found on 25 November 2026).

The step that names a line's source asked structlog's logger for it. Lines that come through the standard library's
logging have none: instead of each of them, Celery's warnings too, there was a traceback ("Logging error") with the
line's arguments in it. The name stands in the record.
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
logging.getLogger("some.library").warning("%s of %s", 3, 7)
"""


@pytest.mark.parametrize("form", LogFormat)
def test_a_line_of_a_library_is_one_line_with_its_source(form: LogFormat) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, form], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    assert "3 of 7" in line and "some.library" in line
    if form is LogFormat.JSON:
        assert json.loads(line)["source"] == "some.library"
