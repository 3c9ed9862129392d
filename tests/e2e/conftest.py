"""End-to-end tests share one running system; those that ask for `system` run one after the other."""

from collections.abc import Iterator

import pytest
from running_system import RunningSystem, running

from ops import ports


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    # A short lease, so that what a killed worker held comes back within a test's patience.
    port = str(ports.free())
    with running(tmp_path_factory.mktemp("system"), "--port", port, "--api-workers", "2", LEASE="5") as started:
        yield started
