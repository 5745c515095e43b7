"""What the keeper of slots does of itself, without a host: in a process of its own, because it sets signals."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.linux

DROP = """
import os, sys
from dynod.jail import keeper

directory = sys.argv[1]
said, (root, tree) = keeper.make(f"{directory}/slot", 64 * 1024**2, 100)
os.close(os.open("before", os.O_CREAT, dir_fd=root))
os.mkdir(f"{directory}/unlinkable")
try:
    keeper.drop(f"{directory}/unlinkable", [root, tree])
except OSError as error:
    print("told:", error.strerror)
try:
    os.close(os.open("after", os.O_CREAT, dir_fd=root))
except OSError as error:
    print("shut down:", error.strerror)
"""


def test_a_slot_whose_image_cannot_be_removed_takes_no_more_writes_all_the_same(tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", DROP, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert said.splitlines() == ["told: Is a directory", "shut down: Input/output error"]
