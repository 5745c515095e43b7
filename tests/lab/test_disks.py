"""The state on a disk of its own that forgets, fills up or errs: nothing acknowledged is lost, refusals are clear, apps serve on."""

import json
import random
import shutil
import time

import pytest

from lab import faults
from lab.faults import Disk, inflicted
from lab.machine import CACHE, Machine
from tests.lab.conftest import deployed, figure, kept, page, serves
from tests.lab.told import INSIDE, PYTHON, Told
from tests.lab.under_load import cost

STATE = "/var/lib/dynod"
DISK = Disk()
ROUNDS = 10
LONGEST = 25.0  # seconds of changes before the disk forgets
UNITS = "dynod.service dyno-router.service dyno-logplex.service dyno-net.service dyno-host.service"
# As `make uninstall` ends dynos: they outlive their host, and hold what is mounted.
DOWN = f"""systemctl stop dynod.target {UNITS} $(cd /etc/systemd/system && ls dyn*.socket)
timeout 120 systemd-run --quiet --pipe --wait -p Type=notify -p KillMode=mixed -p ExecStartPost='/bin/kill $MAINPID' \
/opt/dynod/venv/bin/python -P -m dynod host --end-dynos --run /run/dynod --state {STATE} >/dev/null 2>&1 || true
until umount {STATE}; do fuser -vm {STATE} >&2 || true; sleep 1; done"""
UP = f"mount /dev/mapper/{DISK.name} {STATE} && systemctl start dynod.target"
CHANGES = (
    "rm -f /run/changes.log; systemd-run -q --unit=changes -p StandardOutput=truncate:/run/changes.log -p StandardError=journal "
    f"--setenv=HOME=/root {PYTHON} -P {INSIDE}/changes.py {{app}} {{seed}}"
)


@pytest.fixture(scope="module")
def machine(disk):
    """A machine whose state lies on a further disk, behind the device mapper."""
    home = CACHE / "test-disks"
    made = Machine(home, backing=disk, extra=("2G",))
    try:
        figure("boot", seconds=round(made.start(), 1))
        made.sh("systemctl is-system-running --wait || systemctl --failed; systemctl is-active dynod.service")
        made.sh(
            f"{DOWN.splitlines()[0]}\n{DOWN.splitlines()[1]}\ncp -a {STATE} /root/state; {DISK.make(STATE)}; "
            f"cp -a /root/state/. {STATE}/; systemctl start dynod.target"
        )
        yield made
    finally:
        made.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def app(machine):
    return deployed(machine, "hello", "examples/shell")


@pytest.fixture(scope="module")
def counting(machine):
    deployed(machine, "counting", "tests/lab/counting")
    machine.sh("dyno ps:scale worker=1 -a counting && dyno logs --tail -a counting | grep -m1 ': number '")
    return "counting"


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_disk_that_forgot_what_was_not_synced_holds_all_that_was_acknowledged(machine, app, seed):
    """From one moment on no write reaches it, as if the power had gone: what came before it by sync is there, the rest never was."""
    told = Told()
    with kept(machine, f"forgetting-{seed}"):
        machine.sh(CHANGES.format(app=app, seed=1000 + seed))
        machine.sh("until [ -s /run/changes.log ]; do sleep 0.1; done")
        moment = random.Random(seed).uniform(0, LONGEST)
        told.hear(
            "out", machine.sh(f"sleep {moment:.2f}; cat /run/changes.log; {DISK.forgetting()}").encode()
        )
        machine.sh(f"systemctl stop changes; {DOWN}; {DISK.healthy()}; {UP}")
        began = time.monotonic()
        serves(machine, app)
        serving = time.monotonic() - began
        found = json.loads(machine.sh(f"{PYTHON} -P {INSIDE}/look.py {app}"))
        figure(
            "forgetting disk",
            seed=seed,
            acknowledged=told.counts(),
            during=told.under_way(),
            serving=round(serving, 1),
        )
        told.holds(found, page(machine, app))


@pytest.mark.timeout(1200)
def test_on_a_full_disk_changes_are_refused_clearly_and_apps_serve_on(machine, app, counting):
    with kept(machine, "full"):
        machine.sh(f"dyno config:set FULL=before -a {app}")
        serves(machine, app)
        refusals = "\n".join(
            f"{command} >/run/said 2>&1; echo $? >>/run/said; cat /run/said >>/run/refused"
            for command in (
                f"timeout 60 dyno config:set FULL=yes -a {app}",
                f"cd /srv/dynod; timeout 120 sh lab/deploy {app} tests/lab/counting",
            )
        )
        with inflicted(machine, faults.full(STATE)):
            found = cost(
                machine, app, f"set +e; rm -f /run/refused; {refusals}; set -e; df {STATE} | tail -1"
            )
            said = machine.sh("cat /run/refused")
            value = machine.sh(f"dyno config:get FULL -a {app}").strip()
            serves(machine, app)
        began = time.monotonic()
        machine.sh(f"until dyno config:set FULL=no -a {app}; do sleep 0.5; done", cap=120)
        again = time.monotonic() - began
        found.figure("full disk", said=said, again=round(again, 1))
        machine.sh(
            f'[ "$(dyno config:get FULL -a {app})" = no ]; cd /srv/dynod; sh lab/deploy {app} examples/shell'
        )
        serves(machine, app)
        assert (found.failed, found.dynos_ended) == (0, 0), found
        assert "Traceback" not in said
        assert "disk" in said or "space" in said, said
        assert value == "before"


@pytest.mark.timeout(1200)
def test_on_a_disk_that_errs_changes_are_refused_clearly_and_apps_serve_on(machine, app, counting):
    with kept(machine, "erring"):
        machine.sh(f"dyno config:set ERR=before -a {app}")
        serves(machine, app)
        script = (
            f"{DISK.erring()}; set +e; rm -f /run/refused; for n in 1 2 3; do "
            f"timeout 60 dyno config:set ERR=$n -a {app} >>/run/refused 2>&1; echo $? >>/run/refused; sleep 2; done; set -e"
        )
        found = cost(machine, app, script)
        said = machine.sh("cat /run/refused")
        serves(machine, app)
        began = time.monotonic()
        machine.sh(f"{DISK.healthy()}; {DOWN}; e2fsck -p /dev/mapper/{DISK.name} || [ $? -le 2 ]; {UP}")
        serves(machine, app)
        found.figure("erring disk", said=said, again=round(time.monotonic() - began, 1))
        value = machine.sh(f"dyno config:get ERR -a {app}").strip()
        accepted = [
            number
            for number, line in enumerate(line for line in said.splitlines() if line.isdigit())
            if line == "0"
        ]
        assert (found.failed, found.dynos_ended) == (0, 0), found
        assert "Traceback" not in said
        assert value == (str(accepted[-1] + 1) if accepted else "before"), said
        machine.sh(f"dyno config:set ERR=no -a {app}")
        serves(machine, app)
