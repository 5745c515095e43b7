"""Logplex, from the control plane's side: lines out, history and tails in. Logplex may go away and come back at any time.

`write` never waits: lines are kept here, numbered, until logplex says that they are in their rings. After a restart of logplex
they are sent again from the first that it did not confirm, and logplex leaves out those it has: each is there once, in order.
When more wait than may, the newest are counted and dropped, and the count is logged once logplex is back (L12).
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import islice
from typing import Any

from dynod.link import Lost, Peer, connect
from dynod.model.codes import l12
from dynod.model.log import LogLine, LogQuery, Source
from dynod.model.refused import Refusal, Refused
from dynod.model.spoken import LOGPLEX
from dynod.wire.rpc import BadFrame, Decoder, Notification, Request, Response, encode

_log = logging.getLogger(__name__)
ROWS, CHARS = 20_000, 8 * 1024 * 1024  # what may wait
BATCH_ROWS, BATCH_CHARS = 500, 256 * 1024
READ = 256 * 1024
PATIENCE = 5.0  # how long a reader waits for a logplex that is being started again
FIRST_DELAY, LAST_DELAY = 0.02, 1.0
_Numbered = tuple[int, LogLine]


class LogLink:
    """Make it inside a running loop; `path` is dynod.model.settings.log_socket(run)."""

    def __init__(
        self, path: str, *, rows: int = ROWS, patience: float = PATIENCE, rate: int | None = None
    ) -> None:
        """`rate`: what logplex is to let each dyno log, told each time it is met; None leaves it as it is."""
        self._path = path
        self._limit = rows
        self._patience = patience
        self._rate = rate
        self._writer = uuid.uuid4().hex
        self._waiting: deque[list[Any]] = deque()
        self._chars = 0
        self._first = 1  # the number of the first line that waits
        self._dropped: dict[str, tuple[int, int]] = {}  # app -> how many lines, since when
        self.lost = 0  # in all
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._task = asyncio.get_running_loop().create_task(self._send_all())

    @property
    def waiting(self) -> int:
        """How many lines logplex has not confirmed."""
        return len(self._waiting)

    def write(self, app: str, source: str, process: str, text: str, at_us: int | None = None) -> None:
        """Log a line, or several if `text` has several. Never waits and never fails."""
        at = time.time_ns() // 1000 if at_us is None else at_us
        for line in text.encode("utf-8", "replace").decode().removesuffix("\n").split("\n"):
            if len(self._waiting) >= self._limit or self._chars >= CHARS:
                count, since = self._dropped.get(app, (0, at))
                self._dropped[app] = (count + 1, since)
                self.lost += 1
            else:
                self._put([app, at, str(source), process, line])

    async def recent(self, query: LogQuery) -> list[LogLine]:
        """Return the newest `query.lines` lines that match; raise Refused(UNAVAILABLE) when logplex stays away."""
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    with contextlib.suppress(OSError):
                        return [line async for _, line in self._follow(query, -1, live=False)]
                    await _pause(FIRST_DELAY)
        except TimeoutError:
            raise _away(f"read the log of {query.app}") from None

    async def tail(self, query: LogQuery) -> AsyncIterator[LogLine]:
        """Yield history, then live lines until the app is forgotten; a restart of logplex is not seen. The caller closes the iterator.

        What the caller does not read is not read from the socket: its queue in logplex runs over (L11), and nothing here does.
        """
        last, delay = -1, FIRST_DELAY
        while True:
            with contextlib.suppress(OSError):
                async with aclosing(self._follow(query, last, live=True)) as rows:
                    async for number, line in rows:
                        last, delay = number, FIRST_DELAY
                        yield line
                return  # logplex has said so; had it gone away, that were an error
            await _pause(delay)
            delay = min(delay * 2, LAST_DELAY)

    async def kept(self) -> int:
        """How many lines logplex took since it began; 0 while it is away or slow."""
        with contextlib.suppress(OSError, Refused, TimeoutError):
            async with asyncio.timeout(self._patience):
                return int((await self._call("stat", None))["lines"])
        return 0

    async def forget(self, app: str) -> None:
        """Drop an app's lines, also those that come later; raise Refused(UNAVAILABLE) when logplex stays away."""
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    with contextlib.suppress(OSError):
                        await self._call("forget", {"app": app})
                        return
                    await _pause(FIRST_DELAY)
        except TimeoutError:
            raise _away(f"drop the log of {app}") from None

    async def close(self) -> None:
        """Wait a moment for what is not confirmed, then hang up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._patience, 2.0)):
                await self._none.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    # -- lines out -----------------------------------------------------------------------------------------------------

    def _put(self, row: list[Any]) -> None:
        self._waiting.append(row)
        self._chars += len(row[4])
        self._some.set()
        self._none.clear()

    async def _send_all(self) -> None:
        delay = FIRST_DELAY
        while True:
            await self._some.wait()
            try:
                peer = await connect(self._path, language=LOGPLEX)
            except OSError:
                await _pause(delay)
                delay = min(delay * 2, LAST_DELAY)
                continue
            try:
                await self._tell_rate(peer)
                while True:
                    await self._some.wait()
                    await self._send(peer)
                    delay = FIRST_DELAY
            except ConnectionError:
                await _pause(delay)
            finally:
                await peer.close()

    async def _tell_rate(self, peer: Peer) -> None:
        if self._rate is not None:
            with contextlib.suppress(Refused, RuntimeError):  # an older logplex knows no limit
                await peer.call("rate", {"rate": self._rate})

    async def _send(self, peer: Peer) -> None:
        """Send what waits, or a batch of it, and strike it out once it is confirmed."""
        rows: list[list[Any]] = []
        chars = 0
        for row in islice(self._waiting, BATCH_ROWS):
            rows.append(row)
            chars += len(row[4])
            if chars >= BATCH_CHARS:
                break
        try:
            await peer.call("write", {"writer": self._writer, "first": self._first, "rows": rows})
        except (Refused, RuntimeError) as error:
            if isinstance(error, Refused) and error.refusal is Refusal.CONFLICT:
                raise Lost(error.message) from None  # of another version, and soon replaced: the lines wait
            # a bug of ours or of logplex: the same lines would be refused for ever
            _log.exception("logplex refused %d lines", len(rows))
        for row in rows:
            self._waiting.popleft()
            self._chars -= len(row[4])
        self._first += len(rows)
        self._tell_dropped()
        if not self._waiting:
            self._some.clear()
            self._none.set()

    def _tell_dropped(self) -> None:
        now = time.time_ns() // 1000
        for app, (count, since) in self._dropped.items():
            self._put([app, now, str(Source.HEROKU), "logplex", l12(count, since)])
        self._dropped.clear()

    # -- lines in ------------------------------------------------------------------------------------------------------

    async def _call(self, method: str, params: Any) -> Any:
        peer = await connect(self._path, language=LOGPLEX)
        try:
            return await peer.call(method, params)
        finally:
            await peer.close()

    async def _follow(self, query: LogQuery, after: int, *, live: bool) -> AsyncGenerator[_Numbered, None]:
        """Yield numbered lines over a connection of its own; raise OSError when it breaks.

        Not a link Stream: that one reads on whether or not its caller does.
        """
        reader, writer = await asyncio.open_unix_connection(self._path, limit=READ)
        params = {"app": query.app, "lines": query.lines, "dyno": query.dyno, "source": query.source}
        decoder = Decoder()
        try:
            writer.write(encode(Notification("hello", LOGPLEX.hello())))
            writer.write(encode(Request(1, "follow", {**params, "after": after, "live": live})))
            while data := await reader.read(READ):
                for frame in decoder.feed(data):
                    match frame:
                        case Notification("item", [_, list(rows)]):
                            for number, at, source, process, text in rows:
                                yield number, LogLine(query.app, at, source, process, text)
                        case Response(_, None, _):
                            return
                        case Response(_, (kind, message), _):
                            raise Refused(Refusal.named(kind) or Refusal.UNAVAILABLE, message)
                        case _:
                            pass
        except BadFrame as bad:
            raise Lost(str(bad)) from bad
        finally:
            writer.close()
        raise Lost("logplex went away")


def _away(what: str) -> Refused:
    return Refused(
        Refusal.UNAVAILABLE, f"cannot {what}: logplex is away and should be back in a moment; try again"
    )


async def _pause(seconds: float) -> None:
    """Wait before the next try. A timer: nobody tells when a unix socket is listened to again."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
