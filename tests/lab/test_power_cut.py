"""The plug is pulled at random moments of pushes, scales, rollbacks and config changes: what was acknowledged is there, and all fits."""

import contextlib
import json
import os
import random
import threading
import time

import pytest

from lab.machine import LabError
from tests.lab.conftest import figure, kept, serves

ROUNDS = int(os.environ.get("LAB_ROUNDS", "3"))
PYTHON = "/opt/dynod/venv/bin/python"
INSIDE = "/srv/dynod/tests/lab"
LONGEST = 45.0  # seconds of changes before a cut
BOOTING = (10.0, 35.0)  # when, in every fourth round, the machine that comes up again loses its power too


class Told:
    """What a client was told: the last acknowledged value of each thing, and what it was about to change when all went dark."""

    def __init__(self):
        self.lines, self.wrong, self.under_way = [], [], None
        self.last, self.counts = {}, {}
        self.began = threading.Event()

    def hear(self, kind, data):
        for line in data.decode().splitlines():
            if kind != "out":
                self.wrong.append(line)
                continue
            self.lines.append(line)
            word, what, value, *_ = line.split()
            self.under_way = (what, value) if word == "try" else None
            if word == "did":
                self.last[what] = self.last["code" if what in {"push", "rollback"} else what] = value
                self.counts[what] = self.counts.get(what, 0) + 1
        self.began.set()

    def may_be(self, *whats):
        """Return what may be found now: the last acknowledged, or what was under way."""
        found = {self.last[what] for what in whats if what in self.last}
        return found | {value for what, value in [self.under_way or ("", "")] if what in whats}


def changes(machine, app, seed, told):
    """Make changes until the machine ends."""
    with contextlib.suppress(LabError):  # that was the plug
        machine.hear([PYTHON, "-P", f"{INSIDE}/changes.py", app, seed], 3600, told.hear)
    told.began.set()


def boot(machine, chance, seed):
    """Start again; in every fourth round lose the power once more on the way up."""
    if seed % 4 == 3:
        plug = threading.Timer(chance.uniform(*BOOTING), machine.pull)
        plug.start()
        with contextlib.suppress(LabError):
            machine.start()
        plug.join()
    return machine.start()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nothing_acknowledged_is_lost(machine, app, seed):
    chance = random.Random(seed)
    told = Told()
    maker = threading.Thread(target=changes, args=(machine, app, str(seed), told))
    maker.start()
    assert told.began.wait(300)
    threading.Event().wait(chance.uniform(1, LONGEST))  # so that the cut falls anywhere
    machine.pull()
    maker.join(60)
    assert told.lines
    assert told.wrong == []
    seconds = boot(machine, chance, seed)
    with kept(machine, f"power-cut-{seed}"):
        began = time.monotonic()
        serves(machine, app)
        serving = time.monotonic() - began
        found = json.loads(machine.sh(f"{PYTHON} -P {INSIDE}/look.py {app}"))
        figure(
            "power cut",
            seed=seed,
            acknowledged=told.counts,
            during=told.under_way,
            boot=round(seconds, 1),
            serving=round(serving, 1),
            entries=found["entries"],
        )
        assert (found["ledger.db"], found["observations.db"], found["gaps"]) == ("ok", "ok", [])
        assert found["unlike their archive"] == found["half made"] == found["repositories that err"] == []
        assert found["running"] == found["formation"], "formation"
        for what in ("count", "web", "worker"):
            if what in told.last:
                assert str({**found, **found["formation"]}[what]) in told.may_be(what)
        pages(machine, app, told, found)


def pages(machine, app, told, found):
    """The newest release's slug is the one that was acknowledged last, and its page is served."""
    pushed = told.last.get("push")
    said = machine.sh(f"curl -sf -H 'Host: {app}.localhost' http://127.0.0.1:8080/")
    assert said == found["page"], "served is what lies in the slug of the newest release"
    newest = [
        line.split()[2]
        for line in told.lines
        if line.startswith("did") and line.split()[1] in {"push", "rollback"}
    ][-1:]
    allowed = {
        *newest,
        *(value for what, value in [told.under_way or ("", "")] if what in {"push", "rollback"}),
    }
    if newest:
        assert {found["slug"], found["page"].removeprefix("page ").strip()} & allowed, (pushed, allowed)
