"""The machine goes down in order and comes up again: everything that ran runs, with no hand."""

import json
import time

from tests.lab.conftest import DEPLOY, figure

APPS = 4
WEBS = 2


def ps(machine, app):
    return json.loads(machine.sh(f"dyno ps -a {app} --json"))


def test_every_dyno_serves_again_after_a_reboot_and_nothing_runs_twice(machine):
    names = [f"app{number}" for number in range(APPS)]
    for name in names:
        machine.sh(DEPLOY.format(app=name))
        machine.sh(f"dyno ps:scale web={WEBS} worker=1 -a {name}")
    machine.stop()
    began = time.monotonic()
    machine.start()
    machine.sh(
        "cd /root; for app in "
        + " ".join(names)
        + "; do for i in $(seq 200); do "
        + f"[ $(dyno ps -a $app | grep -c ': up ') = {WEBS + 1} ] && continue 2; sleep 1; done; dyno ps -a $app; exit 1; done"
    )
    all_up = time.monotonic() - began
    for name in names:
        machine.sh(f"curl -sf -H 'Host: {name}.localhost' http://127.0.0.1:8080/ | grep -q Hello")
        assert sorted(dyno["name"] for dyno in ps(machine, name)) == ["web.1", "web.2", "worker.1"]
    boot = machine.sh("systemd-analyze | head -1").strip()
    inits = int(
        machine.sh(
            "ls -d /sys/fs/cgroup/dynod/*/*/ | while read d; do [ -s $d/cgroup.procs ] && echo; done | wc -l"
        )
    )
    figure("reboot", dynos=APPS * (WEBS + 1), seconds=round(all_up, 1), boot=boot)
    warm = 4
    assert inits <= APPS * (WEBS + 1) + warm + 1
    assert machine.sh("systemctl --failed --plain --no-legend") == ""
