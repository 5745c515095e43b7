"""The kernel's own alarms (version 1) and numbers: a process grows in a group of its own, and is heard of."""

import asyncio
import os
import signal

import pytest
from support.waiting import run

from dynod.core.quota import Watched, look
from dynod.host.alarms import Alarms
from dynod.host.readings import Meter, meter
from dynod.model.formation import MIB

pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(
        not os.path.exists("/sys/fs/cgroup/memory/tasks"),
        reason="version 2's are tested on plain directories",
    ),
]
QUOTA = 32 * MIB


@pytest.fixture
def group():
    path = f"/sys/fs/cgroup/memory/dynod-test-alarms-{os.getpid()}"
    os.mkdir(path)
    yield path
    os.rmdir(path)


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
        """Take so many MiB more; True if it lived."""
        os.write(self._say, bytes([count]))
        return os.read(self._hear, 1) == b"k"

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


def test_crossing_the_quota_twice_it_and_the_ceiling_ring_and_the_readings_say_why(group, eater):
    async def story():
        rung = asyncio.Queue()
        alarms = Alarms(rung.put_nowait)
        found = meter([group])
        try:
            assert await alarms.set("a", found, QUOTA)
            assert eater.eat(20)
            assert rung.empty()
            assert look(Watched(QUOTA), found.read(), 0.0)[1].lines == ()
            assert eater.eat(20)
            assert await rung.get() == "a"
            alarms.rest("a", found.read().used)  # the threshold of R15 is set only now
            assert look(Watched(QUOTA), found.read(), 0.0)[1].lines[1] == "Error R14 (Memory quota exceeded)"
            assert eater.eat(30)
            assert await rung.get() == "a"  # after the pause
            reading = found.read()
            assert look(Watched(QUOTA), reading, 0.0)[1].vast == reading.rss >= 70 * MIB
            with open(f"{group}/memory.limit_in_bytes", "w") as file:
                file.write(str(80 * MIB))
            assert not await asyncio.to_thread(eater.eat, 60)
            assert await rung.get() == "a"
            reading = found.read()
            assert (reading.kills, reading.rss < 70 * MIB, reading.peak >= 70 * MIB) == (1, True, True)
            assert look(Watched(QUOTA), reading, 0.0)[1].vast == reading.peak
        finally:
            alarms.close()

    run(story())


def test_a_kill_rings_even_where_no_threshold_is_crossed(group, eater):
    async def story():
        rung = asyncio.Queue()
        alarms = Alarms(rung.put_nowait)
        try:
            assert eater.eat(10)
            with open(f"{group}/memory.limit_in_bytes", "w") as file:
                file.write(str(24 * MIB))
            assert await alarms.set("a", meter([group]), QUOTA)
            assert not await asyncio.to_thread(eater.eat, 60)
            assert await rung.get() == "a"
            assert meter([group]).read().kills == 1
        finally:
            alarms.close()

    run(story())


def test_alarms_that_are_gone_leave_no_descriptor(group, eater):
    async def story():
        before = os.listdir("/proc/self/fd")
        alarms = Alarms(print)
        for id in "ab":
            assert await alarms.set(id, meter([group]), QUOTA)
        alarms.rest("b", 2 * QUOTA)
        alarms.clear("a")
        alarms.close()
        alarms._pool.shutdown()
        assert len(os.listdir("/proc/self/fd")) == len(before)


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

    run(story())
