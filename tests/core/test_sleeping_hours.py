"""Apps whose eco hours are used up: they sleep, and nothing wakes them before the next month."""

from dynod.core import reconcile as fleets
from dynod.core.effects import Boot
from dynod.core.events import Exited, LaunchFailed, PortBound
from dynod.core.fleet import Habit
from dynod.model.dyno import Exit
from tests.core.eco import HALF_HOUR, Eco


def test_with_no_hours_left_it_sleeps_at_once_and_no_request_wakes_it():
    world = Eco().spend()
    assert world.deadline() == 0.0
    assert world.tick().lines()[0] == "web.1: Idling"
    assert world.states() == {"web.1": "idle", "worker.1": "idle"}
    assert world.wake().heard().effects == []
    assert (world.deadline(), world.together().effects) == (None, [])


def test_with_no_hours_left_workers_alone_sleep_too():
    world = Eco().slept().ended("d1", "d2")
    world.habit = Habit(spent=True)
    world.desired = world.release("r3", 3, web=0, worker=1)
    assert world.reconcile().together().boots() == []


def test_a_deploy_without_hours_waits_for_the_next_month():
    world = Eco(worker=0).spend().tick().ended("d1")
    world.desired = world.release("r4", 4, worker=1)
    assert world.reconcile().together().effects == []
    world.spend(spent=False)
    assert world.wake().boots() == ["d2", "d3"]
    assert {each.release for each in world.fleet.dynos.values()} == {"r4"}


def test_a_cycle_without_hours_is_asked_for_once():
    world = Eco(0, Habit(HALF_HOUR, freeze=True)).spend().tick()
    world.later(world.fleet.dynos["d1"].cycle - world.now.mono)
    assert world.tick().effects == []
    assert fleets.next_deadline(world.fleet) is None


def test_a_crash_loop_without_hours_ends_asleep():
    world = Eco(worker=0).tell("d1", Exited(Exit(1))).tell("d2", LaunchFailed("cannot")).spend().tick()
    assert world.lines() == ["web.1: Idling", "web.1: State changed from crashed to down"]


def test_a_port_that_binds_while_it_falls_asleep_changes_nothing():
    world = Eco(worker=0).slept().tell("d1", PortBound())
    assert world.states() == {"web.1": "idle"}
    assert Boot("d2") not in world.effects
