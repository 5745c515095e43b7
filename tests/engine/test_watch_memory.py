"""The watch over memory: what is said and when, with cgroups that are plain files and a clock that is a number."""

import asyncio

import pytest
from support.waiting import run

from dynod.engine import watch_memory
from dynod.engine.watch_memory import MemoryWatch
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, dyno_name
from dynod.model.formation import MIB

QUOTA = 512 * MIB
WEB, APP, D1 = dyno_name("web.1"), AppId("a1"), DynoId("d1")
R14 = "Error R14 (Memory quota exceeded)"


class World:
    """Dynos as directories; time goes on by `pass_`, which lets the watch do what is due."""

    def __init__(self, tmp_path, *, alarms=True):
        self.base, self.alarms = tmp_path, alarms
        self.now = 1000.0
        self.said, self.vast = [], []
        self.metrics = False
        self.spoke = asyncio.Event()
        self.watch = MemoryWatch(
            lambda: self.now,
            self.say,
            lambda app, dyno, used: self.vast.append((dyno, used // MIB)),
            lambda app: self.metrics,
        )

    def say(self, app, process, text):
        self.said.append((process, text))
        self.spoke.set()

    def uses(self, rss, cache=0, dyno=D1, more=0, kills=0):
        """Write what the kernel would; in place, so that it rings."""
        path = self.base / dyno
        path.mkdir(exist_ok=True)
        (path / "memory.stat").write_text(f"anon {rss * MIB}\nfile {cache * MIB}\npgfault 0\n")
        (path / "memory.current").write_text(str((rss + cache + more) * MIB))
        (path / "cgroup.threads").write_text("")
        if self.alarms:
            (path / "memory.high").touch()
        (path / "memory.events").write_text(f"oom_kill {kills}\n")

    async def begin(self, dyno=D1):
        """Begin, and wait until its alarms are set."""
        self.watch.begin(APP, dyno, WEB, QUOTA, [str(self.base / dyno)])
        await asyncio.gather(*self.watch._tasks._running)

    def pass_(self, seconds):
        self.now += seconds
        self.watch._tick()

    def lines(self):
        """How many R14 so far."""
        return self.said.count(("web.1", R14))


async def deaf(*_):
    return False


def story(tmp_path, tell, **more):
    async def told():
        world = World(tmp_path, **more)
        if not world.alarms:
            world.watch._alarms.set = deaf
        try:
            await tell(world)
        finally:
            await world.watch.close()

    run(told())


async def until(world, check):
    """Wait for what a ring or a thread brings about."""
    while not check():
        world.spoke.clear()
        await world.spoke.wait()


def test_a_dyno_under_its_quota_has_no_timer_and_rings_when_it_is_not(tmp_path):
    async def tell(world):
        world.uses(100)
        await world.begin()
        world.pass_(0)
        assert (world.watch._timer, world.said) == (None, [])
        world.uses(600)
        await until(world, lambda: world.said)
        assert world.said == [("web.1", "Process running mem=600M(117.2%)"), ("web.1", R14)]
        assert world.watch._timer is not None

    story(tmp_path, tell)


def test_above_it_the_line_comes_every_twenty_seconds_until_it_is_below(tmp_path):
    async def tell(world):
        world.uses(600)
        await world.begin()
        for lines in (1, 2, 3):
            world.pass_(0 if lines == 1 else 19.9)  # a timer may be early
            assert world.lines() == lines
        world.uses(100)
        world.pass_(20)
        assert (world.lines(), world.watch._timer) == (3, None)

    story(tmp_path, tell)


def test_r15_is_told_once_per_look_with_what_it_has(tmp_path):
    async def tell(world):
        world.uses(1030, cache=20)
        await world.begin()
        world.pass_(0)
        assert (world.vast, world.said, world.watch._timer) == ([(D1, 1030)], [], None)

    story(tmp_path, tell)


def test_a_dyno_that_ended_is_looked_at_no_more(tmp_path):
    async def tell(world):
        world.uses(600)
        await world.begin()
        world.pass_(0)
        world.watch.end(D1)
        world.watch.end(D1)
        assert world.watch._alarms._alarms == {}
        world.pass_(20)
        assert (world.lines(), world.watch._timer) == (1, None)

    story(tmp_path, tell)


def test_a_group_that_vanished_before_its_end_was_told_is_no_error(tmp_path):
    async def tell(world):
        world.metrics = True
        world.uses(100)
        await world.begin()
        world.pass_(0)
        (tmp_path / D1).rename(tmp_path / "away")
        world.watch._rang(D1)
        world.pass_(20)
        await asyncio.gather(*world.watch._tasks._running)
        world.pass_(20)
        assert (world.said, world.watch._timer) == ([], None)

    story(tmp_path, tell)


def test_without_alarms_a_dyno_is_looked_at_every_twenty_seconds(tmp_path):
    async def tell(world):
        world.uses(100)
        await world.begin()
        world.pass_(0)
        world.uses(600)
        world.pass_(10)
        assert world.lines() == 0
        world.pass_(10)
        assert world.lines() == 1

    story(tmp_path, tell, alarms=False)


def test_a_dyno_that_is_adopted_again_is_watched_on_as_it_was(tmp_path):
    async def tell(world):
        world.uses(600)
        await world.begin()
        world.pass_(0)
        await world.begin()
        world.pass_(1)
        assert world.lines() == 1

    story(tmp_path, tell)


def test_where_memory_is_not_counted_nothing_is_watched(tmp_path):
    async def tell(world):
        world.watch.begin(APP, D1, WEB, QUOTA, [str(tmp_path / "none")])
        assert world.watch._timer is None

    story(tmp_path, tell)


def test_metrics_come_every_twenty_seconds_from_when_the_feature_is_on(tmp_path):
    async def tell(world):
        world.uses(100)
        await world.begin()
        world.pass_(0)
        world.metrics = True
        world.watch.refresh(APP)
        world.pass_(19)
        assert world.said == []
        for count in (2, 4):
            world.pass_(20)
            await until(world, lambda count=count: len(world.said) == count)
        assert "sample#load_avg_1m=0.00" in world.said[2][1]
        assert "sample#memory_total=100.00MB" in world.said[3][1]
        (held,) = world.watch._held.values()
        world.watch.end(D1)
        await world.watch._sample(held)  # its numbers were on the way
        assert len(world.said) == 4
        await world.begin()
        world.metrics = False
        world.watch.refresh(APP)
        world.watch.refresh(AppId("another"))
        world.pass_(20)
        assert (len(world.said), world.watch._timer) == (4, None)

    story(tmp_path, tell)


@pytest.mark.parametrize("count", [50])
def test_one_timer_serves_all_that_is_due_about_then(tmp_path, count):
    async def tell(world):
        for number in range(count):
            dyno = DynoId(f"d{number}")
            world.uses(600, dyno=dyno)
            await world.begin(dyno)
            world.now += watch_memory.SLACK / (2 * count)
        world.pass_(0)
        assert world.lines() == count
        ticks = 0
        while world.lines() < 2 * count:
            world.pass_(world.watch._at - world.now)
            ticks += 1
        assert ticks <= 2

    story(tmp_path, tell)
