"""End-to-end tests share one running system; those that ask for `system` run one after the other."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_system import RunningSystem, running

from ops.processes import ports


@pytest.fixture(scope="session")
def system() -> Iterator[RunningSystem]:
    # Not pytest's own directory: another run of pytest would shut PostgreSQL's user out of it.
    with tempfile.TemporaryDirectory(prefix="orders-system-") as directory:
        # A short lease, so that what a killed worker held comes back within a test's patience.
        options = ("--port", str(ports.free()), "--api-workers", "2")
        with running(Path(directory), *options, LEASE="5") as started:
            yield started
