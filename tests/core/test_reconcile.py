"""One app's dynos: what is started, replaced and stopped, in which order, and when it is tried again."""

from dataclasses import replace
from itertools import count

import pytest

from dynod.core import reconcile as fleets
from dynod.core.cycling import cycle_at
from dynod.core.effects import Boot, Ended, Reap, Say, Signal, WatchPort
from dynod.core.events import Exited, Launched, LaunchFailed, PortBound
from dynod.core.fleet import Desired, Draw, Fleet
from dynod.core.lifecycle import Kind, Now, Phase
from dynod.model.app import AppId
from dynod.model.dyno import DynoState, Exit, dyno_name
from dynod.model.formation import DEFAULT_SIZE, Formation, ProcessType

WEB1 = dyno_name("web.1")


class World:
    """A fleet with a clock that the test moves, and everything that was ever asked for."""

    def __init__(self, web=1, worker=0):
        ids = count(1)
        self.draw = Draw(lambda: f"d{next(ids)}", lambda: 0.5, lambda: 5000, lambda: 1234)
        self.now = Now(1000.0, 5000.0)
        self.fleet = Fleet()
        self.desired = self.release("r3", 3, web, worker)
        self.effects = []

    def release(self, ident, version, web=1, worker=0):
        rows = (("web", web), ("worker", worker))
        made = [Formation(f"f-{t}", ProcessType(t), n, DEFAULT_SIZE, f"{t} $PORT") for t, n in rows]
        return Desired(AppId("a1"), ident, version, tuple(made), {"A": "b"})

    def _take(self, outcome):
        self.fleet, effects = outcome
        self.effects = list(effects)
        return self

    def reconcile(self):
        return self._take(fleets.reconcile(self.fleet, self.desired, "test", self.now, self.draw))

    def tell(self, ident, event):
        return self._take(fleets.happened(self.fleet, self.desired, ident, event, self.now, self.draw))

    def tick(self):
        return self._take(fleets.tick(self.fleet, self.desired, self.now, self.draw))

    def later(self, seconds):
        self.now = Now(self.now.mono + seconds, self.now.wall + seconds)
        return self

    def up(self, ident):
        self.tell(ident, Launched("172.16.0.2"))
        return self.tell(ident, PortBound())

    def lines(self):
        return [f"{each.name}: {each.text}" for each in self.effects if isinstance(each, Say)]

    def boots(self):
        return [each.dyno for each in self.effects if isinstance(each, Boot)]

    def states(self):
        return {str(dyno.name): str(dyno.shown) for dyno in self.fleet.shown()}


def test_a_release_starts_what_the_formation_names():
    world = World(web=2, worker=1).reconcile()
    assert world.boots() == ["d1", "d2", "d3"]
    assert world.states() == {"web.1": "starting", "web.2": "starting", "worker.1": "starting"}
    assert world.lines()[0] == "web.1: Starting process with command `web 5000`"


def test_reconciling_again_changes_nothing():
    world = World().reconcile()
    before = world.fleet
    assert world.reconcile().effects == []
    assert world.fleet is before


def test_a_new_release_starts_the_new_dyno_then_stops_the_old():
    """Heroku's order of 2026: both run under one name for a while."""
    world = World().reconcile().up("d1")
    world.desired = world.release("r4", 4)
    world.reconcile()
    assert world.lines() == [
        "web.1: Restarting",
        "web.1: State changed from up to starting",
        "web.1: Starting process with command `web 5000`",
        "web.1: Stopping all processes with SIGTERM",
    ]
    assert world.effects.index(Boot("d2")) < world.effects.index(Signal("d1", 15))
    assert world.states() == {"web.1": "starting"}
    world.tell("d1", Exited(Exit(143)))
    assert world.lines() == ["web.1: Process exited with status 143"]
    assert list(world.fleet.dynos) == ["d2"]


def test_the_old_release_runs_on_while_nothing_is_desired_to_change():
    world = World().reconcile().up("d1")
    assert world.reconcile().effects == []


def test_scaling_down_stops_the_highest_first():
    world = World(web=3).reconcile()
    for each in ("d1", "d2", "d3"):
        world.up(each)
    world.desired = world.release("r3", 3, web=1)
    world.reconcile()
    assert [each.dyno for each in world.effects if isinstance(each, Signal)] == ["d3", "d2"]
    world.tell("d3", Exited(Exit(143)))
    assert world.lines()[-1] == "web.3: State changed from up to down"
    world.tell("d2", Exited(Exit(143)))
    assert world.states() == {"web.1": "up"}


