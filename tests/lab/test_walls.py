"""The dyno host's own tests, where version 2 is the only hierarchy of control groups."""

import pytest

from tests.lab.conftest import figure

PYTEST = (
    "PYTHONPATH=/srv/src /opt/lab/venv/bin/python -m pytest -q -p no:cacheprovider --timeout 300 -W error"
)
ROOMS = {
    "limits": "tests/linux/test_jail_ends.py tests/linux/test_jail_cgroup_v2.py tests/linux/test_jail_host_dies.py",
    "all of them": "tests/linux",
    "parts": "tests/jail tests/net",
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rooms", ROOMS)
def test_the_walls_stand_on_version_2(machine, rooms):
    machine.sh(
        "rm -rf /srv/src && mkdir /srv/src && cd /srv/dynod && cp -r pyproject.toml dynod router slugc tests examples /srv/src/ && "
        "cc -O2 -Wall -static -o /opt/lab/venv/bin/dyno-init /srv/src/dynod/jail/init.c"
    )
    done = machine.run("bash", "-c", f"cd /srv/src && {PYTEST} {ROOMS[rooms]}", cap=3000)
    last = done.out.strip().splitlines()[-1]
    figure("walls on v2", rooms=rooms, said=last)
    assert done.status == 0, done.out[-6000:] + done.err[-2000:]
