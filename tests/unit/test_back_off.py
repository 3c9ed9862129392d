"""How long the relay leaves a broker alone that did not answer."""

from workers.back_off import BackOff


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    back_off = BackOff(0.5, 5)
    assert [back_off.after_failure() for _ in range(6)] == [0.5, 1, 2, 4, 5, 5]


def test_a_success_begins_anew() -> None:
    back_off = BackOff(0.5, 5)
    back_off.after_failure()
    back_off.after_failure()
    back_off.after_success()
    assert back_off.after_failure() == 0.5
