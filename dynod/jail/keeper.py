"""The keeper of slots: a child of the dyno host that makes, clears and throws away file systems of a fixed size (slots.py).

A slot is an ext4 without a journal in a sparse image behind a loop device, mounted nowhere: whoever holds a descriptor of
it keeps it, and when the last one is closed, by whatever end of its process, mount and device are gone. What is left is the image.
One packet per job, descriptors beside; the answer is {"job": n, "error": "" or why, ...}:
{"make": image, "shape": [bytes, inodes]} -> device, free, [root, tree]; {"clear": image, ...} [root] -> [tree];
{"drop": image} [descriptors of it] -> [].
`root` is a directory to look at; `tree` a second mount of it, for one dyno.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from dynod.jail import loops, packets
from dynod.jail import syscalls as k
from dynod.jail.child import apart
from dynod.removal import remove_tree

MKFS = "mkfs.ext4"
PLACES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin")
# No journal: what a dyno wrote is worth nothing once the machine has crashed. An error makes it read-only. No room kept for root.
FORMAT = (
    *("-q", "-F", "-m", "0", "-e", "remount-ro", "-b", str(loops.BLOCK), "-U", "clear"),
    *("-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard"),
)
# Nothing is written that nobody asked for: a sparse file's inode tables are zeroes already.
FLAGS = ("noinit_itable",)
ATTRIBUTES = k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOATIME
# Bytes on the machine's disk beyond which a new image costs less than to empty the old one.
FAT = 64 * 1024**2
MANY = 1_000  # files, likewise
SLACK = 16  # blocks of directories that grew
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, struct.pack("I", 2)
KEPT = "lost+found"

Reply = tuple[dict[str, Any], list[int]]


class Worn(Exception):
    """A slot that is not worth, or not fit, to be used again; the text says why, '' if nothing is wrong with it."""


def keeper(door: socket.socket) -> NoReturn:
    """Serve until the host hangs up (packets.Hung)."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # jobs are reaped by the kernel
    while True:
        job, fds = packets.receive(door)
        # What one dyno left may take its time, so that it is cleared by a process of its own. A slot is made at once, here.
        work = partial(_do, door, job, fds)
        if "make" in job:
            work()
        else:
            apart(work)
        packets.close(fds)


def _do(door: socket.socket, job: dict[str, Any], fds: list[int]) -> None:
    said: dict[str, Any] = {"error": ""}
    given: list[int] = []
    try:
        match job:
            case {"make": image, "shape": [size, inodes]}:
                said, given = make(image, size, inodes)
            case {"clear": image, "device": device, "free": free}:
                said, given = clear(image, device, free, fds[0])
            case {"drop": image}:
                drop(image, fds)
    except Worn as worn:
        said = {"error": "", "worn": str(worn)}
    except OSError as failed:
        said = {"error": f"{failed.filename}: {failed.strerror}" if failed.filename else str(failed.strerror)}
    with contextlib.suppress(packets.Hung):
        packets.send(door, {"error": "", **said, "job": job["job"]}, given)
    packets.close(given)


def make(image: str, size: int, inodes: int) -> Reply:
    """Make a slot: `size` bytes and `inodes` files are all that will ever fit."""
    template = f"{os.path.dirname(image)}/template-{size}-{inodes}"
    os.makedirs(os.path.dirname(image), 0o700, exist_ok=True)
    try:
        if not os.path.exists(template):
            format_(template, size, inodes)
        copy(template, image)
        return _with_tree(*_mounted(*loops.attach(image)))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(image)
        raise


def format_(template: str, size: int, inodes: int) -> None:
    """Make the image that all of one shape begin as."""
    program = next((f"{place}/{MKFS}" for place in PLACES if os.path.exists(f"{place}/{MKFS}")), None)
    if program is None:
        raise OSError(errno.ENOENT, "not found (apt-get install e2fsprogs)", MKFS)
    new = f"{template}.new"
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)
    status = _run(program, [MKFS, *FORMAT, "-N", str(inodes), new])
    if status:
        os.unlink(new)
        raise OSError(errno.EIO, f"{MKFS} ended with {status}", template)
    _, opened = _mounted(*loops.attach(new))
    try:
        layers(opened[0])
        k.syncfs(opened[0])
    finally:
        packets.close(opened)  # unmounted by that: what is copied is whole
    os.rename(new, template)


