"""Handing over: preboot changes traffic once all new dynos accept, rolling replaces a quarter at a time."""

from dataclasses import replace

import pytest

from dynod.core import reconcile as fleets
from dynod.core.effects import Reap, Signal
from dynod.core.events import Exited, Launched, LaunchFailed, PortBound
from dynod.core.fleet import Handover, handover
from dynod.model.dyno import Exit, dyno_name
from tests.core.test_reconcile import World, _lost

WEB1 = dyno_name("web.1")


class Prebooted(World):
    """A world whose apps hand over by preboot; `web` dynos d1.. of release r3 are up."""

    how = Handover.PREBOOT

    def __init__(self, web=1, worker=0):
        super().__init__(web, worker)
        self.reconcile()
        for dyno in list(self.fleet.dynos):
            self.up(dyno) if self.fleet.dynos[dyno].name.type == "web" else self.tell(dyno, Launched("x"))

    def release(self, ident, version, web=1, worker=0):
        return replace(super().release(ident, version, web, worker), handover=self.how)

    def deploy(self, ident="r4", version=4, **formation):
        self.desired = self.release(ident, version, **formation)
        return self.reconcile()

    def bearers(self):
        return [slot.dyno for _, slot in sorted(self.fleet.slots.items())]

    def signals(self):
        return [(each.dyno, each.signal) for each in self.effects if isinstance(each, Signal)]

    def restart(self, *names):
        names = [dyno_name(name) for name in names]
        return self._take(fleets.restart(self.fleet, self.desired, names, "by hand", self.now, self.draw))


class Rolling(Prebooted):
    how = Handover.ROLLING


@pytest.mark.parametrize(
    ("features", "how"),
    [
        ({}, Handover.CLASSIC),
        ({"preboot": False}, Handover.CLASSIC),
        ({"rolling-deploys": True}, Handover.ROLLING),
        ({"preboot": True, "rolling-deploys": True}, Handover.PREBOOT),
    ],
)
def test_an_app_chooses_by_its_features(features, how):
    assert handover(features) is how


def test_preboot_changes_over_once_all_accept():
    world = Prebooted(web=2).deploy(web=2)
    assert world.boots() == ["d3", "d4"]
    assert world.signals() == []
    assert world.up("d3").bearers() == ["d1", "d2"]
    world.up("d4")
    assert world.bearers() == ["d3", "d4"]
    assert world.signals() == [("d1", 15), ("d2", 15)]
    world.tell("d1", Exited(Exit(143)))
    assert world.lines() == ["web.1: Process exited with status 143"]


def test_preboot_says_restarting_once_and_reconciling_again_changes_nothing():
    world = Prebooted().deploy()
    assert world.lines() == ["web.1: Restarting", "web.1: Starting process with command `web 5000`"]
    assert world.reconcile().effects == []


def test_preboot_is_for_web_alone():
    world = Prebooted(web=0, worker=1).deploy(web=0, worker=1)
    assert world.signals() == [("d1", 15)]


def test_a_newer_release_drops_the_successor_that_boots():
    world = Prebooted().deploy().tell("d2", Launched("x"))
    world.deploy("r5", 5)
    assert world.boots() == ["d3"]
    assert world.signals() == [("d2", 15)]
    world.up("d3")
    assert world.bearers() == ["d3"]


def test_going_back_to_what_serves_drops_the_successor():
    world = Prebooted().deploy().tell("d2", Launched("x"))
    world.deploy("r3", 3)
    assert world.signals() == [("d2", 15)]
    assert world.fleet.slots[WEB1].next is None


def test_a_successor_that_crashes_leaves_the_old_one_serving_and_is_tried_again():
    world = Prebooted().deploy().tell("d2", Launched("x"))
    world.tell("d2", Exited(Exit(1)))
    assert world.boots() == ["d3"]
    world.tell("d3", Launched("x")).tell("d3", Exited(Exit(1)))
    assert (world.boots(), world.bearers()) == ([], ["d1"])
    assert fleets.next_deadline(world.fleet) == world.now.mono + 600
    assert world.reconcile().effects == []
    assert world.later(600).tick().boots() == ["d4"]
    world.up("d4")
    assert world.bearers() == ["d4"]


