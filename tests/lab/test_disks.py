"""The state on a disk of its own that forgets, fills up or errs: nothing acknowledged is lost, refusals are clear, apps serve on."""

import os
import random
import shlex
import time

import pytest

from lab import faults
from lab.faults import Disk, inflicted
from tests.lab.conftest import SETTLED, held, kept, running, serves
from tests.lab.told import INSIDE, PYTHON, Told
from tests.lab.under_load import cost

pytestmark = pytest.mark.timeout(3600)  # whichever is first waits for the installing
STATE = "/var/lib/dynod"
DISK = Disk()
ROUNDS = int(os.environ.get("LAB_ROUNDS", "12"))
ANYWHERE = 8  # rounds whose moment is a random second; as a rule that is one of a push, which takes longest
LONGEST = 25.0  # seconds of changes before it
# From there on the disk forgets within a change, of each kind in turn.
WITHIN = ("config", "scale", "rollback", "push")
UNITS = "dynod.service dyno-router.service dyno-logplex.service dyno-net.service dyno-host.service"
# As `make uninstall` ends dynos: they outlive their host, and hold what is mounted.
STOP = f"systemctl stop dynod.target {UNITS} $(cd /etc/systemd/system && ls dyn*.socket)"
END_DYNOS = (
    "timeout 120 systemd-run --quiet --pipe --wait -p Type=notify -p KillMode=mixed -p ExecStartPost='/bin/kill $MAINPID' "
    f"/opt/dynod/venv/bin/python -P -m dynod host --end-dynos --run /run/dynod --state {STATE} >/dev/null 2>&1 || true"
)
# The second wait: nobody holds the disk in a mount namespace of his own, who would write to it once it is well again.
UNMOUNT = f"""until umount {STATE}; do fuser -vm {STATE} >&2 || true; sleep 1; done
until [ $(dmsetup info -c --noheadings -o open {DISK.name}) = 0 ]; do sleep 0.2; done"""
DOWN = f"{STOP}\n{END_DYNOS}\n{UNMOUNT}"
UP = f"mount /dev/mapper/{DISK.name} {STATE} && systemctl start dynod.target"
CHANGES = (
    "systemctl reset-failed changes 2>/dev/null || true; rm -f /run/changes.log; systemd-run -q --unit=changes -p StandardOutput=truncate:/run/changes.log -p StandardError=journal "
    f"--setenv=HOME=/root {PYTHON} -P {INSIDE}/changes.py {{app}} {{seed}}; until [ -s /run/changes.log ]; do sleep 0.1; done"
)
NO_MORE = "systemctl stop changes || true; systemctl reset-failed changes 2>/dev/null || true"
# How many lines were said when the disk began to forget, and all that were said until a little later: those may be there, or not.
FORGET = f"sleep {{moment:.2f}}; systemctl is-active -q changes; wc -l </run/changes.log; {DISK.forgetting()} >&2; cat /run/changes.log"
FORGET_WITHIN = (
    f"{PYTHON} -P {INSIDE}/forget.py /run/changes.log $(systemctl show -P MainPID changes) {{kind}} {{part:.3f}} {DISK.name} "
    f"{shlex.quote(DISK.forgetting())}; cat /run/changes.log"
)


@pytest.fixture(scope="module")
def machine(disk, request):
    """A machine whose state lies on a further disk, behind the device mapper."""
    with running(request.module, backing=disk, extra=("2G",)) as made:
        made.sh(SETTLED)
        made.sh(
            f"{STOP}\n{END_DYNOS}\ncp -a {STATE} /root/state; {DISK.make(STATE)}; "
            f"cp -a /root/state/. {STATE}/; systemctl start dynod.target"
        )
        yield made


def forget(seed):
    """When the disk forgets, drawn by the seed: at a random second, or within a change of each kind in turn."""
    chance = random.Random(seed)
    if seed < ANYWHERE:
        return FORGET.format(moment=chance.uniform(0, LONGEST))
    return FORGET_WITHIN.format(kind=WITHIN[seed % len(WITHIN)], part=chance.random())


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_disk_that_forgot_what_was_not_synced_holds_all_that_was_acknowledged(machine, app, seed):
    """From one moment on no write reaches it, as if the power had gone: what came before it by sync is there, the rest never was."""
    told = Told()
    with kept(machine, f"forgetting-{seed}"):
        machine.sh(CHANGES.format(app=app, seed=1000 + seed))
        count, _, said = machine.sh(forget(seed)).partition("\n")
        told.hear("out", said.encode())
        machine.sh(f"{NO_MORE}; {DOWN}; {DISK.healthy()}; {UP}")
        held(machine, app, told, "forgetting disk", before=int(count), seed=seed)


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
