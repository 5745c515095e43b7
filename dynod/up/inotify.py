"""Which files of a directory appeared or were written anew (inotify(7)), through ctypes: a dozen lines instead of a dependency."""

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

_MASK = 0x4 | 0x8 | 0x80 | 0x100  # IN_ATTRIB (a socket's chmod), IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Calls `changed(name)` for each file made, written or moved into `directory` while the context lasts."""

    def __init__(self, directory: str, changed: Callable[[str], None]) -> None:
        self._directory = directory
        self._changed = changed
        self._fd = -1

    def __enter__(self) -> Self:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        path = os.fsencode(self._directory)
        if self._fd < 0 or _libc.inotify_add_watch(self._fd, path, _MASK) < 0:
            errno = ctypes.get_errno()
            raise OSError(errno, f"cannot watch: {os.strerror(errno)}", self._directory)
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        data = os.read(self._fd, 64 * 1024)
        at = 0
        while at < len(data):
            *_, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            name = data[at : at + length].rstrip(b"\0")
            at += length
            self._changed(os.fsdecode(name))
