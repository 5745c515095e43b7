"""Access lines out to RUN/logplex.sock, in batches. A slow or absent logplex slows no request: what cannot wait is dropped and counted."""

import asyncio
import logging

from dynod.model.settings import log_socket
from dynod.wire.rpc import Notification, encode
from router.access_line import Record, rows
from router.reconnect import Link
from router.timers import Timers

WAITING = 10_000  # records kept while logplex is away or slow
BATCH = 250  # rows per frame, so that the longest of lines stay under the frame's limit

_log = logging.getLogger(__name__)


class Lines:
    """`add` is all a request ever does here; formatting and sending come later, for many at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: str, timers: Timers) -> None:
        self._loop = loop
        self._timers = timers
        self._records: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None
        self._link = Link(loop, log_socket(run), timers, opened=self._opened, received=self._received)
        self.dropped = 0
        self._told = 0

    def start(self) -> None:
        """Connect now or later."""
        self._link.start()

    def add(self, record: Record) -> None:
        """Take a finished request."""
        self._records.append(record)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timers.flush, self._flush)

    def close(self) -> None:
        """Send what is there, hang up."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._link.close()

    def _flush(self) -> None:
        self._timer = None
        records = self._records
        sent = 0
        while sent < len(records) and self._link.ready:
            batch = records[sent : sent + BATCH]
            self._link.write(encode(Notification("lines", rows(batch))))
            sent += len(batch)
        del records[:sent]
        over = len(records) - WAITING
        if over > 0:
            del records[:over]
            self.dropped += over
        elif self.dropped > self._told and not records:
            _log.warning("dropped %d access lines while logplex was away or slow", self.dropped - self._told)
            self._told = self.dropped
        if records and self._link.ready:
            self._timer = self._loop.call_later(self._timers.flush, self._flush)

    def _opened(self) -> None:
        if self._records and self._timer is None:
            self._timer = self._loop.call_later(self._timers.flush, self._flush)

    def _received(self, data: bytes) -> None:
        """Logplex has nothing to say to us."""
