"""The disk ceiling's slots over a power cut. Project quotas, for which the lab has ext4 and XFS: test_walls.py -k quota."""

import pytest

from tests.lab.conftest import deployed, serves

pytestmark = pytest.mark.timeout(3600)  # whichever is first waits for the installing
SLOTS = "/var/lib/dynod/dynos/.slots"


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
