"""Loop devices: an image file as a block device that lets go of it by itself when its last user does (autoclear).

So a dyno host that is killed leaves none: a device lives as long as a mount or a descriptor of it, in whatever process.
"""

import errno
import fcntl
import os
import struct

CONTROL = "/dev/loop-control"
LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A  # Linux 5.8: one call, and the device was never visible with nothing behind it
LO_FLAGS_AUTOCLEAR, LO_FLAGS_DIRECT_IO = 4, 16
BLOCK = 4096  # ext4's; direct I/O in smaller pieces would be refused by most file systems
RACES = 1_000  # times that another program may take the free device before us
_INFO = struct.Struct("5Q4I64s64s32s2Q")  # struct loop_info64
_CONFIG = struct.Struct(f"II{_INFO.size}s64x")  # struct loop_config


def attach(image: str) -> tuple[int, int]:
    """Make `image` a block device, without a cache of its own where its file system can (what a dyno wrote would count
    twice); give the device's number and a descriptor that keeps it.
    """
    file = os.open(image, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            return _configure(control, file)
        finally:
            os.close(control)
    finally:
        os.close(file)


def _configure(control: int, file: int) -> tuple[int, int]:
    flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO
    config = _CONFIG.pack(file, BLOCK, _INFO.pack(*[0] * 8, flags, b"", b"", b"", 0, 0))
    for _ in range(RACES):
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        device = os.open(path(number), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, LOOP_CONFIGURE, config)
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:
                raise OSError(error.errno, error.strerror, path(number)) from error
        else:
            return number, device
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), CONTROL)


def path(number: int) -> str:
    return f"/dev/loop{number}"


def errors(number: int) -> int:
    """How many errors the ext4 on a device has found in itself; newer kernels do not show that it is read-only since."""
    with open(f"/sys/fs/ext4/loop{number}/errors_count") as file:
        return int(file.read())


def behind(number: int) -> str:
    """The image behind a device; '' if there is none."""
    try:
        with open(f"/sys/block/loop{number}/loop/backing_file") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
