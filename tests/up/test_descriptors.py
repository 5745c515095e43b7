"""How many files the programs may open: as many as the machine lets them, since each dyno costs them some."""

import json
import resource
import subprocess
import sys

import pytest

LOOK = """
import json, resource, sys
from dynod import daemon
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
status = daemon.main(["--config", "/nowhere/dynod.toml"])
print(json.dumps([status, *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


def test_the_control_plane_takes_what_it_may_have_and_not_what_a_shell_or_systemd_begins_with():
    """Under systemd each program is its own unit and begins with 1,024: a thousand dynos would have been too many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard <= 64:
        pytest.skip("this machine lets nobody have more")
    done = subprocess.run([sys.executable, "-P", "-c", LOOK], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, hard, hard]
