"""The corpus of hostile requests again and again, and many at once, at the real command: it does not grow of it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from api_process import ApiProcess, running
from hostile_requests import CORPUS
from raw_http import HungUp, connected

pytestmark = pytest.mark.xdist_group("whole system")

ROUNDS = 40
AT_ONCE = 16


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with running(tmp_path_factory.mktemp("hostile"), {"LOG_LEVEL": "WARNING"}) as started:
        yield started


def answered(api: ApiProcess, sent: bytes) -> int:
    with connected(api.address) as wire:
        with suppress(ConnectionError):
            wire.send(sent)
        try:
            return wire.answer(to_head=sent.startswith(b"HEAD")).status
        except (HungUp, ConnectionError):
            return 0


def a_round(api: ApiProcess) -> Counter[int]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return Counter(threads.map(lambda sent: answered(api, sent), [sent for sent, _ in CORPUS.values()]))


def test_s26_rounds_of_hostile_requests_leave_the_process_as_large_as_it_was(api: ApiProcess) -> None:
    statuses = sum((a_round(api) for _ in range(2)), Counter())
    settled = api.resident_bytes
    statuses += sum((a_round(api) for _ in range(ROUNDS)), Counter())
    assert statuses.total() == (ROUNDS + 2) * len(CORPUS)
    # Who is still sending 1 MB when the answer comes may see the connection end before it reads.
    assert {status for status in statuses if status >= 500} == set()
    assert statuses[0] < statuses.total() / 100, statuses
    assert api.resident_bytes - settled < 15_000_000, (settled, api.resident_bytes)
    assert not api.lines("unexpected error")
    assert api.log.read_text().count("Traceback") == 0
