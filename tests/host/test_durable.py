"""Files that are whole or not there: their mode, and what a disk that takes no more leaves of them."""

import os
import subprocess
import sys

import pytest

from dynod.host.durable import write_durably

# No file of this process may be larger than a page: what is more fails as on a full disk, in the middle of it.
# A process of its own, as what pytest prints goes to a file, too.
ON_A_SMALL_DISK = """
import resource, sys
from dynod.host.durable import write_durably
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_durably(sys.argv[1], bytes(10_000), 0o600)
except OSError as error:
    sys.exit(error.strerror)
"""


@pytest.mark.parametrize("umask", [0, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_whatever_the_umask_is(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_durably(f"{tmp_path}/key", b"secret", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == mode


def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path):
    write_durably(f"{tmp_path}/key", b"old", 0o600)
    argv = [sys.executable, "-c", ON_A_SMALL_DISK, f"{tmp_path}/key"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "File too large\n")
    assert (tmp_path / "key").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]
