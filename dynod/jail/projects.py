"""Project quotas: a directory with a ceiling, where the file system below knows them (ext4 with prjquota, XFS with pquota).

The project's number is the dyno's uid: no two live dynos share one. What is made below inherits it, so that no rename of overlay's
crosses projects. A dyno cannot leave its project: that is for who lives in the machine's own user namespace (fileattr_set_prepare).
"""

import contextlib
import errno
import fcntl
import os
import struct

from dynod.jail import syscalls as k

FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
FS_XFLAG_PROJINHERIT = 0x200
FS_QUOTA_PDQ_ENFD = 1 << 5
QIF_LIMITS = 1 | 4  # blocks and inodes
XFS_IOC_FREE_EOFBLOCKS, XFS_EOFBLOCKS_VERSION, XFS_EOF_FLAGS_PRID = 0x8080583A, 1, 1 << 3
KIB = 1024  # the unit of a block limit, whatever the file system's blocks
_FSXATTR = struct.Struct("5I8x")
_DQBLK = struct.Struct("8QI4x")
_EOFBLOCKS = struct.Struct("5I108x")
_STATV = struct.Struct("BBH")
_STATV_SIZE, _STATV_VERSION = 160, 1
PROBE, PROBED = 64 * KIB, 1024 * KIB


def enforced(directory: str) -> bool:
    """Whether the kernel says that project quotas are in force here; ext4 without prjquota counts them only."""
    value = bytearray(_STATV_SIZE)
    value[0] = _STATV_VERSION
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        k.quotactl_fd(fd, k.Q_XGETQSTATV, 0, value)
    except OSError:
        return False
    finally:
        os.close(fd)
    return bool(_STATV.unpack_from(value)[2] & FS_QUOTA_PDQ_ENFD)


def bind(directory: str, project: int, size: int, inodes: int) -> None:
    """Give an empty directory a ceiling of bytes and files (0: none); raise OSError unless it is in force."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        blocks = size // KIB
        k.quotactl_fd(
            fd, k.Q_SETQUOTA, project, bytearray(_DQBLK.pack(blocks, 0, 0, inodes, 0, 0, 0, 0, QIF_LIMITS))
        )
        flags, *middle, _, last = _FSXATTR.unpack(fcntl.ioctl(fd, FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))
        changed = _FSXATTR.pack(flags | FS_XFLAG_PROJINHERIT, *middle, project, last)
        fcntl.ioctl(fd, FS_IOC_FSSETXATTR, changed)
        _read_back(fd, directory, project, (blocks, inodes))
    finally:
        os.close(fd)


def of(directory: str) -> int:
    """The project of what is made in a directory; 0 for none, and for a directory that is gone."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return int(_FSXATTR.unpack(fcntl.ioctl(fd, FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))[3])
        finally:
            os.close(fd)
    return 0


def counted(fd: int, project: int) -> tuple[int, int]:
    """Bytes and files that the kernel counts for a project; none where it counts no longer."""
    told = bytearray(_DQBLK.size)
    with contextlib.suppress(OSError):
        k.quotactl_fd(fd, k.Q_GETQUOTA, project, told)
    _, _, size, _, _, files, *_ = _DQBLK.unpack(told)
    return size, files


def free_removed(fd: int, project: int) -> bool:
    """Have XFS free now what was removed, which it does in the background (and what it keeps ready behind the ends of this project's files).

    Give whether it was done; the other file systems do it while they remove, and do not know the question.
    """
    asked = _EOFBLOCKS.pack(XFS_EOFBLOCKS_VERSION, XFS_EOF_FLAGS_PRID, 0, 0, project)
    try:
        fcntl.ioctl(fd, XFS_IOC_FREE_EOFBLOCKS, asked)
    except OSError:
        return False
    return True


def _read_back(fd: int, directory: str, project: int, wanted: tuple[int, int]) -> None:
    told = bytearray(_DQBLK.size)
    k.quotactl_fd(fd, k.Q_GETQUOTA, project, told)
    limits = _DQBLK.unpack(told)
    flags, _, _, number, _ = _FSXATTR.unpack(fcntl.ioctl(fd, FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))
    if (limits[0], limits[3]) != wanted or number != project or not flags & FS_XFLAG_PROJINHERIT:
        raise OSError(errno.EIO, "its project quota does not read back as it was set", directory)


def proven(directory: str, project: int) -> bool:
    """Whether a limit really stops a writer: try, as a user of no privilege, since root is above ext4's quotas."""
    probe = f"{directory}/.probe"
    try:
        os.makedirs(probe, 0o700, exist_ok=True)  # a host that was killed here left it
        bind(probe, project, PROBE, 0)
        os.chown(probe, project, project)
        pid = os.fork()
        if pid == 0:
            os._exit(_tried(probe, project))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):  # not made, or a disk that takes no writes: the next host does it
            os.unlink(f"{probe}/file")
        with contextlib.suppress(OSError):
            os.rmdir(probe)


def _tried(probe: str, project: int) -> int:
    """Write more than fits, in a child; 0 if it was stopped."""
    try:
        os.chdir(probe)
        os.setgroups([])
        os.setresgid(project, project, project)
        os.setresuid(project, project, project)
        fd = os.open("file", os.O_WRONLY | os.O_CREAT, 0o600)
        for _ in range(PROBED // PROBE):
            if os.write(fd, bytes(PROBE)) < PROBE:
                return 0
    except OSError as error:
        return 0 if error.errno in {errno.EDQUOT, errno.ENOSPC} else 1
    return 1