def test_scaling_down_and_up_again_starts_a_new_one_beside_the_stopping():
    world = World(web=2).reconcile().up("d1").up("d2")
    world.desired = world.release("r3", 3, web=1)
    world.reconcile()
    world.desired = world.release("r3", 3, web=2)
    world.reconcile()
    assert world.boots() == ["d3"]
    assert world.tell("d2", Exited(Exit(143))).boots() == []
    assert world.states() == {"web.1": "up", "web.2": "starting"}


def test_a_dyno_that_stopped_while_it_became_wanted_again_is_started():
    """The wish came by another way than reconcile: the end itself looks at what is desired."""
    world = World(web=2).reconcile().up("d1").up("d2")
    world.desired = world.release("r3", 3, web=1)
    world.reconcile()
    world.desired = world.release("r3", 3, web=2)
    assert world.tell("d2", Exited(Exit(143))).boots() == ["d3"]


def test_scaling_a_crashed_dyno_away_is_crashed_to_down():
    world = World().reconcile().up("d1")
    world.tell("d1", Exited(Exit(1)))
    world.tell("d2", LaunchFailed("cannot start web.1: no"))
    assert world.states() == {"web.1": "crashed"}
    world.desired = world.release("r3", 3, web=0)
    world.reconcile()
    assert world.lines() == ["web.1: State changed from crashed to down"]
    assert world.fleet == Fleet()


def test_restart_replaces_only_what_was_named():
    world = World(web=2).reconcile().up("d1").up("d2")
    world._take(fleets.restart(world.fleet, world.desired, [WEB1], "by hand", world.now, world.draw))
    assert world.boots() == ["d3"]
    assert world.states() == {"web.1": "starting", "web.2": "up"}
    gone = fleets.restart(world.fleet, world.desired, [dyno_name("web.9")], "x", world.now, world.draw)
    assert gone == (world.fleet, ())


def test_cycling_after_a_day_and_its_draw():
    world = World().reconcile().up("d1")
    cycle = world.fleet.dynos["d1"].cycle
    assert cycle == cycle_at(1000.0, 0.5) == 1000 + 86_400 + 108 * 60
    world.later(cycle - world.now.mono - 1)
    assert world.tick().effects == []
    world.later(1).tick()
    assert world.lines()[:2] == ["web.1: Cycling", "web.1: State changed from up to starting"]
    assert world.boots() == ["d2"]


def test_a_boot_timeout_comes_by_the_one_timer():
    world = World().reconcile().tell("d1", Launched("172.16.0.2"))
    assert fleets.next_deadline(world.fleet) == world.now.mono + 60
    world.later(60).tick()
    assert Signal("d1", 9) in world.effects
    assert world.fleet.dynos["d1"].phase is Phase.FAILING


def test_a_one_off_goes_its_own_way():
    world = World().reconcile().up("d1")
    one_off = replace(
        world.fleet.dynos["d1"], id="o1", name=dyno_name("run.1234"), kind="one_off", phase=Phase.LAUNCHING
    )
    one_off = replace(one_off, kind=type(world.fleet.dynos["d1"].kind).ONE_OFF, shown=DynoState.STARTING)
    world._take(fleets.start_one_off(world.fleet, world.desired, one_off, "run"))
    assert world.boots() == ["o1"]
    world.tell("o1", Launched("172.16.0.6"))
    assert world.states() == {"web.1": "up", "run.1234": "up"}
    before = world.fleet
    assert world.reconcile().effects == []
    world._take(fleets.stop_dyno(before, before.dynos["o1"], "stop", world.now, 15))
    assert world.fleet.dynos["o1"].phase is Phase.STOPPING
    world.tell("o1", Exited(Exit(0)))
    assert world.states() == {"web.1": "up"}


def test_one_offs_end_with_their_app_and_with_nothing_less():
    world = World().reconcile().up("d1")
    first = replace(world.fleet.dynos["d1"], kind=Kind.ONE_OFF, phase=Phase.UP)
    for number in (1, 2):
        one_off = replace(first, id=f"o{number}", name=dyno_name(f"run.123{number}"))
        world._take(fleets.start_one_off(world.fleet, world.desired, one_off, "run"))
    world.desired = Desired(AppId("a1"))  # nothing deployed any more
    assert world.reconcile().lines() == ["web.1: Stopping all processes with SIGTERM"]
    world.desired = Desired(AppId("a1"), gone=True)
    assert world.reconcile().effects[-1] == Signal("o2", 15)
    assert world.lines() == [f"run.123{n}: Stopping all processes with SIGTERM" for n in (1, 2)]
    assert world.reconcile().effects == []
    for ident in ("d1", "o1", "o2"):
        world.tell(ident, Exited(Exit(143)))
    assert world.fleet == Fleet()


