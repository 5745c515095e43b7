"""HEROKU.md 1.2, row by row: what the log says of a dyno's life, whole and in order. A column of the table is a story."""

from dataclasses import replace

import pytest

from dynod.core import reconcile as fleets
from dynod.core.cycling import cycle_at
from dynod.core.effects import Say
from dynod.core.events import Exited, HungUp, Launched, MemoryVastlyExceeded
from dynod.core.fleet import Fleet
from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.model.app import AppId
from dynod.model.codes import RCode
from dynod.model.dyno import DynoId, Exit, dyno_name
from dynod.model.formation import MIB
from tests.core.test_reconcile import WEB1, World


class Log(World):
    """A world that remembers every line."""

    def __init__(self, **formation):
        self.said = []
        super().__init__(**formation)

    def _take(self, outcome):
        super()._take(outcome)
        self.said += [f"{each.name}: {each.text}" for each in self.effects if isinstance(each, Say)]
        return self

    def since(self, count=0):
        return [line.removeprefix("web.1: ") for line in self.said[count:]]

    def one_off(self, *, attached=False, ttl=None):
        made = Dyno(
            DynoId("o1"), AppId("a1"), dyno_name("run.1952"), Kind.ONE_OFF, "r3", 3, "Standard-1X", "rails c",
            5000, 1.0, 1.0, self.now.mono, self.now.mono + 10**6, attached=attached, ttl=ttl,
        )  # fmt: skip
        return self._take(fleets.start_one_off(self.fleet, self.desired, made, "run"))


STARTING = "Starting process with command `web 5000`"
BOOT = [STARTING, "State changed from starting to up"]


def up():
    return Log().reconcile().up("d1")


def test_boot():
    assert up().since() == BOOT


def test_a_crash_whatever_its_status():
    for status in (0, 1, 143):
        world = up().tell("d1", Exited(Exit(status)))
        assert world.since(2) == [
            f"Process exited with status {status}",
            "State changed from up to crashed",
            "State changed from crashed to starting",
            STARTING,
        ]


@pytest.mark.parametrize("seconds", [60, 120, 180])
def test_a_boot_timeout_names_the_apps_own(seconds):
    world = Log()
    world.desired = replace(world.desired, boot_timeout=float(seconds))
    world.reconcile().tell("d1", Launched("x")).later(seconds - 1).tick()
    assert world.since(1) == []
    world.later(1).tick().tell("d1", Exited(Exit(137)))
    assert world.since(1)[:4] == [
        f"Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds} seconds of launch",
        "Stopping process with SIGKILL",
        "Process exited with status 137",
        "State changed from starting to crashed",
    ]


def test_deploy_of_2026_with_an_old_dyno_that_does_not_leave():
    world = up()
    world.desired = world.release("r4", 4)
    world.reconcile().up("d2").later(30).tick().tell("d1", Exited(Exit(137)))
    assert world.since(2) == [
        "Restarting",
        "State changed from up to starting",
        STARTING,
        "Stopping all processes with SIGTERM",
        "State changed from starting to up",
        "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
        "Stopping remaining processes with SIGKILL",
        "Process exited with status 137",
    ]


def test_an_exit_timeout_says_how_long_it_was():
    world = Log()
    world.desired = replace(world.desired, stop_grace=5.0)
    world.reconcile().up("d1")
    world.desired = replace(world.release("r4", 4), stop_grace=5.0)
    world.reconcile().later(5).tick()
    assert (
        "Error R12 (Exit timeout) -> At least one process failed to exit within 5 seconds of SIGTERM"
        in world.since()
    )


def test_memory_kill():
    world = up().tell("d1", MemoryVastlyExceeded(1029 * MIB)).tell("d1", Exited(Exit(137)))
    assert world.since(2)[:5] == [
        "Process running mem=1029M(201.0%)",
        "Error R15 (Memory quota vastly exceeded)",
        "Stopping process with SIGKILL",
        "Process exited with status 137",
        "State changed from up to crashed",
    ]


