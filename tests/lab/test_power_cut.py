"""The plug is pulled at random moments while changes are made: what was acknowledged is there, and all of it fits together."""

import contextlib
import json
import os
import random
import threading
import time

import pytest

from lab.machine import LabError
from tests.lab.conftest import figure, serves

ROUNDS = int(os.environ.get("LAB_ROUNDS", "3"))
PYTHON = "/opt/dynod/venv/bin/python"
CHECK = f"""{PYTHON} - <<'END'
import json, os, sqlite3
found = {{}}
for name in ("ledger.db", "observations.db"):
    with sqlite3.connect(f"file:/var/lib/dynod/{{name}}?mode=ro", uri=True) as db:
        found[name] = db.execute("PRAGMA integrity_check").fetchone()[0]
        if name == "ledger.db":
            revisions = [row[0] for row in db.execute("SELECT revision FROM ledger ORDER BY revision")]
            found["gaps"] = [one for before, one in zip(revisions, revisions[1:]) if one != before + 1]
            found["entries"] = len(revisions)
found["slugs"] = sorted(name for name in os.listdir("/var/lib/dynod/slugs") if name.startswith((".", "new")))
print(json.dumps(found))
END"""


def changes(machine, app, seed, lines, enough):
    """Make changes until the machine ends; `lines` grows by what was acknowledged."""

    def hear(kind, data):
        assert kind == "out", data
        lines.extend(data.decode().splitlines())
        if len(lines) >= enough[0]:
            enough[1].set()

    with contextlib.suppress(LabError):  # that was the plug
        machine.hear([PYTHON, "-P", "/srv/dynod/tests/lab/changes.py", app, seed], 3600, hear)
    enough[1].set()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nothing_acknowledged_is_lost(machine, app, seed):
    chance = random.Random(seed)
    lines, told = [], threading.Event()
    maker = threading.Thread(
        target=changes, args=(machine, app, str(seed), lines, (chance.randint(3, 12), told))
    )
    maker.start()
    assert told.wait(300)
    threading.Event().wait(chance.random() * 2)  # so that the cut falls anywhere between two acknowledgements
    machine.pull()
    maker.join(60)
    assert lines, "no change was acknowledged"
    boot = machine.start()
    began = time.monotonic()
    serves(machine, app)
    serving = time.monotonic() - began
    found = json.loads(machine.sh(CHECK))
    assert (found["ledger.db"], found["observations.db"], found["gaps"], found["slugs"]) == (
        "ok",
        "ok",
        [],
        [],
    )
    last = dict(line.split() for line in lines)
    count = int(json.loads(machine.sh(f"dyno config -a {app} --json"))["COUNT"])
    newest = max(row["version"] for row in json.loads(machine.sh(f"dyno releases -a {app} --json")))
    workers = sum(dyno["type"] == "worker" for dyno in json.loads(machine.sh(f"dyno ps -a {app} --json")))
    figure(
        "power cut",
        seed=seed,
        acknowledged=len(lines),
        boot=round(boot, 1),
        serving=round(serving, 1),
        entries=found["entries"],
    )
    assert int(last["count"]) <= count <= int(last["count"]) + 1
    assert newest >= int(last.get("release", "v0").removeprefix("v"))
    if lines[-1].startswith("worker"):
        assert workers == int(last["worker"])
