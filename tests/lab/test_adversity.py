"""Jumping clocks and slow networks: apps serve on, nothing is cycled, expires or waits a day because of it."""

import pytest

from lab import faults
from lab.faults import inflicted
from tests.lab.conftest import kept, serves
from tests.lab.under_load import cost, running

DAY = 24 * 3600


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
def test_a_jump_of_the_clock_by_a_day_cycles_and_expires_nothing(machine, app, counting, jump):
    """A dyno that dies on the other side is started again as soon as ever: the cooldown waits for no clock of the wall."""
    with kept(machine, f"clock{jump}"):
        with inflicted(machine, faults.clock(jump)):
            found = cost(
                machine, app, f"sleep 20; dyno config:set JUMP={jump} -a {app}; dyno config:get JUMP -a {app}"
            )
            machine.sh(
                "pkill -9 -f '^/bin/bash ./count.sh'; dyno logs --tail -a counting | grep -m1 ': number 1$'",
                cap=60,
            )
        after = running(machine)
        serves(machine, app)
        machine.sh("sleep 20")
        assert running(machine) == after
        found.figure("clock jump", jump=jump)
        assert (found.failed, found.missing) == (0, 0), found


@pytest.mark.timeout(1200)
def test_a_slow_network_slows_and_breaks_nothing(machine, app, counting):
    with kept(machine, "slow"), inflicted(machine, faults.slow_network(interface="lo")):
        found = cost(machine, app, "sleep 20").figure("slow network")
        assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found
