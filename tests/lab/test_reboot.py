"""The machine goes down in order and comes up again: everything that ran runs, with no hand, and nothing twice."""

import contextlib
import json
import re
import time

import pytest

from lab.way import LabError
from tests.lab.conftest import deployed, figure, kept
from tests.lab.told import INSIDE, PYTHON
from tests.lab.under_load import processes

APPS, DYNOS = 20, 50
WEBS = DYNOS - APPS  # each has a worker
REBOOTED = f"{PYTHON} -P {INSIDE}/rebooted.py"
WORKER = "^/bin/bash /app/worker.sh"
# The newest worker dies twice: the first time it is started at once, the second time it has to wait ten minutes.
CRASH_TWICE = f"""newest() {{  # and not what it has forked and what is about to become another program
  ps -eo pid=,ppid=,args= | awk '$3 " " $4 ~ "{WORKER}" {{of[$1] = $2}} END {{for (pid in of) if (!(of[pid] in of)) print pid}}' | sort -n | tail -1
}}
pid=$(newest); kill -9 $pid
until again=$(newest) && [ ${{again:-0}} -gt $pid ]; do sleep 0.2; done
sleep 2; kill -9 $again; {REBOOTED} crashed"""


@pytest.mark.timeout(3000)
def test_every_dyno_serves_again_after_a_reboot_and_nothing_runs_twice(machine):
    """Not even who waited after a crash: what it waited for was a moment of the boot before."""
    deployed(machine, "small", "tests/lab/small")
    with kept(machine, "reboot", "app0"):
        machine.sh(f"{PYTHON} -P {INSIDE}/apps.py {APPS} {DYNOS}; dyno ps:scale web=0 -a small", cap=1200)
        machine.sh(f"{REBOOTED} {DYNOS}", cap=1200)
        machine.sh(CRASH_TWICE)
        down = shut_down(machine)
        machine.start()
        found = json.loads(machine.sh(f"{REBOOTED} {DYNOS}", cap=1200))
        boot = machine.sh(
            "systemctl is-system-running --wait >/dev/null || true; systemd-analyze | head -1"
        ).strip()
        figure(
            "reboot",
            dynos=DYNOS,
            **found,
            down=round(down, 1),
            boot=boot,
            ratio=round(found["up"] / total(boot), 2),
        )
        assert (found["apps"], found["names"], found["starts"]) == (APPS, DYNOS, {"1": DYNOS})
        assert (len(processes(machine, "^perl web.pl")), len(processes(machine, WORKER))) == (
            WEBS,
            APPS,
        )
        assert machine.sh("systemctl --failed --plain --no-legend") == ""


def shut_down(machine):
    """Shut down in order, and wait for it as long as it takes: the plug is not pulled."""
    began = time.monotonic()
    with contextlib.suppress(LabError):  # it goes before it can answer
        machine.run("systemctl", "poweroff", cap=60)
    machine.wait()
    machine.cut()
    return time.monotonic() - began


def total(said):
    """Seconds of `Startup finished in 9.1s (kernel) + 1min 2.5s (userspace) = 1min 11.6s`."""
    minutes, seconds = re.search(r"= (?:(\d+)min )?([\d.]+)s", said).groups()
    return 60 * int(minutes or 0) + float(seconds)
