"""One worker process: a loop, a listening socket, its own copy of the table. Joins the parts; decides nothing."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import random
import signal
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import uvloop

from dynod.lean import settle
from dynod.model.route import RouteTable
from router.acme import Challenged
from router.balance import Target
from router.lines import Lines
from router.link import RoutesLink, last_certs
from router.metrics import Metrics
from router.negotiated import negotiated
from router.proxy import Proxy
from router.pulse import ROUND, beat
from router.secure import HANDSHAKE, Secured, Shaking
from router.server import Client
from router.timers import Timers
from router.tls import Certificates, new_context

BACKLOG = 1024
MAPPED, KEPT = (-3, 4 * 2**20), (-1, 8 * 2**20)  # mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


class Secure(NamedTuple):
    """Where TLS is listened for; a context that all workers share; what keys others for the same tickets, where that can be."""

    listener: socket.socket
    base: ssl.SSLContext
    keyed: Callable[[ssl.SSLContext], bool] | None = None


_log = logging.getLogger(__name__)


class Worker:
    """`open`, then `drain` or `close`. Tests run it in their own loop."""

    def __init__(
        self,
        run: str,
        state: str,
        *,
        timers: Timers | None = None,
        chance: random.Random | None = None,
        place: tuple[int, int] = (0, 1),
    ) -> None:
        self._run = run
        self._state = state
        self._timers = timers or Timers()
        self._chance = chance or random.Random()
        self._place = place  # which of how many workers
        self.lines: Lines
        self.metrics: Metrics
        self.proxy: Proxy
        self.certificates: Certificates
        self._link: RoutesLink
        self._servers: list[asyncio.Server] = []

    async def open(self, listener: socket.socket, secure: Secure | None = None) -> None:
        """Serve on bound sockets; the last tables from the disk are in force before the first request."""
        loop = asyncio.get_running_loop()
        self.metrics = Metrics(loop, self._timers.counts, self._under_way, self._tell_traffic)
        self.lines = Lines(loop, self._run, self._timers, self.metrics)
        self.proxy = Proxy(
            loop,
            self.lines,
            self._wake,
            self._tell,
            self._chance.random,
            port=listener.getsockname()[1],
            timers=self._timers,
            place=self._place,
        )
        self.certificates = (
            Certificates(new_context()) if secure is None else Certificates(secure.base, secure.keyed)
        )
        self._link = RoutesLink(
            loop,
            self._run,
            self._timers,
            swap=self._swap,
            connected=self._connected,
            activity=self.proxy.activity,
            certs=self.certificates.swap,
            asked=self._asked,
        )
        table = self._link.last_table(self._state)
        if table is not None:
            self.proxy.swap(table)
        certs = last_certs(self._state)
        if certs is not None:
            self.certificates.swap(certs)
        self._link.start()
        self.lines.start()
        self._servers = [await loop.create_server(self._client, sock=listener, backlog=BACKLOG)]
        if secure is not None:
            self._servers.append(await self._open_tls(secure.listener))

    def _client(self) -> Client:
        challenges = self.certificates.challenges
        return Challenged(self.proxy, challenges) if challenges else Client(self.proxy)

    async def _open_tls(self, listener: socket.socket) -> asyncio.Server:
        port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        shaking, certificates = Shaking(loop), self.certificates
        made, addresses = negotiated(self.proxy, port), self.proxy.addresses
        return await loop.create_server(
            lambda: Secured(shaking, certificates.first or certificates.begin(), made, addresses),
            sock=listener,
            backlog=BACKLOG,
        )

    def _close_servers(self) -> None:
        for server in self._servers:
            server.close()

    def _wake(self, app: str) -> None:
        self._link.wake(app)

    def _swap(self, table: RouteTable) -> list[Target]:
        leaving = self.proxy.swap(table)
        self.metrics.keep(table.apps)
        return leaving

    def _asked(self, number: int) -> None:
        self.lines.take()
        self.metrics.asked(number)

    def _tell(self, apps: list[str]) -> bool:
        return self._link.active(apps)

    def _tell_traffic(self, message: Mapping[str, Any]) -> bool:
        return self._link.traffic(message)

    def _under_way(self) -> Mapping[str, int]:
        return self.proxy.under_way()

    def _connected(self) -> None:
        self.proxy.waiting.rewake()
        self.proxy.activity.flush()

    async def leave(self, stop: asyncio.Event) -> None:
        """Let another one take over: accept no more, and wait until everybody has gone, or `stop`.

        Who is connected is told so with the next answer, WebSockets go on; nobody is cut off before the limit of `leave_all`.
        """
        await self._accept_no_more()
        self.proxy.leave()
        if len(self._servers) > 1:  # handshakes under way are nobody's connections yet
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), HANDSHAKE)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_either(stop, self.proxy.drained), self._timers.leave_all)

    async def _accept_no_more(self) -> None:
        for _ in range(2):
            await asyncio.sleep(0)  # a turn of the loop, which accepts all that has come
        self._close_servers()

    async def drain(self) -> None:
        """Take the connections that wait, accept no more, let requests under way end within the limit, then close."""
        await self._accept_no_more()
        self.proxy.drain()
        try:
            async with asyncio.timeout(self._timers.drain):
                await self.proxy.drained.wait()
        except TimeoutError:
            _log.warning("closing requests that outlived the drain limit")
        await self.close()

    async def close(self) -> None:
        """Drop all connections."""
        self._close_servers()
        self.proxy.close()
        await self.lines.close()
        self.metrics.close()
        await self._link.close()


async def _serve(
    run: str,
    state: str,
    listener: socket.socket,
    secure: Secure | None,
    place: tuple[int, int],
    says: int,
    every: float,
) -> None:
    loop = asyncio.get_running_loop()
    stop, leave = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, leave.set)
    worker = Worker(run, state, place=place)
    await worker.open(listener, secure)
    settle()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)  # a request leaves no cycles behind
    if says >= 0:
        os.set_blocking(says, False)
        beat(loop, says, every)
    await _either(stop, leave)
    if not stop.is_set():
        await worker.leave(stop)
    await worker.drain()


def _keep_memory() -> None:
    """Have glibc keep the few MiB that large pieces pass through: given back each time, they cost more in page faults than the pieces."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        for option, size in (MAPPED, KEPT):
            library.mallopt(option, size)


async def _either(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


def serve(
    run: str,
    state: str,
    listener: socket.socket,
    secure: Secure | None = None,
    place: tuple[int, int] = (0, 1),
    says: int = -1,
    every: float = ROUND / 2,
) -> None:
    """Be a worker until SIGTERM, or until nobody is left after SIGUSR1. `place`: which one of how many; `says` gets a byte once it serves,
    and one `every` so many seconds while it does.
    """
    _keep_memory()
    uvloop.run(_serve(run, state, listener, secure, place, says, every))
