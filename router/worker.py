"""One worker process: a loop, a listening socket, its own copy of the table. Joins the parts; decides nothing."""

import asyncio
import gc
import logging
import random
import signal
import socket

import uvloop

from router.lines import Lines
from router.link import RoutesLink, last_table
from router.proxy import Proxy
from router.server import Client
from router.timers import Timers

BACKLOG = 1024

_log = logging.getLogger(__name__)


class Worker:
    """`open`, then `drain` or `close`. Tests run it in their own loop."""

    def __init__(
        self, run: str, state: str, *, timers: Timers | None = None, chance: random.Random | None = None
    ) -> None:
        self._run = run
        self._state = state
        self._timers = timers or Timers()
        self._chance = chance or random.Random()
        self.lines: Lines
        self.proxy: Proxy
        self._link: RoutesLink
        self._server: asyncio.Server

    async def open(self, listener: socket.socket) -> None:
        """Serve on a bound socket; the last table from the disk is in force before the first request."""
        loop = asyncio.get_running_loop()
        self.lines = Lines(loop, self._run, self._timers)
        self.proxy = Proxy(
            loop,
            self.lines,
            self._wake,
            self._tell,
            self._chance.random,
            port=listener.getsockname()[1],
            timers=self._timers,
        )
        self._link = RoutesLink(
            loop,
            self._run,
            self._timers,
            swap=self.proxy.swap,
            connected=self._connected,
            activity=self.proxy.activity,
        )
        table = last_table(self._state)
        if table is not None:
            self.proxy.swap(table)
        self._link.start()
        self.lines.start()
        self._server = await loop.create_server(lambda: Client(self.proxy), sock=listener, backlog=BACKLOG)

    def _wake(self, app: str) -> None:
        self._link.wake(app)

    def _tell(self, apps: list[str]) -> bool:
        return self._link.active(apps)

    def _connected(self) -> None:
        self.proxy.rewake()
        self.proxy.activity.flush()

    async def drain(self) -> None:
        """Take the connections that wait, accept no more, let requests under way end within the limit, then close."""
        for _ in range(2):
            await asyncio.sleep(0)  # a turn of the loop, which accepts all that has come
        self._server.close()
        self.proxy.drain()
        try:
            async with asyncio.timeout(self._timers.drain):
                await self.proxy.drained.wait()
        except TimeoutError:
            _log.warning("closing requests that outlived the drain limit")
        await self.close()

    async def close(self) -> None:
        """Drop all connections."""
        self._server.close()
        self.proxy.close()
        self._link.close()
        await self.lines.close()


async def _serve(run: str, state: str, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = Worker(run, state)
    await worker.open(listener)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # a request leaves no cycles behind
    await stop.wait()
    await worker.drain()


def serve(run: str, state: str, listener: socket.socket) -> None:
    """Be a worker until SIGTERM."""
    uvloop.run(_serve(run, state, listener))
