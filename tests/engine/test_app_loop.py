"""The loop of one app: kept before acted upon, one timer, a bug that stays in its app."""

import asyncio
import errno
from dataclasses import replace

from dynod.core.effects import AskActivity, Boot, Reap, Signal, WatchPort
from dynod.core.events import Exited, Launched, PortBound
from dynod.core.fleet import Fleet, Habit
from dynod.core.lifecycle import Now, Phase
from dynod.engine.app_loop import (
    Active,
    Adopt,
    AppLoop,
    Happened,
    Quiet,
    Reconcile,
    Rescaled,
    Restart,
    StopDyno,
    Wake,
)
from dynod.model.app import AppId
from dynod.model.dyno import DynoState, Exit, dyno_name
from tests.core.test_reconcile import World


class Fake:
    """A house that only writes down what it is told, in order."""

    def __init__(self, world):
        self.world = world
        self.draw = world.draw
        self.log = []
        self.kept = Fleet()
        self.fail = False

    def now(self):
        return self.world.now

    def desired(self, app):
        return self.world.desired

    async def keep(self, app, fleet):
        if self.fail:
            self.fail = False
            raise RuntimeError("the disk is on fire")
        self.kept = fleet
        self.log.append("kept")

    async def recall(self, app):
        return self.kept

    def route_changed(self, app, fleet):
        self.log.append("routed")

    def perform(self, app, fleet, effect):
        self.log.append(effect)


def play(story, **formation):
    async def run():
        house = Fake(World(**formation))
        loop = AppLoop(AppId("a1"), house, Fleet())
        running = asyncio.ensure_future(loop.run())
        try:
            async with asyncio.timeout(60):
                return await story(loop, house)
        finally:
            running.cancel()

    return asyncio.run(run())


def test_the_fleet_is_kept_and_routed_before_anything_is_done():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        return house.log

    log = play(story)
    assert log[:2] == ["kept", "routed"]
    assert Boot("d1") in log[2:]


def test_events_come_back_as_messages():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        loop.post(Happened("d1", Launched("172.16.0.2")))
        await loop.ask(Happened("d1", PortBound()))
        return loop.fleet.current(dyno_name("web.1")).shown

    assert play(story) is DynoState.UP


def test_a_passed_deadline_wakes_the_loop():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        await loop.ask(Happened("d1", Launched("172.16.0.2")))
        house.world.now = Now(house.world.now.mono + 61, house.world.now.wall + 61)
        await loop.ask(Reconcile("to look at the clock"))
        await loop.ask(Reconcile("the tick was taken before this"))
        return [each.text for each in house.log if hasattr(each, "text")]

    assert any("R10" in text for text in play(story))


def test_a_failed_step_reads_the_record_anew_and_the_loop_goes_on():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        house.fail = True
        await loop.ask(Happened("d1", Launched("172.16.0.2")))
        assert loop.fleet == house.kept
        await loop.ask(Happened("d1", Launched("172.16.0.2")))
        return loop.fleet.dynos["d1"].phase

    assert play(story) == "starting"


def test_a_record_that_cannot_be_read_either_ends_no_loop():
    async def story(loop, house):
        await loop.ask(Reconcile("start"))
        before, house.fail = loop.fleet, True

        async def errs(app):
            raise OSError(errno.EIO, "the disk errs")

        house.recall = errs
        await loop.ask(Happened("d1", Launched("172.16.0.2")))
        assert loop.fleet == before
        await loop.ask(Happened("d1", Launched("172.16.0.2")))
        assert loop.fleet != before

    play(story)


def test_a_scale_tries_again_at_once_what_waits_after_crashes():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        for dyno in ("d1", "d2"):
            await loop.ask(Happened(dyno, Launched("x")))
            await loop.ask(Happened(dyno, Exited(Exit(1))))
        assert Boot("d3") not in house.log
        await loop.ask(Rescaled(frozenset({"web"}), "scaled"))
        return Boot("d3") in house.log

    assert play(story)


def test_restart_stop_and_adopt_reach_the_fleet():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        await loop.ask(Happened("d1", Launched("x")))
        await loop.ask(Restart((dyno_name("web.1"),), "by hand"))
        await loop.ask(StopDyno("nobody", "x", 15))
        await loop.ask(StopDyno("d2", "x", 15))
        await loop.ask(Adopt((Boot("d9"),), ("d2",)))
        assert Boot("d9") in house.log
        await loop.ask(Happened("d1", Exited(Exit(143))))
        return sorted(loop.fleet.dynos)

    assert play(story) == ["d3"]


async def _up_with_idle_time(loop, house):
    house.world.desired = replace(house.world.desired, habit=Habit(60.0))
    await loop.ask(Reconcile("release"))
    await loop.ask(Happened("d1", Launched("172.16.0.2")))
    await loop.ask(Happened("d1", PortBound()))


def _later(house, seconds):
    house.world.now = Now(house.world.now.mono + seconds, house.world.now.wall + seconds)


