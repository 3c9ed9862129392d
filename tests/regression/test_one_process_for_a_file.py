"""What a module starts was started once for each process of the run.

The files that start whole systems were marked `xdist_group`, to run one after the other, and the file that makes 60 000
orders, to make them once. With pytest 9.2 the mark of pytest-xdist 3.8 does nothing, and says nothing: for weeks every
file was spread over all processes, each of which made the module's fixtures anew, and whole systems ran side by side.
"""

import os
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", range(8))
def test_all_tests_of_a_file_run_in_one_process(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    shared: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    seen = shared / "processes-of-one-file"
    with seen.open("a") as file:
        file.write(f"{os.getpid()}\n")
    assert set(seen.read_text().split()) == {str(os.getpid())}
