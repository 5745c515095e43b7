"""The month's hours as they are kept: told when they are used up, by a timer and not before."""

import asyncio
from dataclasses import replace

from support.waiting import run

from dynod.core.fleet import Fleet
from dynod.core.lifecycle import Now, Phase
from dynod.engine.eco import Eco
from dynod.model.app import AppId
from tests.core.test_lifecycle import dyno

START = 1_800_000_000.0


def fleet(phase):
    one = replace(dyno(phase=phase), size="Eco")
    return Fleet({one.id: one})


class Clocked:
    """A pool of so many seconds on a clock that the test moves."""

    def __init__(self, pool):
        self.now, self.set_by, self.kept, self.changes = START, 0.0, [], asyncio.Queue()
        self.eco = Eco(pool, self._read, self.kept.append, lambda: self.changes.put_nowait(None))

    def _read(self):
        return Now(self.now - START - self.set_by, self.now)

    def set(self, by):
        """Set the wall clock, and have the pool look at it."""
        self.now, self.set_by = self.now + by, self.set_by + by
        self.eco.used()

    def again(self, pool):
        after = Clocked(pool)
        after.now = self.now
        after.eco.recall(self.kept[-1])
        return after


def test_the_pool_runs_dry_by_itself_and_is_told_of_once():
    async def story():
        world = Clocked(0.05)
        world.eco.recall(None)
        world.eco.seen(AppId("a1"), fleet(Phase.UP))
        assert not world.eco.spent
        world.now += 0.06
        await world.changes.get()
        assert world.eco.spent
        assert world.changes.empty()
        world.eco.close()

    run(story())


def test_a_full_pool_comes_with_the_month():
    async def story():
        world = Clocked(3600.0)
        world.eco.recall(None)
        world.eco.seen(AppId("a1"), fleet(Phase.UP))
        world.now += 3600
        world.eco.seen(AppId("a1"), fleet(Phase.ENDED))
        assert (world.eco.spent, dict(world.eco.used())) == (True, {"a1": 3600.0})
        world.now += 40 * 24 * 3600
        world.eco.seen(AppId("a1"), fleet(Phase.UP))
        assert (world.eco.spent, dict(world.eco.used())) == (False, {"a1": 0.0})
        world.eco.close()

    run(story())


def test_a_restarted_daemon_counts_on():
    async def story():
        world = Clocked(3600.0)
        world.eco.seen(AppId("a1"), fleet(Phase.UP))
        world.eco.close()
        world.now += 600
        after = world.again(3600.0)
        after.eco.seen(AppId("a1"), fleet(Phase.UP))
        assert dict(after.eco.used()) == {"a1": 600.0}
        assert after.kept == []  # nothing changed
        after.eco.close()

    run(story())


def test_a_spoiled_record_begins_anew():
    async def story():
        world = Clocked(3600.0)
        world.eco.recall(b"\xc1")
        assert (world.eco.spent, dict(world.eco.used())) == (False, {})
        world.eco.close()

    run(story())


def test_setting_the_clock_uses_up_no_hours_and_gives_none():
    async def story():
        world = Clocked(3600.0)
        world.eco.recall(None)
        world.eco.seen(AppId("a1"), fleet(Phase.UP))
        for by in (7200.0, -3 * 86_400.0, 2 * 86_400.0):
            world.now += 60
            world.set(by)
        world.eco.seen(AppId("a1"), fleet(Phase.ENDED))
        assert (world.eco.spent, dict(world.eco.used())) == (False, {"a1": 180.0})
        world.eco.close()

    run(story())
