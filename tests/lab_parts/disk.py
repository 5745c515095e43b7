"""A disk for a platform's state, in a file: it can be cloned at a moment, filled, and made to err. Needs loop devices, btrfs and ext4."""

import contextlib
import fcntl
import os
import signal
import subprocess
import threading

import pytest
from support import whole

FICLONE = 0x40049409


class Disk:
    """A file in a file system that can clone it, with a file system in it, where a platform in `base` has its state."""

    def __init__(self, base):
        self.base, self.pool, self.state = base, base / "pool", base / "s"
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self):
        for path in (self.pool, self.state):
            path.mkdir()
        pool = self.base / "pool.img"
        for image, size, kind in ((pool, 3 << 30, "btrfs"), (self.pool / "disk", 1 << 30, "ext4")):
            if image != pool:
                tool("mount", "-o", "loop", pool, self.pool)
            with image.open("wb") as file:
                file.truncate(size)
            tool(f"mkfs.{kind}", "-q", image)
        tool("mount", "-o", "loop", self.pool / "disk", self.state)

    def clone(self, name):
        """Keep what the disk holds now."""
        with (self.pool / "disk").open("rb") as disk, (self.pool / name).open("wb") as clone:
            fcntl.ioctl(clone, FICLONE, disk.fileno())

    def take(self, name):
        """Have a clone in the disk's place."""
        tool("umount", self.state)
        tool("mount", "-o", "loop", self.pool / name, self.state)

    def fill(self):
        """Leave no byte of it free."""
        fill(self.state / "filled")

    def free(self):
        (self.state / "filled").unlink()

    def err(self):
        """Let every write to it fail: what lies below has no place for one. Reads go on."""
        fill(self.pool / "filled")

    def mend(self):
        """Have a place for writes again; as with a real disk, what stands on it is to be checked and mounted anew."""
        (self.pool / "filled").unlink()
        tool("sync", "-f", self.pool)  # btrfs gives the place back with its next commit

    def remount(self):
        tool("umount", self.state)
        checked = subprocess.run(
            ["e2fsck", "-fy", self.pool / "disk"], check=False, capture_output=True, text=True
        )
        assert checked.returncode in {0, 1}, checked.stdout  # whole, or made whole
        tool("mount", "-o", "loop", self.pool / "disk", self.state)

    def close(self):
        for place in (self.state, self.pool):
            # lazily: the loop device above lets go of its file a moment after its own umount
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        for _ in range(200):  # the kernel tells nobody when it has let a loop device go
            held = subprocess.run(
                ["losetup", "-j", f"{self.base}/pool.img"], capture_output=True, check=False
            ).stdout
            if not held:
                break
            threading.Event().wait(0.05)


def tool(*argv):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False)
    if done.returncode and argv[0] == "mount":
        pytest.skip(f"needs loop devices, btrfs and ext4 in the kernel: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def fill(path):
    """Write until nothing more goes in."""
    block = bytes(1 << 20)
    with path.open("wb", buffering=0) as file:
        size = len(block)
        while size:
            try:
                file.write(block[:size])
                os.fsync(file.fileno())
            except OSError:
                size //= 4


@contextlib.contextmanager
def started(base):
    platform = whole.start(base)
    try:
        yield platform
    finally:
        platform.up.send_signal(signal.SIGINT)
        try:
            status = platform.up.wait(whole.STOP_CAP)
        except subprocess.TimeoutExpired:  # its children end with it, and let go of the disk
            platform.up.kill()
            platform.up.wait()
            raise
        assert status == 0
        assert whole.left(f"{base}/r") == []
