"""The kernel's calls that Python lacks, each a thin function under its own name, so that the man pages are the manual.

Each raises OSError with the kernel's errno and the path or number it was about. No decision is taken here.
"""

import ctypes
import os
import platform
import struct

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_IDMAP = 0x00100000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

CAP_SYS_ADMIN = 1 << 21

FSOPEN_CLOEXEC = 0x1
FSMOUNT_CLOEXEC = 0x1
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6

PRJQUOTA = 2
Q_XGETQSTATV, Q_GETQUOTA, Q_SETQUOTA = 0x5808, 0x800007, 0x800008

KEYCTL_JOIN_SESSION_KEYRING = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522

# Numbers above 403 are the same on every machine; keyctl is older than that rule.
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442
SYS_QUOTACTL_FD = 443
SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}.get(platform.machine())

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, about: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), about)
    return result


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), f"namespaces {flags:#x}")


def setns(fd: int, flags: int) -> None:
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), f"namespace {flags:#x}")


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, fstype, data)]
    _check(_libc.mount(texts[0], texts[1], texts[2], flags, texts[3]), target)


def umount2(target: str, flags: int) -> None:
    _check(_libc.umount2(target.encode(), ctypes.c_int(flags)), target)


def pivot_root(new: str, old: str) -> None:
    _check(_libc.pivot_root(new.encode(), old.encode()), new)


def open_tree(fd: int, path: str, flags: int) -> int:
    """Give a file descriptor of a mount (a detached copy with OPEN_TREE_CLONE)."""
    return _check(_libc.syscall(SYS_OPEN_TREE, fd, path.encode(), ctypes.c_uint(flags)), path)


def move_mount(source: int, target: int, path: str) -> None:
    """Attach the mount `source` at `path` below the directory `target`; at `target` itself if `path` is ''."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if path else MOVE_MOUNT_T_EMPTY_PATH)
    _check(_libc.syscall(SYS_MOVE_MOUNT, source, b"", target, path.encode(), ctypes.c_uint(flags)), path)


def mount_setattr(fd: int, flags: int, attributes: int, propagation: int, userns: int = 0) -> None:
    """Set attributes and propagation of the mount that `fd` is (with AT_RECURSIVE: of those below too)."""
    value = struct.pack("QQQQ", attributes, 0, propagation, userns)
    flags |= AT_EMPTY_PATH
    _check(_libc.syscall(SYS_MOUNT_SETATTR, fd, b"", ctypes.c_uint(flags), value, len(value)), "")


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """Open `path` below `directory` under the rules of `resolve` (links that leave, links at all)."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    return _check(_libc.syscall(SYS_OPENAT2, directory, path.encode(), how, len(how)), path)


def fsmount(kind: str, source: str, flags: tuple[str, ...], attributes: int) -> int:
    """Mount a block device nowhere: the descriptor is the mount, and its last close the end of it."""
    context = _check(_libc.syscall(SYS_FSOPEN, kind.encode(), FSOPEN_CLOEXEC), kind)
    try:
        _check(
            _libc.syscall(SYS_FSCONFIG, context, FSCONFIG_SET_STRING, b"source", source.encode(), 0), source
        )
        for flag in flags:
            _check(_libc.syscall(SYS_FSCONFIG, context, FSCONFIG_SET_FLAG, flag.encode(), None, 0), flag)
        _check(_libc.syscall(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0), source)
        return _check(_libc.syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, attributes), source)
    finally:
        os.close(context)


def quotactl_fd(fd: int, command: int, project: int, value: bytearray) -> None:
    """Ask about, or set, a project's quota on the file system that `fd` is on; `value` is the kernel's structure."""
    room = (ctypes.c_char * len(value)).from_buffer(value)
    code = ctypes.c_uint(command << 8 | PRJQUOTA)
    _check(_libc.syscall(SYS_QUOTACTL_FD, fd, code, ctypes.c_uint(project), room), f"project {project}")


def syncfs(fd: int) -> None:
    """Write out a file system; raise when anything could not be written since `fd` was opened."""
    _check(_libc.syncfs(ctypes.c_int(fd)), "syncfs")


class Filter:
    """A seccomp program, with all that the kernel wants to have said about it made ahead."""

    def __init__(self, program: bytes) -> None:
        self.program = program  # kept, because the kernel is given its address
        address = ctypes.cast(ctypes.c_char_p(program), ctypes.c_void_p).value or 0
        self._said = struct.pack("HxxxxxxQ", len(program) // 8, address)

    def install(self) -> None:
        """Needs no_new_privs, or a privilege."""
        _check(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self._said, 0, 0), "seccomp")


def capset(capabilities: int) -> None:
    """Have those and no others, effective and permitted; none is inheritable, so that the ambient set is empty."""
    header = struct.pack("Ii", LINUX_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("III12x", capabilities, capabilities, 0)), "capabilities")


def join_new_session_keyring() -> None:
    """Leave the keyring that was inherited, so that a dyno cannot read root's; a kernel without keys has none to read."""
    if SYS_KEYCTL is not None:
        _libc.syscall(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