def test_a_successor_that_cannot_be_started_is_tried_again_soon_and_counts_as_no_crash():
    world = Prebooted().deploy()
    for number, wait in ((2, 1), (3, 2), (4, 4)):
        world.tell(f"d{number}", LaunchFailed("cannot start web.1: no"))
        assert (world.boots(), world.bearers()) == ([], ["d1"])
        assert fleets.next_deadline(world.fleet) == world.now.mono + wait
        assert world.later(wait).tick().boots() == [f"d{number + 1}"]
    world.up("d5")
    assert world.bearers() == ["d5"]
    assert world.fleet.slots[WEB1].crashes == world.fleet.slots[WEB1].failures == 0


def test_a_newer_release_need_not_wait_for_the_retry_of_the_older():
    world = Prebooted().deploy()
    for each in ("d2", "d3"):
        world.tell(each, Launched("x")).tell(each, Exited(Exit(1)))
    assert world.deploy("r5", 5).boots() == ["d4"]


def test_a_successor_that_crashes_after_the_release_was_taken_back():
    world = Prebooted().deploy()
    world.desired = world.release("r4", 4, web=0)
    assert world.tell("d2", LaunchFailed("cannot")).boots() == []


def test_the_old_one_crashes_while_its_successor_boots():
    world = Prebooted().deploy()
    world.tell("d1", Exited(Exit(1)))
    assert world.boots() == []
    assert world.bearers() == ["d2"]
    assert list(world.fleet.dynos) == ["d2"]


def test_scaling_away_stops_both():
    world = Prebooted().deploy().tell("d2", Launched("x"))
    world.deploy(web=0)
    assert world.signals() == [("d2", 15), ("d1", 15)]


def test_a_crashed_dyno_has_nothing_to_hand_over():
    world = Prebooted().tell("d1", Exited(Exit(1))).tell("d2", LaunchFailed("cannot"))
    assert world.deploy().boots() == ["d3"]
    assert world.bearers() == ["d3"]


def test_a_restart_prebooted_serves_all_the_time():
    world = Prebooted(web=2).restart("web.1")
    assert (world.boots(), world.signals()) == (["d3"], [])
    assert world.reconcile().effects == []
    world.up("d3")
    assert (world.bearers(), world.signals()) == (["d3", "d2"], [("d1", 15)])


def test_a_second_restart_drops_the_first_ones_successor():
    world = Prebooted().restart("web.1").tell("d2", Launched("x")).restart("web.1")
    assert (world.boots(), world.signals()) == (["d3"], [("d2", 15)])


def test_cycling_prebooted_does_not_ask_again_while_it_boots():
    world = Prebooted()
    world.later(world.fleet.dynos["d1"].cycle - world.now.mono).tick()
    assert world.boots() == ["d2"]
    assert world.tick().effects == []
    assert fleets.next_deadline(world.fleet) is None


def test_a_lost_successor_and_a_lost_bearer():
    world = Prebooted().deploy()
    before = world.fleet
    assert _lost(world, "d2").bearers() == ["d1"]
    assert world.fleet.slots[WEB1].next is None
    world.fleet = before
    assert _lost(world, "d1").bearers() == ["d2"]
    assert world.effects[-1] == Reap("d1")


def test_rolling_takes_a_quarter_at_a_time():
    world = Rolling(web=5).deploy(web=5)
    assert world.signals() == [("d1", 15), ("d2", 15)]  # a quarter of five, rounded up
    world.up("d6")
    assert world.signals() == [("d3", 15)]
    world.up("d7").up("d8").up("d9").up("d10")
    assert world.bearers() == ["d6", "d7", "d8", "d9", "d10"]
    assert world.reconcile().effects == []


def test_rolling_restarts_too_and_workers_all_at_once():
    world = Rolling(web=2, worker=2)
    world.restart("web.1", "web.2", "worker.1", "worker.2")
    assert [dyno for dyno, _ in world.signals()] == ["d1", "d3", "d4"]
    world.up("d5")
    assert world.signals() == [("d2", 15)]


def test_starting_late_does_not_count_as_up():
    world = Rolling(web=1).deploy()
    world.tell("d2", Launched("x"))
    assert world.tell("d2", PortBound()).bearers() == ["d2"]
