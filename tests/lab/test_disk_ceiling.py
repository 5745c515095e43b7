"""The disk ceiling where Debian's kernel and systemd are: project quotas for real, and slots over a power cut."""

import pytest

from tests.lab.conftest import deployed, figure, serves
from tests.lab.test_walls import PYTEST

SLOTS = "/var/lib/dynod/dynos/.slots"


@pytest.mark.timeout(3600)
def test_project_quotas_hold_and_nothing_is_skipped(machine):
    machine.sh(
        "rm -rf /srv/src && mkdir /srv/src && cd /srv/dynod && cp -r pyproject.toml dynod router slugc tests examples /srv/src/ && "
        "cc -O2 -Wall -static -o /opt/lab/venv/bin/dyno-init /srv/src/dynod/jail/init.c"
    )
    rooms = "tests/linux/test_jail_quota.py -k 'ext4 or count'"
    done = machine.run("bash", "-c", f"cd /srv/src && {PYTEST} {rooms}", cap=3000)
    last = done.out.strip().splitlines()[-1]
    figure("project quotas", said=last)
    assert done.status == 0, done.out[-6000:] + done.err[-2000:]
    assert "skipped" not in last


def test_after_a_power_cut_every_slot_is_of_a_dyno_or_ready_and_no_other_image_is_left(machine):
    deployed(machine, "hello", "examples/shell")
    assert images(machine)
    machine.cut()
    machine.start()
    serves(machine, "hello")
    same = f'[ "$(ls -d {SLOTS}/[0-9]* | sort)" = "$(losetup -nO BACK-FILE | sort)" ]'
    machine.sh(f"timeout 60 bash -c 'until {same}; do sleep 1; done'")  # one may just be in the making


def images(machine):
    return machine.sh(f"ls -d {SLOTS}/[0-9]*").split()