def _run(program: str, argv: list[str]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else there is no status
    try:
        pid = os.posix_spawn(program, argv, {"PATH": "/usr/sbin:/usr/bin"})
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # jobs that ended meanwhile
            pass
    return status


def copy(template: str, image: str) -> None:
    """Copy what is written of a sparse file, some dozen pieces."""
    source = os.open(template, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(image, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(target, os.fstat(source).st_size)
            for start, end in _written(source):
                os.pwrite(target, os.pread(source, end - start, start), start)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _written(fd: int) -> Iterator[tuple[int, int]]:
    end = 0
    while True:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _mounted(number: int, device: int) -> Reply:
    """Mount a device that is attached."""
    try:
        mount = _mount(number)
        try:
            # A file's own descriptor, unlike a mount's, remembers whether anything could not be written since.
            root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
        finally:
            os.close(mount)
    finally:
        os.close(device)
    room = os.fstatvfs(root)
    return {"device": number, "free": [room.f_bfree, room.f_ffree]}, [root]


def _with_tree(said: dict[str, Any], opened: list[int]) -> Reply:
    """Add a mount to hand over."""
    try:
        return said, [*opened, _mount(said["device"])]
    except OSError:
        packets.close(opened)
        raise


def _mount(number: int) -> int:
    return k.fsmount("ext4", loops.path(number), FLAGS, ATTRIBUTES)


def layers(directory: int) -> None:
    """Make the overlay's directories, as handover.make_layers does elsewhere."""
    for name in ("upper", "work", "upper/tmp"):
        os.mkdir(name, 0o755, dir_fd=directory)
    os.chmod("upper/tmp", 0o1777, dir_fd=directory)  # noqa: S103  # as every /tmp


def clear(image: str, device: int, free: list[int], root: int) -> Reply:
    """Remove what a dyno wrote; the tree for the next one, or Worn."""
    blocks, files = free
    if os.stat(image).st_blocks * 512 > FAT or files - os.fstatvfs(root).f_ffree > MANY:
        raise Worn("")
    try:
        for name in os.listdir(root):
            if name != KEPT:
                remove_tree(f"/proc/self/fd/{root}/{name}")
        layers(root)
        k.syncfs(root)
        errors = loops.errors(device)
        tree = _mount(device)
    except OSError as error:
        raise Worn(f"{error.strerror}") from error
    room = os.fstatvfs(root)
    if errors or room.f_ffree != files or room.f_bfree < blocks - SLACK:
        os.close(tree)
        raise Worn(f"{errors} errors, {files - room.f_ffree} files and {blocks - room.f_bfree} blocks left")
    return {}, [tree]


def drop(image: str, fds: list[int]) -> None:
    """Throw a slot away, with what is not written yet: that first, for the image may be on a disk that takes no more writes."""
    for fd in fds[:1]:
        with contextlib.suppress(OSError):  # an older kernel, or a file system that is shut down already
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NOLOGFLUSH)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(image)


def again(image: str, device: int) -> Reply:
    """Take a slot into hand that an earlier host made, while its device is still its own: a dyno keeps it."""
    held = os.open(loops.path(device), os.O_RDONLY | os.O_CLOEXEC)
    if loops.behind(device) != image:
        os.close(held)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), image)
    return _mounted(device, held)


def shown(device: int, userns: int) -> int:
    """Give one more mount of a slot, read-only and mapped by `userns`."""
    mounted = _mount(device)
    try:
        k.mount_setattr(mounted, 0, k.MOUNT_ATTR_RDONLY | k.MOUNT_ATTR_IDMAP, k.MS_PRIVATE, userns)
    except OSError:
        os.close(mounted)
        raise
    return mounted
