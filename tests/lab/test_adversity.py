"""Jumping clocks and slow networks: apps serve on, nothing is cycled, expires or waits a day because of it."""

import json

import pytest

from lab import faults
from lab.faults import inflicted
from tests.lab.conftest import DEPLOY, kept, serves
from tests.lab.under_load import cost, running

DAY = 24 * 3600
WORKER = "pgrep -of '^/bin/bash ./count.sh'"
ANOTHER = f'until new=$({WORKER}) && [ "$new" != "$old" ]; do sleep 0.2; done'
RESTART = (
    f"old=$({WORKER} || true); dyno ps:restart worker.1 -a counting; {ANOTHER}"  # forgets crashes of before
)
CRASH = f"old=$({WORKER}); kill -9 $old; {ANOTHER}"
CRASH_AGAIN = (
    f"sleep 2; kill -9 $({WORKER}); until dyno ps -a counting | grep '^worker.1: crashed'; do sleep 1; done"
)
# The control plane starts anew on the other side, and routers and dynos hear of what is changed then.
CHANGED = "sleep 10; systemctl restart dynod; dyno config:set JUMP={jump} -a {app}; dyno config:get JUMP -a {app} | grep -e {jump}; sleep 5"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "jump"), [("forward", DAY), ("back", -DAY)], ids=["forward", "back"])
def test_a_jump_of_the_clock_by_a_day_cycles_and_expires_nothing(machine, app, counting, name, jump):
    """A dyno that dies on the other side is started again as soon as ever, and when it dies again it waits as long as ever."""
    with kept(machine, f"clock{jump}"):
        machine.sh(RESTART)
        before = dynos(machine)
        with inflicted(machine, faults.clock(jump)):
            found = cost(machine, app, CHANGED.format(jump=jump, app=app)).figure("clock jump", jump=jump)
            assert (found.failed, found.missing) == (0, 0), found
            assert dynos(machine) == before
            machine.sh(CRASH, cap=60)
            machine.sh(CRASH_AGAIN)
            after = running(machine)
            machine.sh(DEPLOY.format(app=name, tree="examples/shell"))  # by HTTPS: the certificate is valid
            serves(machine, name)
            assert running(machine) == after
        serves(machine, app)
        machine.sh("sleep 20")
        assert running(machine) == after, "who waits after a crash waits for no clock of the wall"


def dynos(machine):
    """Names and ids of the counting app's dynos, whom nobody asked to start anew."""
    return {(row["name"], row["id"]) for row in json.loads(machine.sh("dyno ps -a counting --json"))}


@pytest.mark.timeout(1200)
def test_a_slow_network_slows_and_breaks_nothing(machine, app, counting):
    with kept(machine, "slow"), inflicted(machine, faults.slow_network(interface="lo")):
        found = cost(machine, app, "sleep 20").figure("slow network")
        assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found
