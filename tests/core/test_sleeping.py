"""Who sleeps when, what wakes it, and what the log says of it (HEROKU.md 1.2, 1.9)."""

from dataclasses import replace

import pytest

from dynod.core import reconcile as fleets
from dynod.core import sleeping
from dynod.core.effects import AskActivity, Reap, Signal
from dynod.core.events import Exited, Launched, LaunchFailed
from dynod.core.fleet import Habit
from dynod.model.dyno import Exit, dyno_name
from dynod.model.formation import DEFAULT_SIZE
from tests.core.eco import HALF_HOUR, Eco, rows


@pytest.mark.parametrize(
    ("formation", "features", "spent", "habit"),
    [
        ((), {}, False, Habit()),
        (rows(web=1), {}, False, Habit(60.0)),
        (rows(web=1, worker=1), {}, False, Habit(60.0)),
        (rows(web=0, worker=1), {}, False, Habit()),
        (rows(web=0, worker=1), {}, True, Habit(spent=True)),
        (rows(DEFAULT_SIZE, web=1), {}, True, Habit()),
        (rows(DEFAULT_SIZE, web=1), {"freeze-when-idle": True}, True, Habit(60.0, freeze=True)),
        (rows(web=1), {"freeze-when-idle": True}, True, Habit(60.0, freeze=True, spent=True)),
    ],
)
def test_who_sleeps_and_how(formation, features, spent, habit):
    assert sleeping.habit(formation, features, 60.0, spent=spent) == habit


def test_after_half_an_hour_the_routers_are_asked_once_more():
    world = Eco()
    assert world.deadline() == 1000.0 + HALF_HOUR
    assert world.later(HALF_HOUR - 1).tick().effects == []
    assert world.later(1).tick().effects == [AskActivity()]
    assert world.deadline() == world.now.mono + sleeping.AGAIN
    assert world.tick().effects == []
    assert world.later(sleeping.AGAIN).tick().effects == [AskActivity()]


def test_sleep_is_said_in_herokus_words_and_workers_sleep_too():
    world = Eco().slept()
    assert world.lines() == [
        "web.1: Idling",
        "web.1: State changed from up to down",
        "web.1: Stopping all processes with SIGTERM",
        "worker.1: Idling",
        "worker.1: State changed from up to down",
        "worker.1: Stopping all processes with SIGTERM",
    ]
    assert world.of(Signal) == ["d1", "d2"]
    assert world.states() == {"web.1": "idle", "worker.1": "idle"}
    assert world.tell("d1", Exited(Exit(143))).lines() == ["web.1: Process exited with status 143"]
    assert Reap("d1") in world.effects
    world.tell("d2", Exited(Exit(143)))
    assert world.states() == {"web.1": "idle", "worker.1": "idle"}
    assert (world.deadline(), fleets.next_deadline(world.fleet)) == (None, None)


def test_an_answer_that_told_of_a_request_keeps_it_awake():
    world = Eco().later(HALF_HOUR).tick()
    assert world.heard().quiet().effects == []
    assert world.deadline() == world.now.mono + HALF_HOUR
    assert world.later(HALF_HOUR).tick().effects == [AskActivity()]


def test_activity_is_written_down_no_finer_than_needed():
    world = Eco().later(100).heard()
    before = world.fleet
    assert before.active == world.now.mono
    assert world.later(29).heard().fleet is before
    assert world.later(1).heard().fleet.active == world.now.mono


def test_activity_of_an_app_that_never_sleeps_is_nothing_to_write_down():
    world = Eco(habit=Habit())
    before = world.fleet
    assert world.later(10_000).heard().fleet is before
    assert world.deadline() is None
    assert world.tick().quiet().effects == []


def test_a_request_wakes_all_of_it():
    world = Eco().slept().ended("d1", "d2").wake()
    assert world.lines() == [
        "web.1: Unidling",
        "web.1: State changed from down to starting",
        "web.1: Starting process with command `web 5000`",
        "worker.1: Unidling",
        "worker.1: State changed from down to starting",
        "worker.1: Starting process with command `worker 5000`",
    ]
    assert world.boots() == ["d3", "d4"]
    assert world.wake().effects == []
    assert world.up("d3").lines() == ["web.1: State changed from starting to up"]
    world.tell("d4", Launched("x"))
    assert world.deadline() == world.now.mono + HALF_HOUR
    assert sorted(world.fleet.dynos) == ["d3", "d4"]


def test_a_request_while_it_still_stops_starts_it_beside():
    world = Eco(worker=0).slept().wake()
    assert world.lines()[:2] == ["web.1: Unidling", "web.1: State changed from down to starting"]
    assert world.boots() == ["d2"]
    assert world.ended("d1").lines() == ["web.1: Process exited with status 143"]
    assert list(world.fleet.dynos) == ["d2"]


def test_a_request_that_came_just_before_is_heard_of_just_after():
    assert Eco(worker=0).slept().heard().boots() == ["d2"]


