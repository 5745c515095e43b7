"""How long a name waits after a crash, and after a launch that failed; and what makes that forgotten."""

import pytest

from dynod.core import reconcile as fleets
from dynod.core.backoff import crashes_after, wait_before_retry
from dynod.core.effects import Note
from dynod.core.events import Exited, Launched, LaunchFailed
from dynod.core.fleet import Fleet, Slot
from dynod.model.dyno import Exit
from tests.core.test_reconcile import WEB1, World


def test_what_cannot_be_started_is_tried_again_after_one_second_then_two_up_to_two_minutes():
    world = World().reconcile()
    waits = []
    for number in range(1, 11):
        world.tell(f"d{number}", LaunchFailed("cannot start web.1: the disk is full"))
        assert world.lines() == [
            "web.1: cannot start web.1: the disk is full",
            "web.1: State changed from starting to crashed",
        ]
        assert (world.boots(), world.states()) == ([], {"web.1": "crashed"})
        waits.append(fleets.next_deadline(world.fleet) - world.now.mono)
        assert world.later(waits[-1] - 0.1).tick().boots() == []
        assert world.later(0.1).tick().boots() == [f"d{number + 1}"]
        assert world.lines()[0] == "web.1: State changed from crashed to starting"
    assert waits == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]


def test_once_it_could_be_started_failures_are_forgotten_and_crashes_were_never_counted():
    world = World().reconcile()
    world.tell("d1", LaunchFailed("cannot start web.1: no"))
    world.later(1).tick().tell("d2", Launched("x"))
    assert world.fleet.slots[WEB1].failures == 0
    assert world.tell("d2", Exited(Exit(1))).boots() == ["d3"]  # the first crash, so at once
    world.tell("d3", LaunchFailed("cannot start web.1: no"))
    world.later(1).tick()
    assert (world.boots(), world.fleet.slots[WEB1].crashes) == (["d4"], 1)
    world.tell("d4", Launched("x")).tell("d4", Exited(Exit(1)))
    assert fleets.next_deadline(world.fleet) == world.now.mono + 600


def test_a_release_need_not_wait_for_the_next_try():
    world = World().reconcile()
    world.tell("d1", LaunchFailed("cannot start web.1: no"))
    world.desired = world.release("r4", 4)
    assert world.reconcile().boots() == ["d2"]
    assert world.fleet.slots[WEB1].failures == 0


def test_the_first_crash_is_answered_at_once_the_second_waits_ten_minutes():
    world = World().reconcile().up("d1").later(5)
    world.tell("d1", Exited(Exit(1)))
    assert world.lines() == [
        "web.1: Process exited with status 1",
        "web.1: State changed from up to crashed",
        "web.1: State changed from crashed to starting",
        "web.1: Starting process with command `web 5000`",
    ]
    world.up("d2").later(5).tell("d2", Exited(Exit(0)))
    assert world.boots() == []
    assert world.states() == {"web.1": "crashed"}
    assert fleets.next_deadline(world.fleet) == world.now.mono + 600
    assert world.later(599).tick().boots() == []
    assert world.later(1).tick().boots() == ["d3"]
    assert world.lines()[0] == "web.1: State changed from crashed to starting"


def test_a_crash_after_ten_minutes_counts_as_the_first():
    world = World().reconcile().up("d1").later(1).tell("d1", Exited(Exit(1)))
    world.up("d2").later(700).tell("d2", Exited(Exit(1)))
    assert world.boots() == ["d3"]


def test_a_release_forgets_the_crashes():
    world = World().reconcile().up("d1").tell("d1", Exited(Exit(1))).up("d2").tell("d2", Exited(Exit(1)))
    world.desired = world.release("r4", 4)
    assert world.reconcile().boots() == ["d3"]
    assert world.fleet.slots[WEB1].crashes == 0


def waiting(**formation):
    """A dyno that has crashed twice, and waits."""
    return (
        World(**formation)
        .reconcile()
        .up("d1")
        .tell("d1", Exited(Exit(1)))
        .up("d2")
        .tell("d2", Exited(Exit(1)))
    )


def rescaled(world, *types, **formation):
    world.desired = world.release("r3", 3, **formation)
    return world._take(fleets.rescaled(world.fleet, world.desired, types, "scaled", world.now, world.draw))


def test_a_restart_forgets_the_crashes():
    world = waiting()
    world._take(fleets.restart(world.fleet, world.desired, [WEB1], "by hand", world.now, world.draw))
    assert (world.boots(), world.fleet.slots[WEB1]) == (["d3"], Slot("d3"))


def test_a_scale_forgets_the_crashes_and_tries_again_at_once():
    world = rescaled(waiting(), "web", web=2)
    assert world.boots() == ["d3", "d4"]
    assert world.states() == {"web.1": "starting", "web.2": "starting"}
    assert world.fleet.slots[WEB1] == Slot("d4")
    assert [each.detail for each in world.effects if isinstance(each, Note)] == ["scaled", "scaled"]
    assert world.up("d4").tell("d4", Exited(Exit(1))).boots() == ["d5"]  # again the first of them


def test_a_scale_of_another_type_forgets_nothing():
    world = waiting()
    slot = world.fleet.slots[WEB1]
    assert rescaled(world, "worker", worker=1).boots() == ["d3"]
    assert world.fleet.slots[WEB1] == slot


def test_a_scale_forgets_the_crash_of_one_that_runs_and_lets_it_run():
    world = World().reconcile().up("d1").tell("d1", Exited(Exit(1))).up("d2")
    assert world.fleet.slots[WEB1].crashes == 1
    assert rescaled(world, "web", web=2).boots() == ["d3"]
    assert world.fleet.slots[WEB1] == Slot("d2")


def test_a_scale_to_none_forgets_who_waited():
    assert rescaled(waiting(), "web", web=0).fleet == Fleet()


def test_a_crash_of_a_type_that_is_gone_is_forgotten():
    world = World().reconcile().up("d1")
    world.desired = world.release("r3", 3, web=0)
    assert world.tell("d1", Exited(Exit(1))).boots() == []
    assert world.fleet == Fleet()


@pytest.mark.parametrize(
    ("crashes", "wait"),
    [(0, 0), (1, 0), (2, 600), (3, 1200), (4, 2400), (9, 76_800), (10, 86_400), (99, 86_400)],
)
def test_back_off_doubles_up_to_a_day(crashes, wait):
    assert wait_before_retry(crashes) == wait


def test_ten_minutes_up_begin_the_count_anew():
    assert crashes_after(4, 599.9) == 5
    assert crashes_after(4, 600.0) == 1
