"""How due rows become messages."""

from hypothesis import given
from hypothesis import strategies as st

from models.outbox import Due
from workers.relay import BATCH_MAX, batches_of
from workers.relay_step import FULL_POLL_SECONDS, POLL_SECONDS, pause_after

kinds = st.sampled_from(["orders.confirm", "orders.process", "rollups.fold"])
rows = st.lists(st.builds(Due, st.integers(1, 10**9), kinds, st.integers(0, 3)), unique_by=lambda row: row.id)


@given(rows)
def test_every_row_is_in_exactly_one_message_of_its_kind(due: list[Due]) -> None:
    sent = sorted((row, batch.kind) for batch in batches_of(due) for row in batch.ids)
    assert sent == sorted((row.id, row.kind) for row in due)


@given(rows)
def test_what_has_failed_before_travels_alone(due: list[Due]) -> None:
    failed = {row.id for row in due if row.attempts}
    assert all(len(batch.ids) == 1 for batch in batches_of(due) if failed & set(batch.ids))


def test_many_rows_become_few_messages() -> None:
    due = [Due(number, "orders.confirm", 0) for number in range(2 * BATCH_MAX + 1)]
    assert [len(batch.ids) for batch in batches_of(due)] == [BATCH_MAX, BATCH_MAX, 1]


def test_the_more_there_was_the_longer_work_is_let_to_gather_up_to_a_full_batch() -> None:
    pauses = [pause_after(rows) for rows in range(2 * BATCH_MAX)]
    assert pauses[0] == POLL_SECONDS
    assert pauses == sorted(pauses)
    assert set(pauses[BATCH_MAX:]) == {FULL_POLL_SECONDS}
