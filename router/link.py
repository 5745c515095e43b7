"""Tables in: from STATE/router/table at the start, from RUN/routes.sock ever after; wakes and activity out.

The control plane may come and go.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any

from dynod.model.certs import CertTable
from dynod.model.route import RouteTable
from dynod.model.settings import certs_file, routes_file, routes_socket
from dynod.model.spoken import ROUTES
from dynod.wire import certs as certs_codec
from dynod.wire import table as table_codec
from dynod.wire.rpc import BadFrame, Decoder, Notification, encode
from router.activity import Activity
from router.balance import Target
from router.reconnect import Link
from router.timers import Timers

AT_ONCE = 0.0005  # seconds of a large table's reading for which requests wait

_log = logging.getLogger(__name__)


def last_certs(state: str) -> CertTable | None:
    """Read the certificates that the control plane left on the disk; None if there are none."""
    try:
        with open(certs_file(state), "rb") as file:
            return certs_codec.decode(file.read())
    except FileNotFoundError:
        return None
    except (OSError, table_codec.BadTable) as error:
        _log.warning("cannot use the certificates on the disk: %s", error)
        return None


class Leaving:
    """Calls `told` once: when the last request at these dynos has ended, or after `patience` seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        targets: list[Target],
        patience: float,
        told: Callable[[], object],
    ) -> None:
        self._left = len(targets)
        self._told = told
        self._timer = loop.call_later(patience, self._end)
        for target in targets:
            target.drained = self._one_drained

    def _one_drained(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._timer.cancel()
            self._end()

    def _end(self) -> None:
        if self._left >= 0:
            self._left = -1
            self._told()


class RoutesLink:
    """`swap` gets each new table; `connected` is called when the control plane is there (again)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run: str,
        timers: Timers,
        *,
        swap: Callable[[RouteTable], list[Target]],
        connected: Callable[[], None],
        activity: Activity,
        certs: Callable[[CertTable], None],
        asked: Callable[[int], None],
    ) -> None:
        self._loop, self._timers = loop, timers
        self._swap = swap
        self._activity = activity
        self._asked = asked
        self._certs = certs
        self._connected = connected
        self._decoder = Decoder()
        self._tables = table_codec.Decoder()
        self._table = RouteTable()
        self._came: deque[tuple[str, bytes]] = deque()
        self._reading: Generator[None, None, RouteTable] | None = None
        self._next: asyncio.Handle | None = None
        self._refused = False  # the control plane does not understand us
        self._link = Link(loop, routes_socket(run), timers, opened=self._opened, received=self._received)

    def last_table(self, state: str) -> RouteTable | None:
        """Read the table that the control plane left on the disk; None if there is none."""
        try:
            with open(routes_file(state), "rb") as file:
                self._table = self._tables.decode(file.read())
        except FileNotFoundError:
            return None
        except (OSError, table_codec.BadTable) as error:
            _log.warning("cannot use the table on the disk: %s", error)
            return None
        return self._table

    def start(self) -> None:
        """Connect now or later."""
        self._link.start()

    def wake(self, app: str) -> None:
        """Ask for a sleeping app; without a control plane the question is put again when it is back (`connected`)."""
        self._say(Notification("wake", [app]))

    def active(self, apps: list[str]) -> bool:
        """Say which apps had requests; False when there is nobody to hear it."""
        return self._say(Notification("active", apps))

    def traffic(self, message: Mapping[str, Any]) -> bool:
        """Say what requests came to; False when there is nobody to hear it."""
        return self._say(Notification("traffic", message))

    def _say(self, what: Notification) -> bool:
        return not self._refused and self._link.write(encode(what))

    async def close(self) -> None:
        """Hang up, once what was said is out; who does not read is not waited for long."""
        self._link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timers.goodbye):
                await self._link.gone.wait()

    def _opened(self) -> None:
        self._decoder = Decoder()
        self._came.clear()
        self._reading = None  # a whole table comes with each connection
        self._refused = False
        self._link.write(encode(Notification("hello", ROUTES.hello())))
        self._link.write(encode(Notification("takes", ["change"])))
        self._connected()

    def _received(self, data: bytes) -> None:
        try:
            frames = self._decoder.feed(data)
        except BadFrame as error:
            _log.warning("hanging up on the control plane: %s", error)
            self._link.drop()
            return
        for frame in frames:
            match frame:
                case Notification(("table" | "change") as method, bytes(packed) | [bytes(packed)]):
                    self._came.append((method, packed))
                    if self._next is None:
                        self._go_on()
                case Notification("certs", bytes(packed)):
                    self._take_certs(packed)
                case Notification("report", [int(number)]):
                    self._activity.flush()
                    self._link.write(encode(Notification("reported", [number])))
                case Notification("measure", [int(number)]):
                    self._asked(number)
                case Notification("refused", str(why)):
                    self._refused = True
                    _log.warning("going on with the routes of before: %s", why)
                case _:
                    pass

    def _go_on(self) -> None:
        """Take the tables that came, in their order: a small one at once, a large one between the requests of others."""
        self._next = None
        until = time.perf_counter() + AT_ONCE
        while self._came or self._reading is not None:
            self._step()
            if time.perf_counter() > until:
                self._next = self._loop.call_soon(self._go_on)
                return

    def _step(self) -> None:
        try:
            if self._reading is not None:
                next(self._reading)
                return
            method, packed = self._came.popleft()
            if method == "table":
                self._reading = self._tables.decoding(packed)
                return
            self._take(table_codec.changed(self._table, packed))
        except StopIteration as end:
            self._reading = None
            self._take(end.value)
        except table_codec.BadTable as error:
            _log.warning("keeping the old table: %s", error)
            if self._reading is None:  # no change of ours: the next connection brings a whole table
                self._link.drop()
            self._reading = None

    def _take(self, table: RouteTable) -> None:
        self._table = table
        leaving = self._swap(table)
        self._activity.swapped(table.apps)
        # The control plane waits for this before it tells a dyno to stop: no new request meets one that is leaving, and short ones
        # that are under way come to their end.
        applied = partial(self._link.write, encode(Notification("applied", [table.generation])))
        if leaving:
            Leaving(self._loop, leaving, self._timers.leave, applied)
        else:
            applied()

    def _take_certs(self, packed: bytes) -> None:
        try:
            table = certs_codec.decode(packed)
        except table_codec.BadTable as error:
            _log.warning("keeping the old certificates: %s", error)
            return
        self._certs(table)
        # The control plane waits for this before it lets an authority ask.
        self._link.write(encode(Notification("applied_certs", [table.generation])))
