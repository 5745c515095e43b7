"""New connections to dynos, for requests that found none idle: how long one is tried, and what becomes of a dyno that takes none."""

import asyncio
from typing import TYPE_CHECKING

from router.balance import Target, tries
from router.exchange import Exchange, Phase
from router.reasons import Failure
from router.upstream import Dyno

if TYPE_CHECKING:
    from router.proxy import Proxy
    from router.server import Client


class Connecting:
    """`begin` one for a request; `stop` them all."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self, client: "Client", exchange: Exchange, target: Target) -> None:
        """Connect to a dyno, and send it the request."""
        exchange.phase = Phase.CONNECTING
        task = self._proxy.loop.create_task(self._connected(client, exchange, target))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def stop(self) -> None:
        """Let go of all that are under way."""
        for task in list(self.tasks):
            task.cancel()

    async def _connected(self, client: "Client", exchange: Exchange, target: Target) -> None:
        proxy = self._proxy
        failure = Failure.H21
        dyno: Dyno | None = None
        try:
            async with asyncio.timeout(proxy.timers.connect):
                _, dyno = await proxy.loop.create_connection(
                    lambda: Dyno(proxy, target), target.backend.address, target.backend.port
                )
        except TimeoutError:
            failure = Failure.H19
        except OSError:
            pass
        now = proxy.loop.time()
        if client.exchange is not exchange:  # the client went away meanwhile
            if dyno is not None:
                dyno.leave(True, now)
        elif dyno is not None:
            dyno.begin(client, exchange, now)
        else:
            self._not_connected(client, exchange, target, failure, now)

    def _not_connected(
        self, client: "Client", exchange: Exchange, target: Target, failure: Failure, now: float
    ) -> None:
        target.quarantined_until = now + self._proxy.timers.quarantine
        exchange.tries += 1
        if exchange.tries >= tries(exchange.site.targets):
            exchange.tried(now)
            self._proxy.fail(client, exchange, failure)
            return
        self._proxy.again(client, exchange, now)
