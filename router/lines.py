"""Access lines out to RUN/logplex.sock, in batches. A slow or absent logplex slows no request: what cannot wait is dropped and counted."""

import asyncio
import contextlib
import logging

from dynod.model.settings import log_socket
from dynod.wire.rpc import Notification, encode
from router.exchange import Exchange
from router.reconnect import Link
from router.timers import Timers

WAITING = 10_000  # records kept while logplex is away or slow
BATCH = 200  # rows per frame: few enough for the processor's cache, and for the frame's limit with the longest of lines

_log = logging.getLogger(__name__)


class Lines:
    """`add` is all a request ever does here; formatting and sending come later, for many at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: str, timers: Timers) -> None:
        self._loop = loop
        self._timers = timers
        self._waiting: list[Exchange] = []
        self._timer: asyncio.TimerHandle | None = None
        self._link = Link(loop, log_socket(run), timers, opened=self._opened, received=self._received)
        self.dropped = 0
        self._told = 0

    def start(self) -> None:
        """Connect now or later."""
        self._link.start()

    def add(self, exchange: Exchange) -> None:
        """Take a finished request."""
        self._waiting.append(exchange)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timers.flush, self._flush)
        elif len(self._waiting) == BATCH:
            self._send()

    async def close(self) -> None:
        """Send what is there, hang up; a logplex that does not read is not waited for long."""
        if self._timer is not None:
            self._timer.cancel()
        self._send()
        self._link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timers.goodbye):
                await self._link.gone.wait()

    def _flush(self) -> None:
        self._timer = None
        self._send()
        if self._waiting:
            self._limit()
            if self._link.ready:
                self._timer = self._loop.call_later(self._timers.flush, self._flush)

    def _send(self) -> None:
        waiting = self._waiting
        while waiting and self._link.ready:
            self._link.write(encode(Notification("lines", [exchange.row() for exchange in waiting[:BATCH]])))
            del waiting[:BATCH]

    def _limit(self) -> None:
        over = len(self._waiting) - WAITING
        if over > 0:
            del self._waiting[:over]
            self.dropped += over

    def _opened(self) -> None:
        if self.dropped > self._told:
            _log.warning("dropped %d access lines while logplex was away or slow", self.dropped - self._told)
            self._told = self.dropped
        self._send()

    def _received(self, data: bytes) -> None:
        """Logplex has nothing to say to us."""
