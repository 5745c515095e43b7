"""Network namespaces as files: made by unshare(2), kept by a bind mount of /proc/thread-self/ns/net, gone with it.

Every function that enters a namespace does so for the calling thread alone, and comes back. Leaves out what is inside (links.py).
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same on every machine
_CREATE, _CLOEXEC = 6, 1
_NOTHING_BUT_FILES = 0x2 | 0x4 | 0x8  # MOUNT_ATTR_NOSUID, _NODEV, _NOEXEC
_SELF = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot {what}: {os.strerror(code)}")


@contextlib.contextmanager
def fresh() -> Iterator[int]:
    """Be in a new network namespace within the block; yield a descriptor of it."""
    home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(CLONE_NEWNET), "unshare the network namespace")
        try:
            inside = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield inside
            finally:
                os.close(inside)
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "go back to the host's network namespace")
    finally:
        os.close(home)


class Proc:
    """A /proc of our own that has not seen many namespaces.

    Each has a /proc/sys/net of its own, and a /proc keeps all that it was ever asked for under one name, to be passed one by one on the
    way to the next: 1.3 ms at a thousand. So ours is let go in time, for a new one.
    """

    MOST = 50  # namespaces; the making of one costs as much as a namespace's

    def __init__(self) -> None:
        self._mount, self._seen = _proc(), 0

    def young(self) -> int:
        """Give a descriptor of it, to look up one namespace's settings by, at once."""
        if self._seen == self.MOST:
            self.close()
            self._mount, self._seen = _proc(), 0
        self._seen += 1
        return self._mount

    def close(self) -> None:
        os.close(self._mount)


def _proc() -> int:
    """Mount a /proc nowhere: the descriptor is the mount, and its close the end of it."""
    context = _call(_FSOPEN, b"proc", _CLOEXEC)
    try:
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _CLOEXEC, _NOTHING_BUT_FILES)
    finally:
        os.close(context)


def _call(number: int, *arguments: bytes | int | None) -> int:
    result = int(_libc.syscall(number, *arguments))
    _check(min(result, 0), "mount a /proc of our own")
    return result


def pin(path: str) -> None:
    """Keep the namespace that the calling thread is in at `path`."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o444))
    _check(_libc.mount(_SELF.encode(), os.fsencode(path), None, MS_BIND, None), f"pin {path}")


def unpin(path: str) -> None:
    """Let go of the namespace at `path`: the kernel removes it with what is in it. None there: done already."""
    if is_pinned(path):
        _check(_libc.umount2(os.fsencode(path), MNT_DETACH), f"unpin {path}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def is_pinned(path: str) -> bool:
    """Say whether a namespace is mounted at `path` (all namespaces are files of one device, nsfs)."""
    try:
        return os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False