def test_no_one_off_starts_of_an_app_that_was_destroyed_as_it_was_asked_for():
    world = World().reconcile()
    made = replace(world.fleet.dynos["d1"], id="o1", name=dyno_name("run.1234"), kind=Kind.ONE_OFF)
    gone = Desired(AppId("a1"), gone=True)
    assert fleets.start_one_off(world.fleet, gone, made, "run") == (world.fleet, ())


def test_a_one_off_is_cycled_too():
    world = World(web=0)
    first = World().reconcile().fleet.dynos["d1"]
    one_off = replace(first, id="o1", name=dyno_name("run.1234"), kind=type(first.kind).ONE_OFF, cycle=2000.0)
    world._take(fleets.start_one_off(world.fleet, world.desired, one_off, "run")).tell(
        "o1", Launched("172.16.0.6")
    )
    assert world.later(1000).tick().lines() == [
        "run.1234: Cycling",
        "run.1234: Stopping all processes with SIGTERM",
    ]


def test_old_news_changes_nothing():
    world = World().reconcile()
    assert fleets.happened(world.fleet, world.desired, "nobody", PortBound(), world.now, world.draw) == (
        world.fleet,
        (),
    )
    ended = replace(world.fleet.dynos["d1"], phase=Phase.ENDED)
    assert fleets.stop_dyno(world.fleet, ended, "x", world.now, 15) == (world.fleet, ())


def test_nothing_to_wait_for():
    assert fleets.next_deadline(Fleet()) is None


@pytest.mark.parametrize(
    ("phase", "killed", "wanted"),
    [
        (Phase.STARTING, False, (WatchPort("d1"),)),
        (Phase.STOPPING, False, (Signal("d1", 15),)),
        (Phase.STOPPING, True, (Signal("d1", 9),)),
        (Phase.FAILING, True, (Signal("d1", 9),)),
        (Phase.UP, False, ()),
    ],
)
def test_a_restarted_daemon_asks_again_for_what_may_not_have_been_done(phase, killed, wanted):
    world = World().reconcile()
    dyno = replace(world.fleet.dynos["d1"], phase=phase, killed=killed)
    assert fleets.resumed(replace(world.fleet, dynos={"d1": dyno})) == wanted


def _lost(world, ident):
    return world._take(fleets.lost(world.fleet, world.desired, ident, world.now, world.draw))


def test_a_lost_dyno_is_started_anew_and_is_no_crash():
    world = World().reconcile().up("d1")
    assert _lost(world, "d1").boots() == ["d2"]
    assert world.lines()[:2] == [
        "web.1: Relocating dyno to a new server",
        "web.1: State changed from up to starting",
    ]
    assert Reap("d1") in world.effects
    assert _lost(world, "d2").boots() == ["d3"]
    assert list(world.fleet.dynos) == ["d3"]
    assert world.fleet.slots[WEB1].crashes == 0
    before = world.fleet
    assert _lost(world, "d1").effects == []
    assert world.fleet is before


def test_a_lost_dyno_that_nobody_wants_or_that_was_stopping_is_only_forgotten():
    world = World().reconcile().up("d1")
    world.desired = world.release("r4", 4)
    world.reconcile()
    assert _lost(world, "d1").boots() == []
    assert list(world.fleet.dynos) == ["d2"]
    world.desired = world.release("r4", 4, web=0)
    assert _lost(world, "d2").boots() == []
    assert world.fleet == Fleet()


def test_a_lost_one_off_has_ended():
    world = World(web=0)
    first = World().reconcile().fleet.dynos["d1"]
    one_off = replace(first, id="o1", name=dyno_name("run.1234"), kind=Kind.ONE_OFF)
    for up in (False, True):
        world._take(fleets.start_one_off(world.fleet, world.desired, one_off, "run"))
        if up:
            world.tell("o1", Launched("172.16.0.6"))
        assert Ended("o1", 137 if up else 255) in _lost(world, "o1").effects
        assert world.fleet == Fleet()


def test_a_retry_for_a_type_that_is_gone_is_not_made():
    world = World().reconcile().up("d1").tell("d1", Exited(Exit(1))).up("d2").tell("d2", Exited(Exit(1)))
    world.desired = world.release("r3", 3, web=0)
    assert world.later(700).tick().boots() == []


def test_current_and_shown():
    world = World().reconcile()
    assert world.fleet.current(WEB1).id == "d1"
    assert world.fleet.current(dyno_name("web.7")) is None
