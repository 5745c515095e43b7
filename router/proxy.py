"""The life of a request, in order: the app's standing, checkout of a dyno, connection, exchange, checkin, access line.

One Proxy per worker owns what its connections share. `swap` takes a new routing table: one assignment, then the held requests look again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from email.utils import formatdate
from math import inf
from typing import TYPE_CHECKING

from dynod.model.route import RouteTable, Standing
from router import pages
from router.activity import Activity
from router.balance import Target, checkin, checkout, tries
from router.exchange import Exchange, Phase
from router.headers import prepare
from router.reasons import Failure
from router.request_ids import request_ids
from router.table import Routes
from router.timers import Timers
from router.upstream import Dyno, expire, take

if TYPE_CHECKING:
    from router.lines import Lines
    from router.server import Client

_REFUSED_BY = {
    Standing.CRASHED: Failure.H10,
    Standing.NO_WEB: Failure.H14,
    Standing.BLANK: Failure.H81,
    Standing.SPENT: Failure.H82,
    Standing.MAINTENANCE: Failure.H80,
}


class Proxy:
    """`wake` asks the control plane for a sleeping app, `tell` says which ones had requests; `chance` is uniform in [0, 1)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lines: "Lines",
        wake: Callable[[str], None],
        tell: Callable[[list[str]], bool],
        chance: Callable[[], float],
        *,
        port: int,
        timers: Timers,
    ) -> None:
        self.loop = loop
        self.timers = timers
        self.first_byte = timers.first_byte
        self._fresh = timers.fresh
        self.port = port
        self.routes = Routes(RouteTable())
        self.has_table = False
        self.ids = request_ids()
        self.draining = False
        self.drained = asyncio.Event()
        self._lines = lines
        self._wake = wake
        self._chance = chance
        self._clients: set[Client] = set()
        self._held: set[Client] = set()
        self._woken: set[str] = set()
        self.activity = Activity(loop, timers.active, self._under_way, tell)
        self._active = self.activity.apps
        self._connects: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._stamped = -1.0
        self._stamp_us = 0
        self._stamp_ms = b""

    # -- the table -----------------------------------------------------------------------------------------------

    def swap(self, table: RouteTable) -> list[Target]:
        """Route by this table from now on; return the dynos that left it with requests still under way."""
        before = self.routes
        self.routes = Routes(table, before)
        self.has_table = True
        self._woken.clear()
        kept = self.routes.by_id()
        leaving = []
        for id, target in before.by_id().items():
            if kept.get(id) is not target:
                target.gone = True
                expire(target, inf)
                if target.in_flight:
                    leaving.append(target)
        now = self.loop.time()
        for client in list(self._held):
            exchange = client.exchange
            if exchange is not None and exchange.phase is Phase.HELD:
                self._look_again(client, exchange, now)
        return leaving

    def _look_again(self, client: "Client", exchange: Exchange, now: float) -> None:
        host = exchange.request.host
        assert host is not None
        site = self.routes.find(host)
        if site is None:
            self._held.discard(client)
            self.fail(client, exchange, Failure.H99)  # the app went away under a request of its own
            return
        exchange.site = site
        self.start(client, exchange, now)

    def rewake(self) -> None:
        """Ask again for every app that is waited for: the control plane may have lost the question."""
        self._woken.clear()
        for client in self._held:
            if client.exchange is not None and client.exchange.site.route.standing is Standing.IDLE:
                self._ask_to_wake(client.exchange.site.route.app)

    def _under_way(self) -> list[str]:
        exchanges = [client.exchange for client in self._clients]
        return [each.site.route.app for each in exchanges if each is not None and each.target is not None]

    def under_way(self) -> Mapping[str, int]:
        """Say how many requests each app has, those that are held too."""
        exchanges = [client.exchange for client in self._clients]
        return Counter([each.site.route.app for each in exchanges if each is not None])

    def _ask_to_wake(self, app: str) -> None:
        if app not in self._woken:
            self._woken.add(app)
            self._wake(app)

    # -- one request ---------------------------------------------------------------------------------------------

    def start(self, client: "Client", exchange: Exchange, now: float) -> None:
        """Send it to a dyno, hold it, or refuse it, by the standing of its app."""
        route = exchange.site.route
        if exchange.give_up is not None:
            self._held.discard(client)
        if exchange.site.targets:
            target = checkout(exchange.site.targets, now, self._chance)
            if target is None:
                exchange.held_failure = Failure.H34
                self._hold(client, exchange, now, until=now + self.timers.tick)
                return
            exchange.target = target
            if route.app not in self._active:
                self.activity.note(route.app)
            dyno = take(target, inf if exchange.retried else now - self._fresh)
            if dyno is None and exchange.replayable and not exchange.retried:
                dyno = take(target, 0.0)
            if dyno is not None:
                dyno.begin(client, exchange, now)
            else:
                self._connect(client, exchange, target)
            return
        failure = _REFUSED_BY.get(route.standing)
        if failure is not None:
            self.fail(client, exchange, failure)
            return
        if route.standing is Standing.IDLE:
            self._ask_to_wake(route.app)
        exchange.held_failure = Failure.H20
        self._hold(client, exchange, now, until=now + self.timers.boot)

    def _hold(self, client: "Client", exchange: Exchange, now: float, *, until: float) -> None:
        exchange.phase = Phase.HELD
        exchange.target = None
        if exchange.give_up is None:
            exchange.give_up = now + self.timers.boot
        client.deadline = min(until, exchange.give_up)
        self._held.add(client)

    def _connect(self, client: "Client", exchange: Exchange, target: Target) -> None:
        exchange.phase = Phase.CONNECTING
        task = self.loop.create_task(self._connected(client, exchange, target))
        self._connects.add(task)
        task.add_done_callback(self._connects.discard)

    async def _connected(self, client: "Client", exchange: Exchange, target: Target) -> None:
        failure = Failure.H21
        dyno: Dyno | None = None
        try:
            async with asyncio.timeout(self.timers.connect):
                _, dyno = await self.loop.create_connection(
                    lambda: Dyno(self, target), target.backend.address, target.backend.port
                )
        except TimeoutError:
            failure = Failure.H19
        except OSError:
            pass
        now = self.loop.time()
        if client.exchange is not exchange:  # the client went away meanwhile
            if dyno is not None:
                dyno.leave(keep=True, now=now)
        elif dyno is not None:
            dyno.begin(client, exchange, now)
        else:
            self._not_connected(client, exchange, target, failure, now)

    def _not_connected(
        self, client: "Client", exchange: Exchange, target: Target, failure: Failure, now: float
    ) -> None:
        target.quarantined_until = now + self.timers.quarantine
        exchange.tries += 1
        if exchange.tries >= tries(exchange.site.targets):
            exchange.tried(now)
            self.fail(client, exchange, failure)
            return
        self._checkin(exchange)
        self.start(client, exchange, now)

    def _checkin(self, exchange: Exchange) -> None:
        if exchange.target is not None:
            checkin(exchange.target)
            exchange.target = None

    def head_for(self, client: "Client", exchange: Exchange) -> bytes:
        """Make the head the dyno gets."""
        started = exchange.started
        if self._stamped != started:
            self._stamp(started)
        request = exchange.request
        if request.close is not exchange.site.close_dyno or not request.lead:
            prepare(request, client.origin, close=exchange.site.close_dyno)
        return b"%b%b%b%b\r\n\r\n" % (request.lead, exchange.request_id, request.trail, self._stamp_ms)

    def _stamp(self, now: float) -> None:
        self._stamped = now
        self._stamp_us = int((time.time() - self.loop.time() + now) * 1e6)
        self._stamp_ms = b"%d" % (self._stamp_us // 1000)

    # -- ends ----------------------------------------------------------------------------------------------------

    def finish(self, client: "Client", exchange: Exchange) -> None:
        """The response has been made to its end."""
        now = self.loop.time()
        keep = exchange.keep_client
        self._part(client, exchange, now, keep=exchange.keep_dyno)
        if keep:
            client.next(now)
        else:
            client.end(whole=exchange.request_done)

    def fail(self, client: "Client", exchange: Exchange, failure: Failure) -> None:
        """End an exchange for a reason: told to the client if no response has begun, else its connection ends short."""
        exchange.failure = failure
        exchange.status = failure.value.status
        now = self.loop.time()
        self._part(client, exchange, now, keep=False)
        if exchange.head_made:
            if exchange.ends_by_close():
                client.transport.abort()
            else:
                client.end(whole=True)
        elif failure in {Failure.H27, Failure.H28}:
            client.transport.abort()  # it is gone, or as good as gone
        else:
            client.answer(failure, exchange.request, exchange)
            client.next(now)

    def _part(self, client: "Client", exchange: Exchange, now: float, *, keep: bool) -> None:
        dyno = client.dyno
        client.exchange = None
        client.dyno = None
        if exchange.give_up is not None:
            self._held.discard(client)
        if dyno is not None:
            dyno.leave(keep=keep, now=now)
        if exchange.target is not None:
            checkin(exchange.target)
        if self._stamped != now:
            self._stamp(now)
        exchange.ended = now
        exchange.at = self._stamp_us
        self._lines.add(exchange)

    def dyno_lost(self, client: "Client", exchange: Exchange, *, clean: bool) -> None:
        """A dyno's connection ended under a request."""
        dyno = client.dyno
        assert dyno is not None
        if dyno.served and exchange.phase is Phase.WAITING and exchange.replayable and not exchange.retried:
            exchange.retried = True  # kept alive by us, closed by it at the same moment: nobody's fault
            client.dyno = None
            dyno.client = None
            self._checkin(exchange)
            self.start(client, exchange, self.loop.time())
            return
        failure = exchange.dyno_lost(clean=clean)
        if failure is None:
            self.finish(client, exchange)
        else:
            self.fail(client, exchange, failure)

    def client_lost(self, client: "Client", exchange: Exchange) -> None:
        """A client went away under its own request; a tunnel just ends."""
        if exchange.phase is not Phase.TUNNEL:
            exchange.failure = Failure.H27
            exchange.status = Failure.H27.value.status
        elif client.dyno is not None:
            client.dyno.finish()
        self._part(client, exchange, self.loop.time(), keep=False)

    def page(self, failure: Failure, exchange: Exchange | None, *, keep: bool, head_only: bool) -> bytes:
        """Make the router's own answer."""
        if exchange is None:
            body = pages.page(failure)
        else:
            route = exchange.site.route
            body = pages.page(failure, error_page=route.error_page, maintenance_page=route.maintenance_page)
        return pages.answer(failure, body, date=formatdate(usegmt=True), keep=keep, head_only=head_only)

    # -- connections and their deadlines -------------------------------------------------------------------------

    def opened(self, client: "Client") -> None:
        """Count a client in; the timer runs while there is one."""
        self._clients.add(client)
        if self._timer is None:
            self._timer = self.loop.call_later(self.timers.tick, self._tick)
        if self.draining:
            self._see_off(client)

    def closed(self, client: "Client") -> None:
        """Count a client out."""
        self._clients.discard(client)
        self._held.discard(client)
        if self.draining and not self._clients:
            self.drained.set()

    def _tick(self) -> None:
        now = self.loop.time()
        for client in [client for client in self._clients if client.deadline <= now]:
            client.expired(now)
        for target in self.routes.by_id().values():
            expire(target, now - self.timers.dyno_idle)
        self._timer = None
        if self._clients:
            self._timer = self.loop.call_later(self.timers.tick, self._tick)

    def drain(self) -> None:
        """Take no new requests: idle clients are closed now, the others after their answer, which those that just came get too."""
        self.draining = True
        for client in list(self._clients):
            if client.exchange is None:
                self._see_off(client)
        if not self._clients:
            self.drained.set()

    def _see_off(self, client: "Client") -> None:
        if client.awaited:
            client.deadline = min(client.deadline, self.loop.time() + self.timers.welcome)
        else:
            client.end(whole=True)

    def close(self) -> None:
        """Drop everything."""
        self.activity.flush()
        self.activity.stop()
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._connects):
            task.cancel()
        for client in list(self._clients):
            client.transport.abort()
        for target in self.routes.by_id().values():
            expire(target, inf)
