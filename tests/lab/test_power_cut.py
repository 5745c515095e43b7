"""The plug is pulled at random moments of pushes, scales, rollbacks and config changes: what was acknowledged is there, and all fits."""

import contextlib
import os
import random
import threading

import pytest

from lab.way import LabError
from tests.lab.conftest import held, kept, serves
from tests.lab.told import INSIDE, PYTHON, Told

ROUNDS = int(os.environ.get("LAB_ROUNDS", "3"))
LONGEST = 45.0  # seconds of changes before a cut
BOOTING = (10.0, 35.0)  # when, in every fourth round, the machine that comes up again loses its power too


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
    if not machine.runs:  # a round before this one failed
        machine.start()
        serves(machine, app)
    maker = threading.Thread(target=changes, args=(machine, app, str(seed), told))
    maker.start()
    assert told.began.wait(300)
    threading.Event().wait(chance.uniform(1, LONGEST))  # so that the cut falls anywhere
    alive = maker.is_alive()
    machine.pull()
    maker.join(60)
    assert alive, told.said[-10:]
    seconds = boot(machine, chance, seed)
    with kept(machine, f"power-cut-{seed}"):
        held(machine, app, told, "power cut", seed=seed, boot=round(seconds, 1))
