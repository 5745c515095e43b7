"""`make install` over an older version that serves, by its own units and virtual environment: no request fails, no dyno is started again."""

import os
import subprocess

import pytest

from lab.__main__ import INSTALL
from lab.image import ROOT
from tests.lab.conftest import SETTLED, deployed, kept, running, serves
from tests.lab.under_load import cost

OLDER = "rm -rf /srv/older && mkdir /srv/older && tar -x -C /srv/older -f /srv/out/older.tar"
MAIN = "systemctl show -P MainPID dyno-net dyno-host dyno-logplex dynod | grep ."


def git(*argv):
    return (
        subprocess.run(["git", "-C", ROOT, *argv], capture_output=True, check=False).stdout.decode().strip()
    )


@pytest.fixture(scope="module")
def older():
    """The version that LAB_OLDER names; else the first whose programs say which language they speak (dynod/model/spoken.py)."""
    added = git("log", "--diff-filter=A", "--format=%H", "--", "dynod/model/spoken.py").split()
    commit = os.environ.get("LAB_OLDER") or (added[-1] if added else "")
    parent = git("rev-parse", "--verify", "--quiet", f"{commit}^")
    if not commit or not parent:
        pytest.skip("needs this repository's history: git fetch --unshallow")
    return commit


@pytest.fixture(scope="module")
def machine(older, request):
    """A machine on which the older version was installed, and nothing before it."""
    with running(request.module) as made:
        git("archive", "-o", str(made.out / "older.tar"), older)
        made.sh(OLDER)
        made.sh(INSTALL.replace("/srv/dynod", "/srv/older"), cap=1800)
        made.sh(SETTLED)
        yield made


@pytest.mark.timeout(3600)
def test_an_install_over_an_older_version_fails_no_request_and_starts_no_dyno_again(
    machine, app, counting, older
):
    before = pids(machine)
    with kept(machine, "upgrade"):
        found = cost(machine, app, INSTALL, cap=1800).figure("install over an older version", older=older[:7])
        assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found
        assert found.requests > 100
        assert machine.sh("systemctl --failed --plain --no-legend") == ""
        assert before.isdisjoint(pids(machine)), "every program is of the new version"
        deployed(machine, "later", "examples/shell")
        machine.sh(f"dyno restart -a {app}")
        serves(machine, app)


def pids(machine):
    """Of the programs, and of the router's workers: its master becomes the new one and keeps its own."""
    return set(machine.sh(f"{MAIN}; pgrep -P $(systemctl show -P MainPID dyno-router)").split())
