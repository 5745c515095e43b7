"""The state on a disk that takes its time (dm-delay): changes take longer, nothing fails."""

import pytest

from tests.lab.conftest import kept, serves
from tests.lab.test_disks import DISK, machine  # noqa: F401  # the machine with a disk behind the device mapper
from tests.lab.under_load import cost

SLOW = 200  # milliseconds, of every read and write


@pytest.mark.timeout(3600)
def test_a_slow_disk_slows_changes_and_fails_nothing(machine, app, counting):  # noqa: F811  # as above
    with kept(machine, "slow-disk"):
        try:
            script = f"{DISK.slow(SLOW, SLOW)}; dyno config:set SLOW=yes -a {app}; dyno config:get SLOW -a {app} | grep -x yes; sleep 10"
            found = cost(machine, app, script, cap=1200).figure("slow disk", milliseconds=SLOW)
        finally:
            machine.sh(DISK.healthy())
        assert (found.failed, found.missing) == (0, 0), found
        machine.sh(f"dyno config:set SLOW=no -a {app}")
        serves(machine, app)
