"""Group commit alone: batches grow under load, each request gets its own outcome, and nobody pays for a neighbour."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from api.group_commit import Closed, GroupCommit, QueueFull

T = TypeVar("T")


class Gone(Exception):
    """The writer has lost what it writes to."""


class Writer:
    """Doubles numbers, when it is let; refuses negative ones, and everything once it is gone."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.is_gone = False
        self.committing = self.most_committing = 0

    async def write(self, batch: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(batch))
        self.committing += 1
        self.most_committing = max(self.most_committing, self.committing)
        try:
            await self.may_commit.wait()
            await asyncio.sleep(0)
        finally:
            self.committing -= 1
        if self.is_gone:
            raise Gone
        if any(number < 0 for number in batch):
            raise ValueError
        return [2 * number for number in batch]

    async def write_alone(self, number: int) -> int:
        [outcome] = await self.write([number])
        return outcome

    def group(self, **options: Any) -> GroupCommit[int, int]:
        return GroupCommit(self.write, self.write_alone, lambda error: isinstance(error, Gone), **options)


def run(test: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(test, 10))


def test_a_request_that_comes_alone_is_written_at_once_and_alone() -> None:
    async def test() -> None:
        writer = Writer()
        assert await writer.group().submit(4) == 8
        assert writer.batches == [[4]]

    run(test())


def test_what_arrives_during_a_commit_is_the_next_batch() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=1)
        writer.may_commit.clear()
        first = asyncio.create_task(group.submit(1))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(group.submit(number)) for number in range(2, 12)]
        await asyncio.sleep(0.01)
        writer.may_commit.set()
        assert await asyncio.gather(first, *others) == [2 * number for number in range(1, 12)]
        assert writer.batches == [[1], list(range(2, 12))]

    run(test())


def test_batches_are_bounded_and_first_come_is_first_served() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=1, batch_max=4)
        await asyncio.gather(*[group.submit(number) for number in range(10)])
        assert [len(batch) for batch in writer.batches] == [4, 4, 2]
        assert [number for batch in writer.batches for number in batch] == list(range(10))

    run(test())


def test_no_more_batches_commit_at_once_than_there_are_writers() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=2, batch_max=1)
        await asyncio.gather(*[group.submit(number) for number in range(20)])
        assert writer.most_committing == 2

    run(test())


def test_one_writer_makes_the_largest_batches_as_long_as_it_comes_back() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=2, batch_max=64, patience_seconds=5)
        await asyncio.gather(*[group.submit(number) for number in range(60)])
        assert writer.most_committing == 1
        assert len(writer.batches) == 1

    run(test())


def test_another_writer_takes_the_next_batch_when_one_is_held_up() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=2, patience_seconds=0.01)
        writer.may_commit.clear()
        first = asyncio.create_task(group.submit(1))
        await asyncio.sleep(0)
        second = asyncio.create_task(group.submit(2))
        await asyncio.sleep(0)
        assert len(writer.batches) == 1
        await asyncio.sleep(0.1)
        assert writer.batches == [[1], [2]]
        third = asyncio.create_task(group.submit(3))
        await asyncio.sleep(0.01)
        assert writer.batches == [[1], [2]], "there are two writers at most"
        writer.may_commit.set()
        assert (await first, await second, await third) == (2, 4, 6)

    run(test())


def test_another_writer_serves_who_comes_when_one_is_held_up_already() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=2, patience_seconds=0.01)
        writer.may_commit.clear()
        first = asyncio.create_task(group.submit(1))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(group.submit(2))
        await asyncio.sleep(0.01)
        assert writer.batches == [[1], [2]]
        writer.may_commit.set()
        assert (await first, await second) == (2, 4)

    run(test())


def test_a_whole_batch_that_waits_gets_a_writer_of_its_own_at_once() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=2, batch_max=4, patience_seconds=5)
        writer.may_commit.clear()
        taken = [asyncio.create_task(group.submit(number)) for number in range(8)]
        await asyncio.sleep(0.01)
        assert writer.committing == 2
        writer.may_commit.set()
        await asyncio.gather(*taken)

    run(test())


