"""The life of a request, in order: the app's standing, checkout of a dyno, connection, exchange, checkin, access line.

One Proxy per worker owns what its connections share. `swap` takes a new routing table: one assignment, then the held requests look again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from dynod.model.route import RouteTable, Standing
from router import pages
from router.activity import Activity
from router.addresses import Addresses
from router.affinity import checkout_sticky, cookie
from router.balance import Target, checkin, checkout, share
from router.connecting import Connecting
from router.exchange import Exchange, Phase
from router.headers import dyno_head
from router.reasons import Failure
from router.request_ids import request_ids
from router.table import Routes
from router.timers import Timers
from router.tunnels import Tunnel
from router.upstream import Dyno, expire, take
from router.waiting import Waiting

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
_WAITING = Phase.WAITING  # an enumeration looks its members up anew each time


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
        place: tuple[int, int] = (0, 1),
    ) -> None:
        self.loop = loop
        self.time = loop.time
        self.timers = self._own_timers = timers
        self.first_byte = timers.first_byte
        self._fresh = timers.fresh
        self._place = place  # which of how many workers
        self.addresses = Addresses()
        self.port = port
        self.routes = Routes(RouteTable())
        self.has_table = False
        self.ids = request_ids()
        self.draining = self.leaving = False
        self.drained = asyncio.Event()
        self.lines = lines
        self._chance = chance
        self._clients: set[Client] = set()
        self.waiting = Waiting(timers.boot, self.start, wake)
        self.activity = Activity(loop, timers.active, self._under_way, tell)
        self._active = self.activity.apps
        self.connecting = Connecting(self)
        self._timer: asyncio.TimerHandle | None = None
        self.stamped = -1.0
        self.stamp_us = 0
        self.stamp_ms = b""

    # -- the table -----------------------------------------------------------------------------------------------

    def swap(self, table: RouteTable) -> list[Target]:
        """Route by this table from now on; return the dynos that left it with requests still under way."""
        before = self.routes
        self.timers = self._own_timers.limited(table.limits)
        most = share(table.limits.in_flight, *self._place)
        self.routes = Routes(table, before, most)
        self.waiting.limits, self.waiting.most = table.limits, most
        self.addresses.most = table.limits.per_address
        self.has_table = True
        leaving = []
        for target in self.routes.left(before):
            target.gone = True
            expire(target, inf)
            if target.in_flight:
                leaving.append(target)
        for queue in filter(None, before.queues.values()):
            queue.clear()  # they wait anew, in the same order
        now = self.loop.time()
        for client in self.waiting.swapped():
            exchange = client.exchange
            if exchange is not None and exchange.phase is Phase.HELD:
                self._look_again(client, exchange, now)
        return leaving

    def _look_again(self, client: "Client", exchange: Exchange, now: float) -> None:
        host = exchange.host
        assert host is not None
        site = self.routes.find(host)
        if site is None:
            self.fail(client, exchange, Failure.H99)  # the app went away under a request of its own
            return
        exchange.site = site
        client.untake(exchange.unmade())  # the app may want another head now
        self.start(client, exchange, now)

    def _under_way(self) -> list[str]:
        exchanges = [client.exchange for client in self._clients]
        return [each.site.route.app for each in exchanges if each is not None and each.target is not None]

    def under_way(self) -> Mapping[str, int]:
        """Say how many requests each app has, those that are held too."""
        exchanges = [client.exchange for client in self._clients]
        return Counter([each.site.route.app for each in exchanges if each is not None])

    # -- one request ---------------------------------------------------------------------------------------------

    def start(self, client: "Client", exchange: Exchange, now: float) -> None:
        """Send it to a dyno, hold it, or refuse it, by the standing of its app."""
        site = exchange.site
        route = site.route
        if exchange.give_up is not None:
            self.waiting.let_go(client, exchange)
        if site.targets:
            if site.sticky is None:
                target = checkout(site.targets, now, self._chance)
            else:
                target, stays = checkout_sticky(exchange.request.lines, site.sticky, now, self._chance)
                if target is not None and not stays:
                    exchange.cookie = cookie(route.app, target, site.host, time.time())
            if target is None:
                self._line_up(client, exchange, now)
                return
            exchange.target = target
            if route.app not in self._active:
                self.activity.note(route.app)
            self._send(client, exchange, target, now)
            return
        failure = _REFUSED_BY.get(route.standing)
        if failure is None:
            if route.standing is Standing.IDLE:
                self.waiting.wake(route.app)
            failure = self.waiting.await_boot(client, exchange, now, self.routes.queues[route.app])
        if failure is not None:
            self.fail(client, exchange, failure)

    def forward(self, client: "Client", exchange: Exchange, now: float) -> None:
        """Do as `start` does, for a request that has just come and goes on as it is to an app that serves: the usual case in one go."""
        site = exchange.site
        target = checkout(site.targets, now, self._chance)
        if target is None:
            self._line_up(client, exchange, now)
            return
        exchange.target = target
        if site.route.app not in self._active:
            self.activity.note(site.route.app)
        idle = target.idle
        if (
            idle
            and idle[-1].idle_since > now - self._fresh
            and not (dyno := idle.pop()).transport.is_closing()
        ):
            dyno.client = client
            client.dyno = dyno
            exchange.connect_ms = 0
            exchange.connected_at = now
            exchange.phase = _WAITING
            client.deadline = now + self.first_byte
            dyno.transport.write(exchange.made)
        else:
            self._send(client, exchange, target, now)

    def _line_up(self, client: "Client", exchange: Exchange, now: float) -> None:
        refused = self.waiting.line_up(client, exchange, now)
        if refused is not None:
            self.fail(client, exchange, refused)

    def _send(self, client: "Client", exchange: Exchange, target: Target, now: float) -> None:
        dyno = take(target, inf if exchange.retried else now - self._fresh)
        if dyno is None and exchange.replayable and not exchange.retried:
            dyno = take(target, 0.0)
        if dyno is not None:
            dyno.begin(client, exchange, now)
        else:
            self.connecting.begin(client, exchange, target)

    def again(self, client: "Client", exchange: Exchange, now: float) -> None:
        """Give back its place, take another; nobody who waits comes before it."""
        target = exchange.target
        assert target is not None
        checkin(target)
        exchange.target = None
        self.start(client, exchange, now)
        self.waiting.admit(target.queue, now)

    def head_for(self, client: "Client", exchange: Exchange) -> bytes:
        """Make the head the dyno gets."""
        started = exchange.started
        if self.stamped != started:
            self.stamp(started)
        return dyno_head(
            exchange.request, client.origin, exchange.request_id, self.stamp_ms, exchange.site.close_dyno
        )

    def stamp(self, now: float) -> None:
        """Say what time it is, for all that happens in this turn of the loop."""
        self.stamped = now
        self.stamp_us = int((time.time() - self.loop.time() + now) * 1e6)
        self.stamp_ms = b"%d" % (self.stamp_us // 1000)

    # -- ends ----------------------------------------------------------------------------------------------------

    def finish(self, client: "Client", exchange: Exchange, rest: bytes = b"") -> None:
        """The response has been made to its end; this much of it is still to be written."""
        now = self.loop.time()
        keep, whole = exchange.keep_client, exchange.request_done
        if rest:
            (client.transport.write if keep or not whole else client.write_last)(rest)
        self._part(client, exchange, now, exchange.keep_dyno)
        if keep:
            client.next(now)
        else:
            client.end(whole=whole)

    def fail(self, client: "Client", exchange: Exchange, failure: Failure) -> None:
        """End an exchange for a reason: told to the client if no response has begun, else its connection ends short."""
        exchange.failure = failure
        exchange.status = failure.value.status
        now = self.loop.time()
        self._part(client, exchange, now, False)
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

    def _part(self, client: "Client", exchange: Exchange, now: float, keep: bool) -> None:
        dyno = client.dyno
        client.exchange = None
        client.dyno = None
        if exchange.give_up is not None:
            self.waiting.let_go(client, exchange)
        if dyno is not None:
            dyno.leave(keep, now)
        target = exchange.target
        if target is not None:
            if exchange.tunnel is not None:
                target.tunnels -= 1
                exchange.tunnel.leave(client, exchange)
            else:
                checkin(target)
        if self.stamped != now:
            self.stamp(now)
        if exchange.connected_at is not None:
            exchange.service_ms = int((now - exchange.connected_at) * 1000 + 0.5)
        exchange.at = self.stamp_us
        self.lines.add(exchange)
        if target is not None and target.queue:
            self.waiting.admit(target.queue, now)

    def piped(self, client: "Client", exchange: Exchange, dyno: Dyno) -> None:
        """Count a request that became a WebSocket as such: it holds a place among those in flight no longer."""
        target = exchange.target
        assert target is not None
        exchange.tunnel = Tunnel(client, dyno, now := self.loop.time())
        target.tunnels += 1
        checkin(target)
        if target.queue:
            self.waiting.admit(target.queue, now)

    def dyno_lost(self, client: "Client", exchange: Exchange, *, clean: bool) -> None:
        """A dyno's connection ended under a request."""
        dyno = client.dyno
        assert dyno is not None
        if dyno.served and exchange.unread and exchange.replayable and not exchange.retried:
            exchange.retried = True  # kept alive by us, closed by it at the same moment: nobody's fault
            client.dyno = None
            dyno.client = None
            self.again(client, exchange, self.loop.time())
            return
        failure = exchange.dyno_lost(clean=clean)
        if failure is None:
            self.finish(client, exchange)
        else:
            self.fail(client, exchange, failure)

    def client_lost(self, client: "Client", exchange: Exchange, failure: Failure) -> None:
        """A client went away under its own request; a tunnel just ends."""
        if exchange.phase is not Phase.TUNNEL:
            exchange.failure = failure
            exchange.status = failure.value.status
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
        return pages.answer(failure, body, date=pages.http_date(time.time()), keep=keep, head_only=head_only)

    # -- connections and their deadlines -------------------------------------------------------------------------

    def opened(self, client: "Client") -> None:
        """Count a client in; the timer runs while there is one."""
        self._clients.add(client)
        if self._timer is None:
            self._timer = self.loop.call_later(self.timers.tick, self._tick)
        if self.leaving:
            self.drained.clear()
            client.leave()
        elif self.draining:
            self._see_off(client)
        elif client.counted:
            self.addresses.opened(client, client.transport)

    def closed(self, client: "Client") -> None:
        """Count a client out."""
        self._clients.discard(client)
        self.addresses.closed(client)
        if self.draining and not self._clients:
            self.drained.set()

    def _tick(self) -> None:
        now = self.loop.time()
        for client in [client for client in self._clients if client.deadline <= now]:
            client.expired(now)
        for target in self.routes.idle():
            expire(target, now - self.timers.dyno_idle)
        for queue in filter(None, self.routes.queues.values()):
            self.waiting.admit(queue, now)  # a quarantine may have ended
        self._timer = None
        if self._clients:
            self._timer = self.loop.call_later(self.timers.tick, self._tick)

    def leave(self) -> None:
        """Let another router take over: every answer is the last of its connection, and nobody is cut off."""
        self.draining = self.leaving = True
        for client in list(self._clients):
            client.leave()
        if not self._clients:
            self.drained.set()

    def drain(self) -> None:
        """Take no new requests: idle clients are closed now, the others after their answer, which those that just came get too."""
        self.draining, self.leaving = True, False
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
        self.connecting.stop()
        now = self.loop.time()
        for client in list(self._clients):
            if client.exchange is not None:
                client.exchange.failure = Failure.H24  # ours, not the client's
                self._part(client, client.exchange, now, keep=False)
            client.transport.abort()
        for target in self.routes.idle():
            expire(target, inf)
