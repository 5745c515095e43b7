"""The dyno host's own tests, where version 2 is the only hierarchy of control groups."""

import pytest

from tests.lab.inside import passes

ROOMS = {
    "limits": "tests/linux/test_jail_ends.py tests/linux/test_jail_cgroup_v2.py tests/linux/test_jail_host_dies.py",
    "all of them": "tests/linux",
    "parts": "tests/jail tests/net",
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rooms", ROOMS)
def test_the_walls_stand_on_version_2(machine, rooms):
    passes(machine, ROOMS[rooms], "walls on v2", rooms=rooms)
