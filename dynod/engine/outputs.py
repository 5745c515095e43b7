"""Transcripts of builds and release phases: kept in a file each, followed live by any number of readers.

Owns STATE/output/<id>. A reader gets everything from the start; while it is written, more as it comes; then the end.
Longer than LIMIT is cut off with a line that says so (HEROKU.md 3.1 keeps 300 MB). What a full disk does not take is kept in memory,
as far as KEPT, for those who read along: they are to hear why their push failed.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from dynod.model.refused import disk_fault

LIMIT = 300 * 1024 * 1024
KEPT = 1024 * 1024
_CHUNK = 64 * 1024
_CUT = b"\n !     Output is longer than 300 MB; the rest is not kept.\n"


class Output:
    """One transcript being written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.closed = False
        self._size = 0
        self._written = 0  # of it on the disk
        self._kept = bytearray()  # what stands behind that, once the disk would not take it
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if not disk_fault(error):
                raise
            self._fd = os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC)  # which takes as much
        self.changed = asyncio.Event()  # of the next write or the end; taken before reading, awaited after

    def write(self, data: bytes) -> None:
        """Append; readers see it at once."""
        if self.closed or self._size > LIMIT:
            return
        self._size += len(data)
        self._append(data if self._size <= LIMIT else _CUT, KEPT)

    def line(self, text: str = "") -> None:
        """Append a line of text. It is the platform's own, so that there is room for it behind all that a build said."""
        if not self.closed:
            self._append(text.encode() + b"\n", 2 * KEPT)

    def kept(self, position: int) -> bytes:
        """Return what stands behind `position`, which is at or behind the end of the file."""
        return bytes(self._kept[position - self._written :])

    def close(self) -> None:
        """Readers come to the end."""
        if not self.closed:
            self.closed = True
            self._store(bytes(self._kept))  # there may be room again
            os.close(self._fd)
            self._wake()

    def _append(self, data: bytes, most: int) -> None:
        if not self._kept:
            stored = self._store(data)
            self._written += stored
            data = data[stored:]
        if len(self._kept) + len(data) <= most:
            self._kept += data
        self._wake()

    def _store(self, data: bytes) -> int:
        """Write it to the file; return how much went in before the disk was full."""
        stored = 0
        try:
            while stored < len(data):
                stored += os.write(self._fd, data[stored:])
        except OSError as error:
            if not disk_fault(error):
                raise
        return stored

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Outputs:
    """All transcripts of this machine by id (a build's or a release's uuid)."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._open: dict[str, Output] = {}
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def open(self, ident: str) -> Output:
        """Begin a transcript."""
        output = Output(os.path.join(self.directory, ident))
        self._open[ident] = output
        return output

    def current(self, ident: str) -> Output | None:
        """A transcript that is being written."""
        return self._open.get(ident)

    def close(self, ident: str) -> None:
        """End a transcript; again is harmless."""
        output = self._open.pop(ident, None)
        if output is not None:
            output.close()

    def remove(self, ident: str) -> None:
        """Forget a transcript."""
        self.close(ident)
        if os.path.exists(path := os.path.join(self.directory, ident)):
            os.unlink(path)

    async def follow(self, ident: str) -> AsyncIterator[bytes]:
        """Yield a transcript from its start to its end; nothing for one that was never written."""
        output = self._open.get(ident)
        try:
            fd = os.open(os.path.join(self.directory, ident), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if output is None:
                return
            fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)  # all of it is kept in memory
        position = 0
        try:
            while True:
                over = output is None or output.closed
                changed = None if output is None else output.changed
                while data := os.pread(fd, _CHUNK, position) or (output.kept(position) if output else b""):
                    position += len(data)
                    yield data
                if over or changed is None:
                    return
                await changed.wait()
        finally:
            os.close(fd)
