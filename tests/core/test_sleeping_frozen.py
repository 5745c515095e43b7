"""Apps that sleep frozen, with all their processes: how they thaw, and what befalls them meanwhile."""

from dataclasses import replace

from dynod.core import reconcile as fleets
from dynod.core.effects import Freeze, Signal, Thaw
from dynod.core.events import Exited, Launched, MemoryVastlyExceeded
from dynod.core.fleet import Habit
from dynod.core.lifecycle import Phase
from dynod.model.dyno import Exit
from tests.core.eco import HALF_HOUR, Eco, frozen


def test_frozen_it_keeps_its_processes_and_thaws_on_a_request():
    world = frozen()
    assert world.lines() == [
        f"{name}: {text}"
        for name in ("web.1", "worker.1")
        for text in ("Idling", "State changed from up to down")
    ]
    assert (world.of(Freeze), world.of(Signal)) == (["d1", "d2"], [])
    assert world.phases() == {"d1": Phase.FROZEN, "d2": Phase.FROZEN}
    assert world.states() == {"web.1": "idle", "worker.1": "idle"}
    assert world.wake().of(Thaw) == ["d1", "d2"]
    assert world.lines()[:2] == ["web.1: Unidling", "web.1: State changed from down to up"]
    assert world.states() == {"web.1": "up", "worker.1": "up"}
    assert world.deadline() == world.now.mono + HALF_HOUR


def test_a_frozen_dyno_is_thawed_before_it_is_told_to_stop():
    world = frozen(worker=0)
    world.desired = world.release("r4", 4)
    world.reconcile()
    assert world.effects.index(Thaw("d1")) < world.effects.index(Signal("d1", 15))
    assert world.boots() == ["d2"]
    assert world.ended("d1").lines() == ["web.1: Process exited with status 143"]
    assert list(world.fleet.dynos) == ["d2"]


def test_a_frozen_dyno_of_an_older_release_is_not_thawed_but_replaced():
    world = frozen(worker=0)
    world.desired = world.release("r4", 4)
    world.wake()
    assert (world.boots(), world.of(Signal)) == (["d2"], ["d1"])


def test_a_crashed_worker_of_a_frozen_app_is_started_by_the_request():
    world = (
        Eco(habit=Habit(10.0, freeze=True))
        .tell("d2", Exited(Exit(1)))
        .tell("d3", Launched("x"))
        .tell("d3", Exited(Exit(1)))
    )
    world.later(20).tick().quiet()
    assert world.wake().boots() == ["d4"]
    assert world.of(Thaw) == ["d1"]


def test_killed_while_frozen_it_sleeps_on_and_is_started_by_the_request():
    world = frozen(worker=0).tell("d1", Exited(Exit(137)))
    assert world.lines() == ["web.1: Process exited with status 137"]
    assert world.states() == {"web.1": "idle"}
    assert world.wake().boots() == ["d2"]


def test_r15_of_a_frozen_dyno():
    world = frozen(worker=0).tell("d1", MemoryVastlyExceeded(1 << 31))
    assert world.of(Signal) == ["d1"]
    assert world.tell("d1", Exited(Exit(137))).states() == {"web.1": "idle"}


def test_a_frozen_dyno_whose_day_is_over_is_replaced_and_the_app_with_it():
    world = frozen()
    world.later(world.fleet.dynos["d1"].cycle - world.now.mono)
    assert fleets.next_deadline(world.fleet) == world.now.mono
    world.tick()
    assert (world.boots(), world.of(Signal)) == (["d3", "d4"], ["d1", "d2"])
    assert world.together().tick().boots() == []


def test_one_frozen_dyno_cycled_thaws_the_others():
    world = frozen()
    world.fleet = fleets.with_dyno(world.fleet, replace(world.fleet.dynos["d1"], cycle=world.now.mono))
    assert world.tick().together().boots() == ["d3"]
    assert world.of(Thaw)[-1] == "d2"


def test_a_restarted_daemon_freezes_again_what_it_had_decided_to_freeze():
    assert Freeze("d1") in fleets.resumed(frozen().fleet)
