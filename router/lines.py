"""Access lines out to RUN/logplex.sock, in batches. A slow or absent logplex slows no request: what cannot wait is dropped and counted.

Who lost lines reads so in the log (L12), once logplex reads again. A line that waits is a short row; the request it tells of is let go.
"""

import asyncio
import contextlib
import logging
import time
from datetime import UTC, datetime

from dynod.model.settings import log_socket
from dynod.model.spoken import LOGPLEX
from dynod.wire.rpc import BadFrame, Decoder, Notification, encode
from router.exchange import Exchange
from router.metrics import Metrics
from router.reconnect import Link
from router.timers import Timers

WAITING = 10_000  # rows kept while logplex is away or slow
BATCH = 200  # rows per frame: few enough for the frame's limit with the longest of lines
# Requests summed up in one go: few enough for the processor's cache, and for those who wait meanwhile.
TOGETHER = 50

_log = logging.getLogger(__name__)
Row = list[str | int]


class Lines:
    """`add` is all a request ever does here; counting, formatting and sending come later, for many at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: str, timers: Timers, metrics: Metrics) -> None:
        self._loop = loop
        self._timers = timers
        self._metrics = metrics
        self._fresh: list[Exchange] = []
        self._waiting: list[Row] = []
        self._lost: dict[str, tuple[int, int]] = {}  # app -> how many, since when: not told yet
        self._timer: asyncio.TimerHandle | None = None
        self._decoder = Decoder()
        self._refused = False  # logplex does not understand us
        self._link = Link(
            loop, log_socket(run), timers, opened=self._opened, received=self._received, resumed=self._reads
        )
        self.dropped = 0

    def start(self) -> None:
        """Connect now or later."""
        self._link.start()

    def add(self, exchange: Exchange) -> None:
        """Take a finished request."""
        fresh = self._fresh
        fresh.append(exchange)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timers.flush, self._flush)
        elif len(fresh) >= TOGETHER:
            self._sum_up()
            if len(self._waiting) >= BATCH:
                self.take()

    async def close(self) -> None:
        """Send what is there, hang up; a logplex that does not read is not waited for long."""
        if self._timer is not None:
            self._timer.cancel()
        self.take()
        self._link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timers.goodbye):
                await self._link.gone.wait()

    def _flush(self) -> None:
        self._timer = None
        self.take()

    def take(self) -> None:
        """Count what has ended, and send it."""
        self._sum_up()
        self._send()
        over = len(self._waiting) - WAITING
        if over > 0:
            self._drop(over)

    def _sum_up(self) -> None:
        fresh = self._fresh
        if fresh:
            self._fresh = []
            self._metrics.count(fresh)
            self._waiting += [exchange.row() for exchange in fresh]

    def _send(self) -> None:
        waiting = self._waiting
        while waiting and self._link.ready and not self._refused:
            self._link.write(encode(Notification("lines", waiting[:BATCH])))
            del waiting[:BATCH]

    def _drop(self, count: int) -> None:
        """Let the oldest go."""
        for row in self._waiting[:count]:
            app, at = str(row[0]), int(row[1])
            lost, since = self._lost.get(app, (0, at))
            self._lost[app] = (lost + 1, since)
        del self._waiting[:count]
        self.dropped += count
        self._metrics.dropped += count

    def _opened(self) -> None:
        """Logplex is there, perhaps of another version than the last."""
        self._decoder = Decoder()
        self._refused = False
        self._link.write(encode(Notification("hello", LOGPLEX.hello())))
        self._reads()

    def _reads(self) -> None:
        """Logplex is there, or reads again: what it missed comes before what it gets."""
        if self._lost and not self._refused:
            now = time.time_ns() // 1000
            rows: list[Row] = []
            for app, (count, since) in self._lost.items():
                when = datetime.fromtimestamp(since / 1_000_000, UTC).isoformat(timespec="microseconds")
                rows.append(
                    [app, now, "heroku", "logplex", f"Error L12: {count} messages dropped since {when}."]
                )
            _log.warning(
                "dropped %d access lines while logplex was away or slow",
                sum(count for count, _ in self._lost.values()),
            )
            self._lost.clear()
            self._waiting[:0] = rows
        self._send()

    def _received(self, data: bytes) -> None:
        """Logplex has one thing to say: that it does not understand us. Lines wait until another one is there."""
        try:
            frames = self._decoder.feed(data)
        except BadFrame as error:
            _log.warning("hanging up on logplex: %s", error)
            self._link.drop()
            return
        for frame in frames:
            match frame:
                case Notification("refused", str(why)):
                    self._refused = True
                    _log.warning("keeping access lines: %s", why)
                case _:
                    pass
