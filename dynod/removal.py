"""Removing what strangers' programs made: neither a mode nor a depth that they chose keeps it, and who owns it needs no privilege.

Links are removed, never followed. A directory found inside is emptied of files, its own directories are moved up to the top under
fresh names, and then it is removed: two descriptors and no recursion. Several may remove the same tree at once, or one after another that
was killed at it: what is gone already is no matter. Blocks: call it by asyncio.to_thread where a loop turns.
"""

import contextlib
import errno
import os
import stat

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OURS = 0o700
_BY_ANOTHER = (errno.ENOENT, errno.ENOTEMPTY)  # who took it, or moved something into it that is to go as well
_VAINLY = 1000  # times that another may be in the way of all there is: then somebody fills what we empty


def remove_tree(top: str) -> None:
    """Remove a directory with all that is in it; one that is not there is no matter. Raise OSError for what cannot be removed."""
    for vainly in range(_VAINLY + 1):
        try:
            fd = _entered(top, None)
        except FileNotFoundError:
            return
        try:
            _empty(fd)
        finally:
            os.close(fd)
        try:
            os.rmdir(top)
        except OSError as error:
            if error.errno not in _BY_ANOTHER or vainly == _VAINLY:
                raise


def _empty(top: int) -> None:
    fresh = vainly = 0
    while inner := _emptied_of_files(top):
        removed = False
        for name in inner:
            try:
                fresh = _flattened(top, name, fresh)
            except OSError as error:
                if error.errno not in _BY_ANOTHER or vainly == _VAINLY:
                    raise
            else:
                removed = True
        vainly = 0 if removed else vainly + 1


def _entered(name: str, above: int | None) -> int:
    """Open a directory, and make it one whose entries may be listed, made and removed."""
    try:
        fd = os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=above)
    except PermissionError:
        return _forced(name, above)
    if stat.S_IMODE(os.fstat(fd).st_mode) & _OURS != _OURS:
        os.fchmod(fd, _OURS)
    return fd


def _forced(name: str, above: int | None) -> int:
    named = os.open(name, os.O_PATH | _DIRECTORY, dir_fd=above)
    try:
        os.chmod(f"/proc/self/fd/{named}", _OURS)
        return os.open(".", os.O_RDONLY | _DIRECTORY, dir_fd=named)
    finally:
        os.close(named)


def _emptied_of_files(fd: int) -> list[str]:
    directories = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.name, dir_fd=fd)
    return directories


def _flattened(top: int, name: str, fresh: int) -> int:
    fd = _entered(name, top)
    try:
        for inner in _emptied_of_files(fd):
            fresh = _moved_up(fd, inner, top, fresh)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=top)
    return fresh


def _moved_up(fd: int, name: str, top: int, fresh: int) -> int:
    shut = True
    while True:
        fresh += 1
        try:
            # Onto an existing name this fails unless that is an empty directory, and then nothing is lost.
            os.rename(name, f".{fresh}", src_dir_fd=fd, dst_dir_fd=top)
        except PermissionError:
            if not shut:
                raise
            os.close(_entered(name, fd))  # one that may not be written to cannot be moved
            shut = False
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return fresh