def test_one_bad_request_does_not_fail_its_neighbours() -> None:
    async def test() -> None:
        writer = Writer()
        group = writer.group(writers=1)
        outcomes = await asyncio.gather(*[group.submit(number) for number in (1, -2, 3)], return_exceptions=True)
        assert outcomes[0] == 2
        assert isinstance(outcomes[1], ValueError)
        assert outcomes[2] == 6

    run(test())


def test_one_that_is_held_up_holds_up_neither_its_neighbours_nor_those_who_come_later() -> None:
    held = asyncio.Event()

    async def write(batch: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        if -1 in batch:
            raise ValueError
        return [2 * number for number in batch]

    async def write_alone(number: int) -> int:
        if number == -1:
            await held.wait()
        return 2 * number

    async def test() -> None:
        group = GroupCommit(write, write_alone, lambda error: False, writers=1)
        stuck = asyncio.create_task(group.submit(-1))
        neighbours = [asyncio.create_task(group.submit(number)) for number in (1, 2)]
        assert list(await asyncio.gather(*neighbours)) == [2, 4]
        assert await group.submit(3) == 6
        assert not stuck.done()
        closing = asyncio.create_task(group.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        held.set()
        await closing
        assert stuck.result() == -2

    run(test())


def test_when_the_writer_is_gone_everybody_hears_it_at_once_and_nothing_is_tried_one_by_one() -> None:
    async def test() -> None:
        writer = Writer()
        writer.is_gone = True
        group = writer.group(writers=1)
        outcomes = await asyncio.gather(*[group.submit(number) for number in range(30)], return_exceptions=True)
        assert all(isinstance(outcome, Gone) for outcome in outcomes)
        assert len(writer.batches) == 1

    run(test())


def test_a_full_queue_refuses_at_once_and_serves_again_afterwards() -> None:
    async def test() -> None:
        writer = Writer()
        writer.may_commit.clear()
        group = writer.group(writers=1, batch_max=1, waiting_max=3)
        taken = [asyncio.create_task(group.submit(0))]
        await asyncio.sleep(0.01)
        taken += [asyncio.create_task(group.submit(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull):
            await group.submit(4)
        writer.may_commit.set()
        assert await asyncio.gather(*taken) == [0, 2, 4, 6]
        assert await group.submit(4) == 8

    run(test())


def test_a_caller_that_leaves_while_waiting_is_not_written_and_disturbs_nobody() -> None:
    async def test() -> None:
        writer = Writer()
        writer.may_commit.clear()
        group = writer.group(writers=1)
        first = asyncio.create_task(group.submit(1))
        await asyncio.sleep(0.01)
        leaver, stayer = asyncio.create_task(group.submit(2)), asyncio.create_task(group.submit(3))
        await asyncio.sleep(0.01)
        leaver.cancel()
        writer.may_commit.set()
        assert await first == 2
        assert await stayer == 6
        assert writer.batches == [[1], [3]]

    run(test())


def test_a_caller_that_leaves_during_the_commit_disturbs_nobody() -> None:
    async def test() -> None:
        writer = Writer()
        writer.may_commit.clear()
        group = writer.group(writers=1)
        leaver, stayer = asyncio.create_task(group.submit(1)), asyncio.create_task(group.submit(2))
        await asyncio.sleep(0.01)
        leaver.cancel()
        await asyncio.sleep(0)
        writer.may_commit.set()
        assert await stayer == 4

    run(test())


def test_closing_answers_everything_that_was_taken_and_takes_nothing_more() -> None:
    async def test() -> None:
        writer = Writer()
        writer.may_commit.clear()
        group = writer.group(writers=1, batch_max=2)
        taken = [asyncio.create_task(group.submit(number)) for number in range(5)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(group.close())
        await asyncio.sleep(0.01)
        with pytest.raises(Closed):
            await group.submit(9)
        writer.may_commit.set()
        await closing
        assert all(task.done() for task in taken)
        assert [task.result() for task in taken] == [0, 2, 4, 6, 8]

    run(test())