def test_the_timer_asks_the_routers_and_their_silence_puts_it_to_sleep():
    async def story(loop, house):
        await _up_with_idle_time(loop, house)
        _later(house, 61)
        await loop.ask(Reconcile("to look at the clock"))
        await loop.ask(Reconcile("the tick was taken before this"))
        assert house.log[-1] == AskActivity()
        assert house.kept.asked == house.world.now.mono
        await loop.ask(Quiet())
        assert Signal("d1", 15) in house.log
        return loop.fleet.current(dyno_name("web.1"))

    sleeper = play(story)
    assert (sleeper.shown, sleeper.phase) == (DynoState.IDLE, Phase.STOPPING)


def test_a_request_that_the_routers_told_of_keeps_it_awake():
    async def story(loop, house):
        await _up_with_idle_time(loop, house)
        _later(house, 61)
        await loop.ask(Active())
        assert house.kept.active == house.world.now.mono
        await loop.ask(Quiet())
        return loop.fleet.current(dyno_name("web.1")).shown

    assert play(story) is DynoState.UP


def test_a_wake_starts_all_of_it():
    async def story(loop, house):
        await _up_with_idle_time(loop, house)
        _later(house, 61)
        await loop.ask(Happened("d2", Launched("x")))
        await loop.ask(Quiet())
        await loop.ask(Happened("d1", Exited(Exit(143))))
        await loop.ask(Wake("a request came"))
        return [each.dyno for each in house.log if isinstance(each, Boot)]

    assert play(story, worker=1) == ["d1", "d2", "d3", "d4"]


def test_whatever_starts_one_dyno_of_a_sleeping_app_wakes_it_whole():
    async def story(loop, house):
        await _up_with_idle_time(loop, house)
        await loop.ask(Happened("d2", Launched("x")))
        _later(house, 61)
        await loop.ask(Quiet())
        await loop.ask(Restart((dyno_name("worker.1"),), "by hand"))
        return [each.dyno for each in house.log if isinstance(each, Boot)]

    assert play(story, worker=1) == ["d1", "d2", "d3", "d4"]


def test_an_effect_that_cannot_be_begun_does_not_take_the_others_along():
    async def story(loop, house):
        whole = house.perform

        def perform(app, fleet, effect):
            if effect == Boot("d1"):
                raise KeyError("d1")
            whole(app, fleet, effect)

        house.perform = perform
        await loop.ask(Reconcile("release"))
        return Boot("d2") in house.log, len(loop.fleet.dynos)

    assert play(story, web=2) == (True, 2)


def test_what_is_kept_as_begun_is_begun_though_the_routers_cannot_be_told():
    """Else a dyno that starts would be on its way for ever, and one that stops would never hear of it."""

    async def story(loop, house):
        def route_changed(app, fleet):
            raise OSError(errno.EMFILE, "too many open files")

        house.route_changed = route_changed
        await loop.ask(Reconcile("release"))
        return Boot("d1") in house.log, "d1" in loop.fleet.dynos

    assert play(story) == (True, True)


def test_what_comes_while_a_record_is_written_shares_the_next():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        del house.log[:]
        for number in range(1, 51):
            loop.post(Happened(f"d{number}", Launched("172.16.0.2")))
        await loop.ask(Happened("d1", PortBound()))
        watched = [each.dyno for each in house.log if isinstance(each, WatchPort)]
        return house.log.count("kept"), house.log.count("routed"), watched, loop.fleet.dynos["d1"].phase

    kept, routed, watched, phase = play(story, web=50)
    assert (kept, routed, phase) == (1, 1, Phase.UP)
    assert watched == [f"d{number}" for number in range(1, 51)]


def test_effects_are_begun_in_order_with_the_fleet_of_their_own_step():
    """A dyno that ended in the same turn is in the newest fleet no more, but what was to be done about it is done."""

    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        fleets, whole = {}, house.perform

        def perform(app, fleet, effect):
            fleets[type(effect)] = fleet
            whole(app, fleet, effect)

        house.perform = perform
        loop.post(Happened("d1", Launched("172.16.0.2")))
        house.world.desired = replace(house.world.desired, rows=())
        loop.post(Reconcile("scaled to nothing"))
        await loop.ask(Happened("d1", Exited(Exit(143))))
        kinds = [type(each) for each in house.log]
        assert kinds.index(WatchPort) < kinds.index(Signal) < kinds.index(Reap)
        return "d1" in fleets[WatchPort].dynos, "d1" in loop.fleet.dynos

    assert play(story) == (True, False)


def test_a_message_that_cannot_be_followed_does_not_take_its_neighbours_along():
    async def story(loop, house):
        await loop.ask(Reconcile("release"))
        loop.post(Happened("d1", Launched("172.16.0.2")))
        loop.post(Happened("d1", Launched("172.16.0.2")))  # cannot happen twice
        await loop.ask(Happened("d2", Launched("172.16.0.6")))
        return [loop.fleet.dynos[each].phase for each in ("d1", "d2")]

    assert play(story, web=2) == [Phase.STARTING, Phase.STARTING]
