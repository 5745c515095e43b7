"""The two ends of an attached dyno: descriptors from the dyno host on one side, a client of the API on the other.

`Session` reads and writes a pseudo-terminal's master or a pair of pipes without threads and with back-pressure both ways:
what nobody takes is not read, what the dyno does not read is not taken from the client.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable

from dynod.model.dyno import DynoView
from dynod.model.jail import Stdio

_CHUNK = 64 * 1024
_EOT = b"\x04"


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


async def read_all(fd: int) -> AsyncIterator[bytes]:
    """Yield what comes out of a pipe or a pseudo-terminal until its other side is closed (EIO on the latter, pty(7))."""
    os.set_blocking(fd, False)
    while True:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            await _ready(fd)
            continue
        except OSError as error:
            if error.errno == errno.EIO:
                return
            raise
        if not data:
            return
        yield data


class Session:
    """`Attached` of engine/platform.py. `ended` is the future of the exit status, `hang_up` tells the dyno's loop."""

    def __init__(
        self,
        dyno: DynoView,
        stdio: Stdio,
        fds: tuple[int, ...],
        ended: "asyncio.Future[int]",
        hang_up: Callable[[], None],
    ) -> None:
        self.dyno = dyno
        self._pty = stdio is Stdio.PTY
        self._in, self._out = (fds[0], fds[0]) if self._pty else fds
        self._ended = ended
        self._hang_up = hang_up
        self._open = True
        self._eof = False

    async def output(self) -> AsyncIterator[bytes]:
        if self._open:
            async for data in read_all(self._out):
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

    async def status(self) -> int:
        return await asyncio.shield(self._ended)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        loop = asyncio.get_running_loop()
        for fd in {self._in, self._out}:
            loop.remove_reader(fd)
            loop.remove_writer(fd)
            if not (fd == self._in and self._eof):
                with contextlib.suppress(OSError):
                    os.close(fd)
        if not self._ended.done():
            self._hang_up()
