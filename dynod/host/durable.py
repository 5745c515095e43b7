"""Files that are whole under their name, or not there: contents first, then the name.

`write_atomically` survives a kill, which is enough for what is made anew at the next start. The others survive a machine that loses its power:
contents and name are on the disk when they return. All of them block: call them by asyncio.to_thread where a loop turns and a tree is large.
"""

import contextlib
import ctypes
import errno
import os
import pwd
import uuid

_libc = ctypes.CDLL(None, use_errno=True)


def write_atomically(
    path: str, data: bytes, mode: int = 0o644, reader: pwd.struct_passwd | None = None
) -> None:
    """Put a file there whole or not at all: temp, then rename(2). Survives a kill; a power cut may bring the older one back.

    `reader`: a user whose group may read it too.
    """
    temp = f"{path}.new"
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        if os.write(fd, data) < len(data):  # a disk that is filled by it takes what fits and says nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), temp)
        if reader is not None:
            with contextlib.suppress(PermissionError):  # neither root nor of that group: it reads nothing
                os.fchown(fd, -1, reader.pw_gid)
                os.fchmod(fd, mode | 0o040)
        os.rename(temp, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temp)
        raise
    finally:
        os.close(fd)


def write_durably(path: str, data: bytes, mode: int) -> None:
    """Put a file there, with this mode whatever the umask is, and bring it to the disk; raise OSError and leave what was there before."""
    partial = f"{path}.{uuid.uuid4().hex}"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.rename(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
    _names_to_disk(os.path.dirname(path))


def to_disk(tree: str) -> None:
    """Bring a whole tree to the disk: one syncfs(2) costs less than a half million fsyncs."""
    directory = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(directory) != 0:
            raise OSError(ctypes.get_errno(), f"cannot bring {tree} to the disk")
    finally:
        os.close(directory)


def rename_new(source: str, target: str) -> None:
    """Rename and bring the new name to the disk; raise FileExistsError when the target is there."""
    try:
        os.rename(source, target)
    except OSError as error:
        if os.path.isdir(target):
            raise FileExistsError(target) from error
        raise
    _names_to_disk(os.path.dirname(target))


def _names_to_disk(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
