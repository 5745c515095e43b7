"""What is said of a disk that is full or broken."""

import pytest

from dynod.core.disk import BROKEN, lines
from dynod.model.formation import GIB, MIB


@pytest.mark.parametrize(
    ("disk", "said"), [(4 * GIB, "all of its 4G are used"), (1536 * MIB, "1.5G"), (512 * MIB, "512M")]
)
def test_a_full_disk_is_told_with_its_size(disk, said):
    (line,) = lines("full", disk)
    assert line.startswith("Disk full: ")
    assert said in line


def test_a_broken_disk_is_told_with_what_follows():
    assert lines(BROKEN, GIB)[1] == "Stopping process with SIGKILL"
