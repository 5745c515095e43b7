"""A unix socket that is connected whenever somebody listens there. Owns the coming back, not what is said."""

import asyncio
from collections.abc import Callable
from typing import cast

from router.timers import Timers

FULL = 4 * 1024 * 1024  # bytes that wait for a slow reader


class Link(asyncio.Protocol):
    """`opened` is called at each new connection, `received` with its bytes, `resumed` when one who did not read reads again.

    Nothing is ever waited for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: str,
        timers: Timers,
        *,
        opened: Callable[[], None],
        received: Callable[[bytes], None],
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._path = path
        self._timers = timers
        self._opened = opened
        self._received = received
        self._resumed = resumed
        self._transport: asyncio.Transport | None = None
        self._pause = timers.retry
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._blocked = False
        self.gone = asyncio.Event()  # after `close`: all that was written is out

    def start(self) -> None:
        """Try now, and again after each failure or loss, with growing pauses."""
        if not self._closed:
            self._timer = None
            self._task = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._loop.create_unix_connection(lambda: self, self._path)
        except OSError:
            self._later()

    def _later(self) -> None:
        if not self._closed:
            self._timer = self._loop.call_later(self._pause, self.start)
            self._pause = min(self._pause * 2, self._timers.retry_most)

    @property
    def ready(self) -> bool:
        """Whether bytes can go out at once."""
        return self._transport is not None and not self._blocked

    def write(self, data: bytes) -> bool:
        """Send, or return False when nobody listens or reads."""
        if self._transport is None or self._blocked:
            return False
        self._transport.write(data)
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(FULL)
        self._blocked = False
        self._pause = self._timers.retry
        self._opened()

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._resumed()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's shape
        self._transport = None
        self.gone.set()
        self._later()

    def drop(self) -> None:
        """Hang up on one who speaks nonsense; it is tried again later."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Hang up for good, once what was written is out."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._transport is None:
            self.gone.set()
        else:
            self.gone.clear()
            self._transport.close()
