"""What the network helper loads, since it idles in memory for good: pyroute2 only in the process that looks at the machine and ends."""

import subprocess
import sys

import pytest

from dynod.net import survey

LOOK = "import sys; {}; print(*sorted({{'.'.join(n.split('.')[:2]) for n in sys.modules if n.startswith('pyroute2')}}))"


def loaded(code):
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOOK.format(code)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_helper_itself_has_no_pyroute2():
    assert loaded("import dynod.net.__main__") == set()


def test_of_pyroute2_only_what_speaks_rtnetlink_is_loaded():
    found = loaded(
        "import os; sys.stdout = open(os.devnull, 'w'); from dynod.net import survey; survey.main(); sys.stdout = sys.__stdout__"
    )
    assert {"pyroute2.iproute", "pyroute2.netlink"} <= found
    assert found.isdisjoint({"pyroute2.ndb", "pyroute2.ipdb", "pyroute2.plan9", "pyroute2.nftables"})


def test_who_cannot_look_says_why(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="cannot look at this machine's networks: it ended with 1"):
        survey.survey()
