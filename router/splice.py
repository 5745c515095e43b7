"""A large body from one socket to the other by splice(2), through a pipe: no byte of it is copied here, nor by the kernel on its way.

The sockets are their transports' still, which neither read nor write the meanwhile; ours are duplicates, since a loop lets nobody else watch
a transport's. Rejected: a pool of pipes, since making one costs a hundredth of what a MiB saves; splicing small bodies, which come with
their heads in one read.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable

LARGE = 128 * 1024  # bytes of a body that are still to come: below that it is not worth a pipe
PIPE = 256 * 1024  # that may wait in one
MOST = 64  # at a time: an unprivileged user's pipes are large up to 64 MiB (pipe(7)), and two routers may be there
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Splice:
    """Moves `count` bytes. `moved` hears how many went, each time; `lost`, that the source has no more. OSError where it cannot begin."""

    __slots__ = ("_held", "_in", "_left", "_loop", "_lost", "_moved", "_out", "_sink", "_source", "blocked")

    under_way = 0

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: asyncio.Transport,
        sink: asyncio.Transport,
        count: int,
        moved: Callable[[int], None],
        lost: Callable[[], None],
    ) -> None:
        if Splice.under_way >= MOST:
            raise BlockingIOError("as many pipes as there may be")
        self._loop, self._left, self._moved, self._lost = loop, count, moved, lost
        self._held = 0
        self.blocked = False  # the sink takes nothing for now
        with contextlib.ExitStack() as undo:
            self._source, self._sink = (_duplicate(transport, undo) for transport in (source, sink))
            self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            undo.pop_all()
        with contextlib.suppress(OSError):  # one of 64 KiB, or less, will do
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE)
        Splice.under_way += 1
        loop.add_reader(self._source, self._readable)

    def _readable(self) -> None:
        try:
            count = os.splice(self._source, self._in, min(self._left, PIPE), flags=_FLAGS)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self.stop()
            self._lost()
            return
        self._left -= count
        self._held = count
        self._write(count)

    def _write(self, count: int) -> None:
        while self._held:
            try:
                self._held -= os.splice(self._out, self._sink, self._held, flags=_FLAGS)
            except BlockingIOError:
                self._block(count)
                return
            except OSError:
                self.stop()  # whoever reads from the sink hears why
                return
        if self.blocked:
            self.blocked = False
            self._loop.remove_writer(self._sink)
            self._loop.add_reader(self._source, self._readable)
        self._moved(count)

    def _block(self, count: int) -> None:
        if not self.blocked:
            self.blocked = True
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._write, count)

    def stop(self) -> None:
        """Let go of everything, once."""
        if self._in < 0:
            return
        Splice.under_way -= 1
        self._loop.remove_writer(self._sink)
        self._loop.remove_reader(self._source)
        for descriptor in (self._source, self._sink, self._out, self._in):
            os.close(descriptor)
        self._in = -1


def _duplicate(transport: asyncio.Transport, undo: contextlib.ExitStack) -> int:
    made = os.dup(transport.get_extra_info("socket").fileno())
    undo.callback(os.close, made)
    return made
