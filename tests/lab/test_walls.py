"""The tests of the dyno host, the network helper and the disks, where version 2 is the only hierarchy of control groups.

One test here is one file of theirs: what passes, fails and is skipped is kept for each, and a skip that nobody wrote down below is a failure.
"""

import re

import pytest

from lab.image import ROOT
from tests.lab.conftest import figure

# The way in may not be killed for want of memory, and its children with it: here they may.
PYTEST = "PYTHONPATH=/srv/src DYNOD_TEST_PATIENCE=10 choom -n 0 -- /opt/lab/venv/bin/python -m pytest -v -rsfE -p no:cacheprovider --timeout 1800 -W error"
SOURCES = "pyproject.toml README.md dynod router slugc tests examples docs"
TREE = (
    f"rm -rf /srv/src && mkdir /srv/src && cd /srv/dynod && cp -r {SOURCES} /srv/src/ && "
    "cc -O2 -Wall -static -o /opt/lab/venv/bin/dyno-init /srv/src/dynod/jail/init.c"
)
ROOMS = (
    "tests/jail",
    "tests/net",
    *sorted(f"tests/linux/{path.name}" for path in (ROOT / "tests/linux").glob("test_*.py")),
)
SKIPS = {
    "tests/linux/test_jail_cgroup_v2.py": {"this machine's version 2 tree has the controllers": 1},
    "tests/linux/test_memory_alarms.py": {"version 2's alarms are set at once, by no thread": 1},
}
SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] \S+: (.*)$", re.MULTILINE)
COUNTED = re.compile(r"(\d+) (passed|failed|skipped|error)")


@pytest.fixture(scope="module")
def tree(machine):
    """The sources on the machine's own disk, as root's, to be tested there."""
    machine.sh(TREE)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("room", ROOMS)
def test_the_walls_stand_on_version_2(machine, tree, room):
    done = machine.run("bash", "-c", f"cd /srv/src && {PYTEST} {room}", cap=3000)
    said = done.out[-20_000:] + done.err[-2000:]
    counts = {word: int(count) for count, word in COUNTED.findall(done.out.strip().splitlines()[-1])}
    skips = {why: int(count) for count, why in SKIPPED.findall(done.out)}
    figure("walls on v2", room=room, **counts, skips=skips)
    assert (done.status, counts.get("failed", 0), counts.get("error", 0)) == (0, 0, 0), said
    assert counts["passed"] > 0
    assert skips == SKIPS.get(room, {}), said
