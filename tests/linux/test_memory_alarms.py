"""The kernel's own alarms and numbers, in whichever version of groups counts memory here: a process grows in a group, and is heard of."""

import asyncio
import contextlib
import gc
import os
import signal

import pytest
from support.waiting import run

from dynod.core.quota import Watched, look
from dynod.host.alarms import Alarms
from dynod.host.meter import Meter, meter
from dynod.model.formation import MIB

V1 = os.path.exists("/sys/fs/cgroup/memory/tasks")
TREE = "/sys/fs/cgroup/memory" if V1 else "/sys/fs/cgroup"
LIMIT = "memory.limit_in_bytes" if V1 else "memory.max"
QUOTA = 32 * MIB
pytestmark = pytest.mark.linux


@pytest.fixture
def group():
    path = f"{TREE}/dynod-test-alarms-{os.getpid()}"
    os.mkdir(path)
    yield path
    os.rmdir(path)


def limit(group, size):
    with open(f"{group}/{LIMIT}", "w") as file:
        file.write(str(size))


class Eater:
    """A process inside `group` that takes MiB by MiB as it is told."""

    def __init__(self, group):
        mine, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                with open(f"{group}/cgroup.procs", "w") as file:
                    file.write("0")
                kept = []
                while order := os.read(mine[0], 1):
                    kept += [bytearray(b"x") * MIB for _ in range(order[0])]
                    os.write(theirs[1], b"k")
            finally:
                os._exit(0)
        self._say, self._hear = mine[1], theirs[0]
        os.close(mine[0])
        os.close(theirs[1])

    def eat(self, count):
        """Take so many MiB more; True if it lived. In a thread: version 2 slows down who stands in the trap, until it is moved."""

        def eat():
            os.write(self._say, bytes([count]))
            return os.read(self._hear, 1) == b"k"

        return asyncio.ensure_future(asyncio.to_thread(eat))

    def end(self):
        os.close(self._say)
        os.close(self._hear)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def eater(group):
    made = Eater(group)
    yield made
    made.end()


class Rings:
    """Looks at the dyno at each ring, as the engine does; `kills` are those that were seen then."""

    def __init__(self, group):
        self.group, self.kills = meter([group]), 0
        self.heard = asyncio.Queue()
        self.alarms = Alarms(self.heard.put_nowait)

    async def one(self):
        assert await self.heard.get() == "a"
        reading = self.group.read()
        self.alarms.rest("a", reading.used)
        self.kills = reading.kills

    async def until(self, eaten):
        """Go on for as long as the dyno is at it; return whether it lived."""
        while not eaten.done():
            ring = asyncio.ensure_future(self.one())
            await asyncio.wait([eaten, ring], return_when=asyncio.FIRST_COMPLETED)
            ring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ring
        return eaten.result()


def test_crossing_the_quota_twice_it_and_the_ceiling_ring_and_the_readings_say_why(group, eater):
    async def story():
        rings = Rings(group)
        found = rings.group
        try:
            assert await rings.alarms.set("a", found, QUOTA)
            assert await eater.eat(20)
            assert rings.heard.empty()
            assert look(Watched(QUOTA), found.read(), 0.0)[1].lines == ()
            eaten = eater.eat(20)
            await rings.one()  # the threshold of R15 is set only now
            assert await rings.until(eaten)
            assert look(Watched(QUOTA), found.read(), 0.0)[1].lines[1] == "Error R14 (Memory quota exceeded)"
            # Who crosses a threshold while the kernel takes it rings none: it is in force once no thread of theirs is at it.
            await asyncio.to_thread(rings.alarms._pool.shutdown)
            eaten = eater.eat(30)
            await rings.one()  # after the pause
            assert await rings.until(eaten)
            reading = found.read()
            assert look(Watched(QUOTA), reading, 0.0)[1].vast == reading.rss >= 70 * MIB
            limit(group, 80 * MIB)
            assert not await rings.until(eater.eat(60))
            while not rings.kills:
                await rings.one()
            reading = found.read()
            assert (reading.kills, reading.rss < 70 * MIB, reading.peak >= 70 * MIB) == (1, True, True)
            assert look(Watched(QUOTA), reading, 0.0)[1].vast == reading.peak
        finally:
            rings.alarms.close()

    run(story())


def test_a_kill_rings_even_where_no_threshold_is_crossed(group, eater):
    async def story():
        rung = asyncio.Queue()
        alarms = Alarms(rung.put_nowait)
        try:
            assert await eater.eat(10)
            limit(group, 24 * MIB)
            assert await alarms.set("a", meter([group]), QUOTA)
            assert not await eater.eat(60)
            assert await rung.get() == "a"
            assert meter([group]).read().kills == 1
        finally:
            alarms.close()

    run(story())


def test_alarms_that_are_gone_leave_no_descriptor(group, eater):
    async def story():
        gc.collect()  # or what an earlier test left might go meanwhile
        before = os.listdir("/proc/self/fd")
        alarms = Alarms(print)
        for id in "ab":
            assert await alarms.set(id, meter([group]), QUOTA)
        alarms.rest("b", 2 * QUOTA)
        alarms.clear("a")
        alarms.close()
        alarms._pool.shutdown()
        assert len(os.listdir("/proc/self/fd")) == len(before)

    run(story())


@pytest.mark.skipif(not V1, reason="version 2's alarms are set at once, by no thread")
def test_a_dyno_that_is_gone_while_its_alarms_are_set_takes_no_other_with_it(group, eater):
    async def story():
        alarms = Alarms(print)
        gone = Meter(1, f"{group}-gone")
        try:
            setting = asyncio.ensure_future(alarms.set("a", gone, QUOTA))
            await asyncio.sleep(0)
            alarms.clear("a")
            assert await alarms.set("a", meter([group]), QUOTA)
            assert not await setting
            assert "a" in alarms._alarms
        finally:
            alarms.close()

    run(story())