def test_r12_holds_for_the_stop_of_one_that_falls_asleep():
    world = Eco(worker=0).slept().later(30)
    assert "Error R12" in world.tick().lines()[0]
    assert world.ended("d1").states() == {"web.1": "idle"}


def test_a_deploy_wakes_it():
    world = Eco().slept().ended("d1", "d2")
    world.desired = world.release("r4", 4, worker=1)
    assert world.reconcile().together().boots() == ["d3", "d4"]
    assert world.lines()[0] == "web.1: Unidling"


def test_nothing_desired_anew_lets_it_sleep():
    world = Eco().slept()
    assert world.reconcile().together().effects == []
    assert world.ended("d1", "d2").reconcile().together().effects == []


def test_a_restart_of_one_wakes_all():
    world = Eco().slept().ended("d1", "d2")
    world._take(
        fleets.restart(world.fleet, world.desired, [dyno_name("worker.1")], "x", world.now, world.draw)
    )
    assert world.boots() == ["d3"]
    assert world.together().boots() == ["d3", "d4"]


def test_scaling_its_web_away_wakes_the_workers_for_those_never_sleep_alone():
    world = Eco().slept().ended("d1", "d2")
    world.habit = Habit()
    world.desired = world.release("r3", 3, web=0, worker=1)
    assert world.reconcile().lines() == []
    assert world.together().boots() == ["d3"]
    assert list(world.fleet.dynos) == ["d3"]


def test_scaled_away_while_it_stops_to_sleep_it_is_gone():
    world = Eco(worker=0).slept()
    world.desired = world.release("r3", 3, web=0)
    assert world.reconcile().together().effects == []
    world.ended("d1")
    assert (world.fleet.slots, world.fleet.dynos) == ({}, {})


def test_a_new_process_type_wakes_it():
    world = Eco(worker=0).slept().ended("d1")
    world.desired = world.release("r3", 3, worker=1)
    assert world.reconcile().together().boots() == ["d2", "d3"]


def test_it_does_not_sleep_while_a_dyno_is_on_its_way():
    world = Eco().tell("d2", Exited(Exit(1)))  # a worker's first crash: it is started again at once
    assert world.later(HALF_HOUR).deadline() is None
    world.tell("d3", Launched("x"))
    assert world.tick().effects == [AskActivity()]


def test_a_crashed_worker_waits_for_the_request_instead_of_its_retry():
    world = Eco().tell("d2", Exited(Exit(1))).tell("d3", Launched("x")).tell("d3", Exited(Exit(1)))
    assert world.states()["worker.1"] == "crashed"
    world.desired = replace(world.desired, habit=Habit(10.0))
    world.later(20).tick()
    assert world.quiet().lines()[-2:] == ["worker.1: Idling", "worker.1: State changed from crashed to down"]
    assert fleets.next_deadline(world.ended("d1").fleet) is None
    assert world.wake().boots() == ["d4", "d5"]


def test_a_crashed_web_does_not_sleep():
    world = Eco(worker=0).tell("d1", Exited(Exit(1))).tell("d2", LaunchFailed("cannot"))
    assert world.deadline() is None


def test_a_sleeper_whose_machine_was_rebooted_sleeps_on():
    world = Eco().slept().ended("d2")
    world._take(fleets.lost(world.fleet, world.desired, "d1", world.now, world.draw))
    assert (world.boots(), world.states()) == ([], {"web.1": "idle", "worker.1": "idle"})
    assert world.wake().boots() == ["d3", "d4"]


@pytest.mark.parametrize(
    ("active", "asked", "after"),
    [(900.0, 0.0, (900.0, 0.0)), (900.0, 950.0, (900.0, 0.0)), (5e6, 6e6, (0.0, 0.0))],
)
def test_times_of_an_earlier_boot_say_nothing(active, asked, after):
    world = Eco()
    fleet = sleeping.recalled(replace(world.fleet, active=active, asked=asked), world.now)
    assert (fleet.active, fleet.asked) == after


def crashed_twice():
    """web.1 waits for its next try; worker.1 is up."""
    return Eco().tell("d1", Exited(Exit(1))).up("d3").tell("d3", Exited(Exit(1)))


def test_who_waited_after_a_crash_when_the_machine_went_down_is_tried_at_once():
    """The moment that it waits for is one of the boot before: with a year of uptime, it would have waited a year."""
    world = crashed_twice()
    young = replace(world.now, mono=50.0)
    world.fleet, world.now = sleeping.recalled(world.fleet, young), young
    assert world.boots() == []
    world.tick()
    assert world.boots() == ["d4"]


def test_who_waits_after_a_crash_waits_on_when_the_control_plane_alone_is_started_again():
    world = crashed_twice()
    assert sleeping.recalled(world.fleet, world.now) == world.fleet
    assert world.tick().boots() == []


def test_what_sleeps_already_is_let_be():
    world = Eco().slept().ended("d1", "d2")
    world._take(
        fleets.restart(world.fleet, world.desired, [dyno_name("web.1")], "x", world.now, world.draw)
    ).up("d3")
    assert world.spend().tick().of(Signal) == ["d3"]
