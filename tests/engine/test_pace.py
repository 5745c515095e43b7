"""Costly work that many ask for: at once for the first, once for all who ask while it rests."""

import asyncio

import pytest

from dynod.engine.pace import LONGEST, Pace


class Worker:
    """Takes `cost` seconds of a clock of its own each time."""

    def __init__(self, cost):
        self.cost, self.time, self.times = cost, 0.0, 0
        self.pace = Pace(self.work, lambda: self.time)

    def work(self):
        self.times += 1
        self.time += self.cost


def play(story):
    async def capped():
        async with asyncio.timeout(60):
            return await story()

    return asyncio.run(capped())


def test_the_first_is_served_at_once_and_all_who_come_while_it_rests_together():
    async def story():
        worker = Worker(0.002)
        worker.pace.due()
        counts = [worker.times]
        for _ in range(1000):
            worker.pace.due()
        counts.append(worker.times)
        await worker.pace.done()
        return [*counts, worker.times]

    assert play(story) == [1, 1, 2]


def test_who_comes_after_the_rest_is_served_at_once():
    async def story():
        worker = Worker(0.002)
        worker.pace.due()
        worker.time += 0.02
        worker.pace.due()
        return worker.times

    assert play(story) == 2


def test_no_rest_is_longer_than_a_person_would_notice():
    async def story():
        worker = Worker(60.0)
        worker.pace.due()
        worker.time += LONGEST
        worker.pace.due()
        return worker.times

    assert play(story) == 2


def test_nothing_due_is_nothing_to_wait_for():
    async def story():
        worker = Worker(0.002)
        await worker.pace.done()
        worker.pace.due()
        await worker.pace.done()
        worker.pace.close()
        return worker.times

    assert play(story) == 1


def test_what_is_due_at_the_end_is_done():
    async def story():
        worker = Worker(0.002)
        worker.pace.due()
        worker.pace.due()
        worker.pace.close()
        return worker.times

    assert play(story) == 2


def test_work_that_fails_holds_nobody_up():
    async def story():
        def fail():
            calls.append(1)
            raise OSError("the disk is full")

        calls, time = [], [0.0]
        pace = Pace(fail, lambda: time[0])
        with pytest.raises(OSError, match="full"):
            pace.due()
        time[0] += LONGEST
        with pytest.raises(OSError, match="full"):
            pace.due()
        await pace.done()
        return len(calls)

    assert play(story) == 2
