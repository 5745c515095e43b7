"""The power goes while changes are made, again and again: what a disk holds at such a moment is a whole platform with all that was told.

The state lies on a file system in a file, of which a clone is taken at random moments (FICLONE, atomic): what had been written through to
the disk by then is in it, what the page cache still held is not. Each clone is then started from. tests/lab/test_power_cut.py does it to
a whole machine.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.lab.told import Told
from tests.lab_parts.disk import Disk, started

pytestmark = [pytest.mark.linux("mkfs.btrfs", "mkfs.ext4"), pytest.mark.e2e, pytest.mark.timeout(900)]

CUTS = int(os.environ.get("POWER_CUTS", "4"))
LONGEST = 3.0  # seconds between two
APP = "hello"
LAB = Path(__file__).parents[1] / "lab"
BIN = os.path.dirname(sys.executable)


@pytest.fixture
def disk(tmp_path):
    tmp_path.chmod(0o755)  # dynos' users pass through
    made = Disk(tmp_path)
    yield made
    made.close()


@contextlib.contextmanager
def changes(platform, told):
    """Change on and on; what is said goes to `told`."""
    env = {
        **{name: value for name, value in os.environ.items() if name != "GIT_SSL_CAINFO"},
        "DYNOD_RUN": platform.run,
        "HOME": str(platform.base),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "TMPDIR": str(platform.base),
    }
    argv = [sys.executable, "-P", str(LAB / "changes.py"), APP, "1"]
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as child:
        readers = [
            threading.Thread(target=lambda kind=kind, pipe=pipe: [told.hear(kind, line) for line in pipe])
            for kind, pipe in (("out", child.stdout), ("err", child.stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            yield child
        finally:
            child.terminate()
            for reader in readers:
                reader.join()


def test_all_that_was_acknowledged_is_there_whenever_the_power_goes(disk):
    told, moments = Told(), []
    with started(disk.base) as platform:
        platform.deploy("shell", APP)
        with changes(platform, told) as child:
            assert told.began.wait(60)
            for number in range(CUTS):
                threading.Event().wait(random.uniform(0, LONGEST))  # so that it falls anywhere
                before = len(told.lines)
                disk.clone(f"cut{number}")
                moments.append((before, len(told.lines)))
            assert child.poll() is None, "\n".join(told.said)
    for number, (before, after) in enumerate(moments):
        disk.take(f"cut{number}")
        with started(disk.base) as platform:
            holds(platform, told, before, after)


def holds(platform, told, before, after):
    """Everything serves, and nothing that was told is missing."""
    look = [sys.executable, "-P", str(LAB / "look.py"), APP, platform.state, platform.run]
    done = subprocess.run(look, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + platform.logs()
    found = json.loads(done.stdout)
    _, served = platform.get(APP)
    print(dict(told.counts(before)), "under way:", told.under_way(before), "entries:", found["entries"])
    told.holds(found, served, before, after)
