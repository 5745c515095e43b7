"""Files that are whole or not there: their mode, and what a disk that takes no more leaves of them."""

import os
import resource

import pytest

from dynod.host.durable import write_durably


@pytest.fixture
def small_disk():
    """No file may be larger than a page: what is more fails as on a full disk, in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


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


@pytest.mark.usefixtures("small_disk")
def test_what_cannot_be_written_whole_leaves_what_was_there(tmp_path):
    write_durably(f"{tmp_path}/key", b"old", 0o600)
    with pytest.raises(OSError, match="File too large"):
        write_durably(f"{tmp_path}/key", bytes(10_000), 0o600)
    assert (tmp_path / "key").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]
