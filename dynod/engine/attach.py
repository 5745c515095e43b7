"""The two ends of an attached dyno: descriptors from the dyno host on one side, a client of the API on the other.

`Session` reads and writes a pseudo-terminal's master or a pair of pipes without threads and with back-pressure both ways:
what nobody takes is not read, what the dyno does not read is not taken from the client.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Callable
from typing import Any

from dynod.model.dyno import DynoView
from dynod.model.jail import Stdio

_CHUNK = 64 * 1024
_EOT = b"\x04"
QUIET = 0.1  # seconds without output after the command has ended, then nobody listens any more
LAST_WORDS = 1024 * 1024  # bytes that are taken after that: more than a pipe or a terminal holds


async def _ready(fd: int, *, to_write: bool = False) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    if to_write:
        loop.add_writer(fd, event.set)
    else:
        loop.add_reader(fd, event.set)
    try:
        await event.wait()
    finally:
        if to_write:
            loop.remove_writer(fd)
        else:
            loop.remove_reader(fd)


async def _more(fd: int, over: "asyncio.Future[int] | None") -> bool:
    """Wait until there is something to read; False when nothing more is to be waited for."""
    if over is None:
        await _ready(fd)
        return True
    reading = asyncio.ensure_future(_ready(fd))
    both: set[asyncio.Future[Any]] = {reading, over}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({reading}, timeout=QUIET if over.done() else 0)
        return reading.done()
    finally:
        reading.cancel()
        # It lets go of the descriptor before that can be closed and be somebody else's.
        await asyncio.wait({reading})


async def read_all(fd: int, over: "asyncio.Future[int] | None" = None) -> AsyncIterator[bytes]:
    """Yield what comes out of a pipe or a pseudo-terminal until its other side is closed (EIO on the latter, pty(7)).

    `over`: when this is done, what the command left behind in the background is not waited for.
    """
    os.set_blocking(fd, False)
    last = 0
    while True:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            if not await _more(fd, over):
                return
            continue
        except OSError as error:
            if error.errno == errno.EIO:
                return
            raise
        last += len(data) if over is not None and over.done() else 0
        if not data or last > LAST_WORDS:
            return
        yield data


class Session:
    """`Attached` of engine/platform.py. `ended` is the future of the exit status; `hang_up` is called when the client goes
    before that, `unclaimed` in its place when none ever came.
    """

    def __init__(
        self,
        dyno: DynoView,
        stdio: Stdio,
        fds: tuple[int, ...],
        ended: "asyncio.Future[int]",
        hang_up: Callable[[], None],
        unclaimed: Callable[[], None] | None = None,
    ) -> None:
        self.dyno = dyno
        self._pty = stdio is Stdio.PTY
        self._in, self._out = (fds[0], fds[0]) if self._pty else fds
        self._ended = ended
        self._hang_up = hang_up
        self._unclaimed = unclaimed or hang_up
        self._open = True
        self._eof = False

    async def output(self) -> AsyncIterator[bytes]:
        if self._open:
            async for data in read_all(self._out, self._ended):
                yield data
                if not self._open:
                    return

    async def write(self, data: bytes) -> None:
        if self._eof or not self._open:
            return
        os.set_blocking(self._in, False)
        view = memoryview(data)
        while view and self._open:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                await _ready(self._in, to_write=True)
            except OSError:  # the dyno closed its end: what is typed now goes nowhere
                return

    async def write_eof(self) -> None:
        if self._pty:
            await self.write(_EOT)
        elif self._open and not self._eof:
            self._eof = True
            os.close(self._in)

    def resize(self, columns: int, lines: int) -> None:
        if self._pty and self._open:
            fcntl.ioctl(self._in, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    async def status(self) -> int:
        return await asyncio.shield(self._ended)

    def close(self) -> None:
        self._close(self._hang_up)

    def unclaimed(self) -> None:
        self._close(self._unclaimed)

    def _close(self, tell: Callable[[], None]) -> None:
        if not self._open:
            return
        self._open = False
        loop = asyncio.get_running_loop()
        # A closed one is somebody else's by now.
        for fd in {self._in, self._out} - ({self._in} if self._eof else set()):
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            with contextlib.suppress(OSError):
                os.close(fd)
        if not self._ended.done():
            tell()
