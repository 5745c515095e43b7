"""Full disks, jumping clocks, slow networks, little memory: apps serve on, refusals are clear, and it mends by itself."""

import json

import pytest

from lab import faults
from lab.faults import inflicted
from tests.lab.conftest import figure, serves

DAY = 24 * 3600


def dynos(machine, app):
    """Name and beginning of life of every dyno."""
    rows = json.loads(machine.sh(f"dyno ps -a {app} --json"))
    return sorted((row["name"], row["id"]) for row in rows)


@pytest.mark.timeout(1200)
def test_a_full_disk_is_refused_clearly_and_mends(machine, app):
    before = dynos(machine, app)
    with inflicted(machine, faults.full("/var/lib/dynod")):
        serves(machine, app)
        refused = machine.run("dyno", "config:set", "-a", app, "FULL=yes")
        assert dynos(machine, app) == before or refused.status == 0
        serves(machine, app)
    assert refused.status in (0, 1)
    assert "Traceback" not in refused.err
    machine.sh(f'dyno config:set -a {app} FULL=no && [ "$(dyno config:get FULL -a {app})" = no ]')
    serves(machine, app)
    figure("full disk", status=refused.status, said=refused.err.strip()[-200:])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_jump_of_the_clock_cycles_and_expires_nothing(machine, app, jump):
    before = dynos(machine, app)
    with inflicted(machine, faults.clock(jump)):
        serves(machine, app)
        machine.sh("sleep 5")
        serves(machine, app)
        during = dynos(machine, app)
    serves(machine, app)
    figure("clock jump", seconds=jump, dynos_replaced=len(set(before) - set(during)))
    assert during == before
    assert dynos(machine, app) == before


@pytest.mark.timeout(1200)
def test_a_control_plane_out_of_memory_comes_back_and_no_app_notices(machine, app):
    before = dynos(machine, app)
    machine.sh("systemctl set-property --runtime dynod.service MemoryMax=8M || true; sleep 2")
    serves(machine, app)
    machine.sh(
        "systemctl set-property --runtime dynod.service MemoryMax=infinity; systemctl restart dynod.service"
    )
    serves(machine, app)
    assert dynos(machine, app) == before


@pytest.mark.timeout(1200)
def test_a_slow_network_slows_and_breaks_nothing(machine, app):
    with inflicted(machine, faults.slow_network(interface="lo")):
        serves(machine, app)
    serves(machine, app)
