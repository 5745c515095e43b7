"""Version 2 on the kernel's own tree, as far as this machine has one: entering, killing, naming; a missing controller."""

import os
import signal
import subprocess

import pytest
from jailed import PATIENCE, TestHost

from dynod.jail.cgroup_v2 import CgroupsV2
from dynod.jail.sweep import remove_group

pytestmark = pytest.mark.linux


def tree():
    with open("/proc/self/mounts") as mounts:
        return next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)


@pytest.fixture
def under():
    top = tree()
    if top is None:
        pytest.skip("no version 2 tree is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
    path = f"{top}/dynod-test-{os.getpid()}"
    yield path
    for directory in (f"{path}/inst", path):
        if os.path.isdir(directory):
            remove_group(directory)


def test_a_group_is_entered_through_its_door_and_killed_whole(under):
    groups = CgroupsV2(under, "inst")
    os.makedirs(f"{under}/inst")
    groups.make("embryo-1")
    (door,) = groups.doors("embryo-1")
    script = 'echo 0 > "$0"; sleep 1000 & echo in; wait'
    process = subprocess.Popen(["sh", "-c", script, door], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    with open(door) as inside:
        assert str(process.pid) in inside.read().split()
    assert groups.names() == ["embryo-1"]
    groups.kill("embryo-1")
    assert process.wait(PATIENCE) == -signal.SIGKILL
    assert process.stdout.read() == b""  # the child that held it is gone too
    process.stdout.close()
    remove_group(*groups.directories("embryo-1"))
    groups.remove()
    assert not os.path.exists(under)


def test_a_host_told_to_use_a_tree_without_controllers_says_what_is_missing(under):
    with open(f"{os.path.dirname(under)}/cgroup.controllers") as there:
        if "memory" in there.read().split():
            pytest.skip("this machine's version 2 tree has the controllers")
    with TestHost() as host:
        with pytest.raises(AssertionError, match="has no cpu, memory, pids; delegate it"):
            host.start("--cgroup", under)
        host.process.stderr.close()
        host.process = None
        assert not os.path.exists(under)
