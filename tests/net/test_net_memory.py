"""What the network helper loads: pyroute2's rtnetlink and no more of it, since it idles in memory for good."""

import subprocess
import sys

LOOK = "import sys, dynod.net.__main__; print(*sorted({'.'.join(n.split('.')[:2]) for n in sys.modules if n.startswith('pyroute2.')}))"


def test_of_pyroute2_only_what_speaks_rtnetlink_is_loaded():
    done = subprocess.run([sys.executable, "-P", "-c", LOOK], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"pyroute2.iproute", "pyroute2.netlink"} <= loaded
    assert loaded.isdisjoint({"pyroute2.ndb", "pyroute2.ipdb", "pyroute2.plan9", "pyroute2.nftables"})