@pytest.mark.parametrize(("draw", "minutes"), [(0.0, 0), (0.5, 108), (0.75, 162)])
def test_a_cycle_comes_after_a_day_and_each_dynos_own_draw_of_0_to_216_minutes(draw, minutes):
    world = up()
    end = cycle_at(world.now.mono, draw)
    day = end - world.now.mono
    assert day == 24 * 3600 + minutes * 60
    world.fleet = Fleet({"d1": replace(world.fleet.dynos["d1"], cycle=end)}, world.fleet.slots)
    assert world.later(day - 1).tick().since(2) == []
    assert world.later(1).tick().since(2) == [
        "Cycling",
        "State changed from up to starting",
        STARTING,
        "Stopping all processes with SIGTERM",
    ]


def test_scaled_to_none():
    world = up()
    world.desired = world.release("r3", 3, web=0)
    world.reconcile().tell("d1", Exited(Exit(143)))
    assert world.since(2) == [
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "State changed from up to down",
    ]


def test_one_off_attached_whatever_its_status():
    for status in (0, 2):
        world = Log(web=0).one_off(attached=True).tell("o1", Launched("x")).tell("o1", Exited(Exit(status)))
        assert [line.removeprefix("run.1952: ") for line in world.said] == [
            "Awaiting client",
            "Starting process with command `rails c`",
            "State changed from starting to up",
            f"Process exited with status {status}",
            "State changed from up to complete",
        ]


def test_one_off_whose_client_went_is_hung_up_three_times_five_seconds_apart_and_then_detached():
    world = Log(web=0).one_off(attached=True).tell("o1", Launched("x")).tell("o1", HungUp())
    for _ in range(3):
        world.later(5).tick()
    assert [line.removeprefix("run.1952: ") for line in world.said[3:]] == [
        *["Client connection closed. Sending SIGHUP to all processes"] * 3,
        "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.",
    ]
    assert world.fleet.dynos["o1"].phase is Phase.UP


def test_one_off_whose_client_never_came_and_one_whose_time_is_over():
    world = Log(web=0).one_off(attached=True).tell("o1", Launched("x")).tell("o1", HungUp(unclaimed=True))
    assert world.said[3] == "run.1952: Error R13 (Attach error) -> Failed to attach to process"
    world = (
        Log(web=0).one_off(ttl=60.0).tell("o1", Launched("x")).later(60).tick().tell("o1", Exited(Exit(143)))
    )
    assert [line.removeprefix("run.1952: ") for line in world.said[2:]] == [
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "State changed from up to complete",
    ]


def test_crashes_wait_nothing_then_10_20_40_minutes_up_to_a_day_and_ten_minutes_up_begin_anew():
    world, waits = up(), []
    for number in range(1, 11):
        world.tell(f"d{number}", Exited(Exit(1)))
        if number > 1:
            waits.append(fleets.next_deadline(world.fleet) - world.now.mono)
            world.later(waits[-1]).tick()
        world.up(f"d{number + 1}")
    assert [wait / 60 for wait in waits] == [10, 20, 40, 80, 160, 320, 640, 1280, 1440]
    world.later(600).tell("d11", Exited(Exit(1)))
    assert (world.boots(), world.fleet.slots[WEB1].crashes) == (["d12"], 1)


def test_the_codes_to_the_letter():
    """HEROKU.md 1.2; `does match` is Heroku's."""
    assert {code.name: code.value for code in RCode} == {
        "R10": "R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds} seconds of launch",
        "R12": "R12 (Exit timeout) -> At least one process failed to exit within {seconds} seconds of SIGTERM",
        "R13": "R13 (Attach error) -> Failed to attach to process",
        "R14": "R14 (Memory quota exceeded)",
        "R15": "R15 (Memory quota vastly exceeded)",
        "R16": (
            "R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed."
        ),
        "R17": (
            "R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:{expected} Actual: SHA256:{actual}"
        ),
    }
