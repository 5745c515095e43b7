"""Meeting the dyno host: what is asked of whom, when some of what the records name is gone (the machine lost its power)."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from dynod.core.effects import Boot, WatchPort
from dynod.core.fleet import Fleet
from dynod.core.lifecycle import Phase
from dynod.engine.adopt import adopt
from dynod.engine.app_loop import Adopt, Reconcile
from dynod.host.jail_link import Live
from dynod.model.observation import Observation
from dynod.model.tally import Tally
from tests.core.test_reconcile import World


def meet(fleet, live=(), others=()):
    """Let one app's fleet meet a host on which `live` runs, after `others`; return what its loop was told."""
    told = []
    loop = SimpleNamespace(app="a1", fleet=fleet, post=told.append)
    house = SimpleNamespace(
        loops=lambda: [*others, loop],
        waits={},
        launching=set(),
        sessions={},
        plans={},
        reaping=set(),
        tasks=SimpleNamespace(spawn=lambda _: None),
        machine=SimpleNamespace(sweep_networks=lambda _: None),
    )
    asyncio.run(adopt(house, live))
    return told


def in_phase(world, phase):
    fleet = world.fleet
    return replace(fleet, dynos={id: replace(dyno, phase=phase) for id, dyno in fleet.dynos.items()})


def test_nothing_is_asked_of_dynos_that_are_gone_whatever_they_were_about():
    world = World().reconcile()
    for phase in (Phase.STARTING, Phase.STOPPING, Phase.FAILING, Phase.FROZEN):
        (adopted,) = [each for each in meet(in_phase(world, phase)) if isinstance(each, Adopt)]
        assert adopted.effects == ()
        assert set(adopted.lost) == set(world.fleet.dynos)


def test_a_bug_in_one_apps_adoption_stays_that_apps(caplog):
    def broken(_):
        raise ZeroDivisionError

    first = SimpleNamespace(app="a0", fleet=Fleet(), post=broken)
    assert [type(each) for each in meet(Fleet(), others=[first])] == [Adopt, Reconcile]
    assert "app a0: cannot adopt its dynos" in caplog.text


def test_after_a_power_cut_during_a_start_the_dyno_is_booted_anew():
    """In the step that takes the lost ones out no effect names them: one that did would keep the boots behind it from happening."""
    world = World().reconcile()
    fleet = in_phase(world, Phase.STARTING)
    (adopted,) = [each for each in meet(fleet) if isinstance(each, Adopt)]
    from dynod.core import reconcile as fleets

    effects = list(adopted.effects)
    for dyno in adopted.lost:
        fleet, more = fleets.lost(fleet, world.desired, dyno, world.now, world.draw)
        effects += more
    asked = [effect.dyno for effect in effects if isinstance(effect, (Boot, WatchPort))]
    assert asked
    assert set(asked) <= set(fleet.dynos)


def live(id, status, **labels):
    return Live(
        id, 42, 1, {"app": "a1", "name": "web.1", "type": "web", "release": "v3", **labels}, status, False, ()
    )


def buried(fleet, *found, reaping=()):
    """Let a fleet meet a host on which these are; return what was expected of autopsies, reaped and ended as unknown."""

    class House(SimpleNamespace):
        def __init__(self):
            self.expected, self.reaped, self.ended, self.work = [], [], [], []
            self.loop = SimpleNamespace(app="a1", fleet=fleet, post=lambda _: None)
            self.waits, self.launching, self.sessions, self.plans = {}, set(), {}, {}
            self.deeds = SimpleNamespace(reaping=set(reaping), reap=self.reap)
            self.tasks = SimpleNamespace(spawn=self.work.append)
            self.autopsies = SimpleNamespace(expect=self.expected.append)
            self.observations = SimpleNamespace(history=self.history)
            self.machine = SimpleNamespace(sweep_networks=self.nothing, give_back=self.give_back)

        def loops(self):
            return [self.loop]

        def now(self):
            return SimpleNamespace(wall=99.0)

        async def history(self, app, limit, name):
            return [Observation(name, "web.1", app, "crashed", 20.0, "exited with status 3")]

        async def nothing(self, known):
            pass

        async def reap(self, app, dyno):
            self.reaped.append((app, dyno))

        async def give_back(self, dyno):
            self.ended.append(dyno)

    async def story():
        house = House()
        await adopt(house, found)
        for each in house.work:
            await each
        return house

    return asyncio.run(story())


def test_a_dyno_whose_engine_died_before_it_was_buried_gets_its_autopsy():
    house = buried(Fleet(), live("gone", 3))
    (died,) = house.expected
    assert (died.dyno, str(died.name), died.status, died.cause) == (
        "gone",
        "web.1",
        3,
        "exited with status 3",
    )
    assert (house.reaped, house.ended) == ([("a1", "gone")], [])


def test_what_was_counted_of_it_is_in_its_autopsy_too():
    house = buried(Fleet(), replace(live("gone", 3), peak=9, tally=Tally(tasks_peak=3)))
    assert [(died.peak, died.tally) for died in house.expected] == [(9, Tally(tasks_peak=3))]


def test_one_that_its_fleet_still_shows_as_crashed_is_buried_too():
    fleet = in_phase(World().reconcile(), Phase.ENDED)
    (id,) = list(fleet.dynos)[:1]
    house = buried(fleet, live(id, 3))
    assert house.reaped == [("a1", id)]
    assert house.expected[0].command == fleet.dynos[id].command


def test_nobody_is_buried_twice_and_builds_have_no_autopsy():
    house = buried(
        Fleet(),
        live("going", 0, name="web.2"),
        live("b1", 0, type="build", name="build.7"),
        reaping=["going"],
    )
    assert (house.expected, house.reaped, house.ended) == ([], [], ["b1"])


def test_of_an_app_that_is_no_more_nothing_is_written():
    house = buried(Fleet(), live("gone", 3, app="a9"))
    assert (house.expected, house.reaped, house.ended) == ([], [], ["gone"])
