"""A test's disk in a file leaves no mount and no loop device behind, even one that could not be made whole."""

import subprocess
from pathlib import Path

import pytest
from support import whole

from tests.lab_parts.disk import Disk

pytestmark = pytest.mark.linux("mkfs.btrfs", "mkfs.ext4")


def test_a_disk_that_is_half_made_is_taken_away(tmp_path, monkeypatch):
    (programs := tmp_path / "bin").mkdir()
    (fails := programs / "mkfs.ext4").write_text("#!/bin/sh\necho no luck >&2; exit 1\n")
    fails.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    with pytest.raises(AssertionError, match="no luck"):
        Disk(tmp_path)
    nothing_of(tmp_path)


def test_a_disk_that_is_closed_is_gone(tmp_path):
    Disk(tmp_path).close()
    nothing_of(tmp_path)


def nothing_of(base: Path):
    assert whole.left(base) == []
    behind = subprocess.run(["losetup", "-nO", "BACK-FILE"], capture_output=True, text=True, check=True)
    assert str(base) not in behind.stdout
