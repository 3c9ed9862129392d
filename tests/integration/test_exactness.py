"""The exactness campaign, in short: ten writers that roll back and are killed, and every exact answer is a recount."""

import os

import pytest
from world import World

from benchmarks import exactness
from benchmarks.exactness import COMPARISONS_MIN, Campaign

# `EXACTNESS_SECONDS=60 make test ARGS="-n 1 tests/integration/test_exactness.py"` is the whole campaign.
SECONDS = float(os.environ.get("EXACTNESS_SECONDS", "3"))

pytestmark = pytest.mark.timeout(60 + 4 * SECONDS)


@pytest.mark.usefixtures("world")
def test_every_exact_answer_is_a_recount_while_writers_roll_back_and_are_killed() -> None:
    found = Campaign(exactness.settle()).run(SECONDS)
    assert found.wrong == ()
    assert found.comparisons >= COMPARISONS_MIN
    assert min(found.kills, found.folds, found.audits, found.rebuilds, found.orders) > 0
    assert found.unseen_by_a_sequence > 0, "a campaign that a wrong watermark would have survived proves nothing"


def test_what_differs_is_told(world: World) -> None:
    buyers = exactness.settle()
    world.place(world.user(), {exactness.SKU: 1})
    world.fold()
    world.sql("UPDATE daily_orders SET orders = orders + 1")
    found = Campaign(buyers).run(0.2)
    assert not found.is_good
    assert any("counted" in each for each in found.wrong)
