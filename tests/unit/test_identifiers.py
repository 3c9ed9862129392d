"""Ids are UUIDv7; numbers are for people and give nothing away."""

import time
from collections import Counter

from models.identifiers import ALPHABET, order_number, uuid7


def test_an_id_is_a_version_7_uuid_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_what_is_made_later_sorts_later() -> None:
    made = []
    for _ in range(1000):
        made.append(uuid7())
        time.sleep(0.000_001)
    assert made == sorted(made)


def test_ids_do_not_repeat() -> None:
    assert len({uuid7() for _ in range(100_000)}) == 100_000


def test_a_number_is_short_and_can_be_read_aloud() -> None:
    number = order_number(uuid7())
    left, dash, right = number.partition("-")
    assert (len(left), dash, len(right)) == (5, "-", 5)
    assert set(left + right) <= set(ALPHABET)


def test_a_number_belongs_to_its_id() -> None:
    made = uuid7()
    assert order_number(made) == order_number(made) != order_number(uuid7())


def test_numbers_of_consecutive_orders_have_nothing_in_common() -> None:
    firsts = Counter(order_number(uuid7())[0] for _ in range(3200))
    assert len(firsts) == len(ALPHABET), "the first character is as random as the last"
