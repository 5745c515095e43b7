"""Programs that hang on a machine with a real systemd: each is watched, the router too; and a disk that is merely slow."""

import pytest

from tests.lab.test_services import UNITS, again, main_pid
from tests.lab.under_load import cost

ASKERS = 3  # lab/load.py: each waits a minute for an answer at most
WORKERS = "pgrep -P $(systemctl show -P MainPID dyno-router)"


def test_systemd_watches_every_program(machine):
    said = machine.sh("for unit in " + " ".join(UNITS) + "; do systemctl show -P WatchdogUSec $unit; done")
    assert said.split() == ["1min"] * len(UNITS)


def test_a_program_that_is_well_is_never_taken_for_one_that_hangs(machine, app):
    """Two minutes are twice what a watchdog waits."""
    before = machine.sh("systemctl show -P MainPID " + " ".join(UNITS))
    machine.sh("sleep 130")
    assert machine.sh("systemctl show -P MainPID " + " ".join(UNITS)) == before
    assert machine.sh("journalctl -b --no-pager | grep -i 'watchdog timeout' || true") == ""


@pytest.mark.timeout(900)
def test_a_router_that_hangs_is_replaced_and_fails_what_it_had_and_nothing_else(
    machine, app, counting, words
):
    """Its workers serve on until then."""
    script = f"{main_pid('dyno-router')}; kill -STOP $old_dyno_router; {again('dyno-router')}"
    found = cost(machine, app, script).figure("SIGSTOP to the router until the watchdog acts")
    assert found.seconds > 30, found
    assert found.failed <= ASKERS, found
    assert (found.dynos_ended, found.missing) == (0, 0), found
    assert "watchdog" in machine.sh("journalctl -b -u dyno-router --no-pager | grep -i watchdog")
    assert machine.sh("systemctl show -P WatchdogUSec dyno-router").strip() == "1min"


@pytest.mark.timeout(900)
def test_a_worker_that_hangs_is_replaced_by_its_master(machine, app, counting, words):
    script = (
        f"old=$({WORKERS} | head -n 1); kill -STOP $old; while kill -0 $old 2>/dev/null; do sleep 1; done; "
        f"until [ $({WORKERS} | wc -l) = 2 ]; do sleep 1; done"
    )
    master = machine.sh("systemctl show -P MainPID dyno-router")
    found = cost(machine, app, script).figure("SIGSTOP to a worker of the router")
    assert found.failed <= 2 * ASKERS, found  # each may wait a minute twice
    assert (found.dynos_ended, found.missing) == (0, 0), found
    assert machine.sh("systemctl show -P MainPID dyno-router") == master
    assert "does not turn any more" in machine.sh("journalctl -b -u dyno-router --no-pager")


@pytest.mark.timeout(900)
def test_a_reload_keeps_the_watchdog(machine, app):
    machine.sh("systemctl reload dyno-router")
    assert machine.sh("systemctl show -P WatchdogUSec dyno-router").strip() == "1min"
