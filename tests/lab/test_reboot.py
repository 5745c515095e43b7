"""The machine goes down in order and comes up again: everything that ran runs, with no hand, and nothing twice."""

import json
import re

import pytest

from tests.lab.conftest import figure, kept
from tests.lab.told import INSIDE, PYTHON

APPS, DYNOS = 20, 50
WEBS = DYNOS - APPS  # each has a worker
UP = f"""names=$(dyno apps --json | grep -o '"app[0-9]*"' | tr -d '"' | sort -u)
until [ "$(for app in $names; do dyno ps -a $app; done | grep -c ': up ')" = {DYNOS} ]; do sleep 1; done
for app in $names; do curl -sf -m 60 -H "Host: $app.localhost" http://127.0.0.1:8080/ >/dev/null && echo $app; done"""
STARTED = "pgrep -fc '^python3 -m http.server' || true; pgrep -fc '^/bin/bash ./worker.sh' || true"


@pytest.mark.timeout(3000)
def test_every_dyno_serves_again_after_a_reboot_and_nothing_runs_twice(machine, app):
    with kept(machine, "reboot"):
        machine.sh(f"{PYTHON} -P {INSIDE}/apps.py {APPS} {DYNOS}; dyno ps:scale web=0 -a {app}", cap=900)
        assert len(machine.sh(UP, cap=900).split()) == APPS
        machine.stop()
        machine.start()
        answered = machine.sh(UP, cap=900).split()
        seconds = float(machine.sh("cut -d' ' -f1 /proc/uptime"))
        boot = machine.sh("systemctl is-system-running --wait >/dev/null; systemd-analyze | head -1").strip()
        assert len(answered) == APPS
        assert machine.sh(STARTED).split() == [str(WEBS), str(APPS)]
        for name in answered:
            rows = json.loads(machine.sh(f"dyno ps -a {name} --json"))
            assert len({row["name"] for row in rows}) == len(rows)
        figure(
            "reboot",
            dynos=DYNOS,
            apps=APPS,
            seconds=seconds,
            boot=boot,
            ratio=round(seconds / total(boot), 2),
        )
        assert machine.sh("systemctl --failed --plain --no-legend") == ""


def total(said):
    """Seconds of `Startup finished in 9.1s (kernel) + 1min 2.5s (userspace) = 1min 11.6s`."""
    minutes, seconds = re.search(r"= (?:(\d+)min )?([\d.]+)s", said).groups()
    return 60 * int(minutes or 0) + float(seconds)
