"""Let a disk forget within a change of one kind: `python forget.py LOG PID KIND PART DISK SCRIPT`, beside changes.py (PID) that says to LOG.

A second drawn at random falls into a push, which takes longer than all else together. So the first change of a KIND tells how long one
takes, and in a later one the disk stands still once PART of that has passed; a change that ends before leaves it to the next. Nobody's sync
is answered any more, so that what LOG says by then came before; its lines are counted. Then SCRIPT makes the disk forget and go on.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

KINDS = {"count": "config", "web": "scale", "worker": "scale"}  # the others are called as they are said
# Of linux/dm-ioctl.h: struct dm_ioctl (version, data_size, data_start, target_count, open_count, flags, event_nr, dev, name, uuid).
CONTROL, DM_DEV_SUSPEND, SUSPEND, SKIP_LOCKFS = "/dev/mapper/control", 0xC138FD06, 1 << 1, 1 << 10
DM_IOCTL = struct.Struct("=3I 3I i 2I 4x Q 128s 129s 7x")


class Watch:
    """Hears changes.py's lines; `moment` is when to act, None while no change of the kind is under way."""

    def __init__(self, kind: str, part: float) -> None:
        self.kind, self.part = kind, part
        self.moment: float | None = None
        self._began = 0.0
        self._lasts: float | None = None

    def hear(self, line: str, now: float) -> None:
        word, what, *_ = line.split()
        if KINDS.get(what, what) != self.kind:
            return
        if word == "try":
            self._began = now
            self.moment = None if self._lasts is None else now + self.part * self._lasts
            return
        self.moment = None
        if word == "did":  # what was refused took no time
            self._lasts = now - self._began


def wait(watch: Watch, log: int) -> None:
    """Return within a change of the watch's kind; what was said already is heard first."""
    rest = b""
    while True:
        left = None if watch.moment is None else max(0.0, watch.moment - time.monotonic())
        if not select.select([log], [], [], left)[0]:
            return
        data = os.read(log, 1 << 16)
        if not data:
            raise SystemExit("the changes ended before the disk could forget")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            watch.hear(line.decode(), time.monotonic())


def stand_still(disk: str) -> None:
    """Suspend a mapped disk without a sync. dmsetup(8) takes longer to start than a config change to be made."""
    asked = DM_IOCTL.pack(
        *(4, 0, 0, DM_IOCTL.size, DM_IOCTL.size, 0, 0, SUSPEND | SKIP_LOCKFS, 0, 0, disk.encode(), b"")
    )
    with open(CONTROL, "rb") as control:
        fcntl.ioctl(control, DM_DEV_SUSPEND, asked)


def main(log: str, pid: str, kind: str, part: str, disk: str, script: str) -> None:
    follow = ["tail", "-n", "+1", "-f", f"--pid={pid}", log]
    with subprocess.Popen(follow, stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        try:
            wait(Watch(kind, float(part)), tail.stdout.fileno())
            stand_still(disk)
        finally:
            tail.terminate()
    before = Path(log).read_bytes().count(b"\n")
    subprocess.run(["bash", "-euc", script], stdout=sys.stderr, check=True)
    print(before)


if __name__ == "__main__":
    main(*sys.argv[1:7])
