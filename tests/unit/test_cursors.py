"""Cursors are opaque, and good for one caller and one list only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import malformed
from api.answers.cursors import Cursors

OURS = Cursors(b"k" * 32, "caller", "/v1/orders", [("status", "pending")])


@given(st.lists(st.text() | st.integers(), min_size=1))
def test_what_is_written_is_read(position: list[str | int]) -> None:
    assert OURS.read(OURS.write(*position)) == [str(part) for part in position]


@given(st.text(max_size=200))
def test_what_was_not_written_here_is_refused(garbage: str) -> None:
    with pytest.raises(malformed.InvalidCursor):
        OURS.read(garbage)


@pytest.mark.parametrize(
    "other",
    [
        Cursors(b"x" * 32, "caller", "/v1/orders", [("status", "pending")]),
        Cursors(b"k" * 32, "somebody else", "/v1/orders", [("status", "pending")]),
        Cursors(b"k" * 32, "caller", "/v1/products", [("status", "pending")]),
        Cursors(b"k" * 32, "caller", "/v1/orders", [("status", "shipped")]),
    ],
)
def test_a_cursor_of_another_key_caller_route_or_filter_is_refused(other: Cursors) -> None:
    with pytest.raises(malformed.InvalidCursor):
        OURS.read(other.write("2026-11-23", "an id"))


def test_a_changed_cursor_is_refused() -> None:
    cursor = OURS.write("2026-11-23", "an id")
    for place in range(len(cursor)):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(malformed.InvalidCursor):
            OURS.read(changed)
