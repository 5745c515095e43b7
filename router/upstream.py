"""The dyno's side: connections to dynos, and the idle ones each target keeps. Bytes in and out; what they mean is the exchange's."""

import asyncio
from typing import TYPE_CHECKING, cast

from router import compiled
from router.balance import Target, checkin
from router.exchange import CONTINUE, Exchange, Phase
from router.reasons import DynoFault, lost

if TYPE_CHECKING:
    from router.proxy import Proxy
    from router.server import Client

MOST_IDLE = 1_024  # kept per dyno from one tick to the next; they go by their age before that
_WAITING = Phase.WAITING  # an enumeration looks its members up anew each time


class Dyno(asyncio.Protocol):
    """One connection to a dyno; `client` is whose request it carries, None in the pool."""

    __slots__ = (
        "_finishing",
        "_proxy",
        "_reading",
        "blocked",
        "client",
        "idle_since",
        "served",
        "target",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, proxy: "Proxy", target: Target) -> None:
        self._proxy = proxy
        self._reading = True
        self.target = target
        self.client: Client | None = None
        self._finishing = False
        self.blocked = False  # the dyno does not read what we send
        self.served = False  # a request, before
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def begin(self, client: "Client", exchange: Exchange, now: float) -> None:
        """Send a request's head, and what is there of its body, in one write."""
        self.client = client
        client.dyno = self
        if now == exchange.started:
            exchange.connect_ms = 0
        else:
            exchange.tried(now)
        exchange.connected_at = now
        proxy = self._proxy
        if exchange.request_done:
            exchange.phase = _WAITING
            client.deadline = now + proxy.first_byte
            self.transport.write(exchange.made or proxy.head_for(client, exchange))
            return
        exchange.phase = Phase.SENDING
        client.deadline = now + proxy.timers.idle
        body = client.take_body()
        if body is None:
            return  # it was no body: the client has been told
        head = exchange.made or proxy.head_for(client, exchange)
        self.transport.writelines((head, body))  # in one write, and no copy
        if exchange.request.expects_continue and not exchange.request_done and not exchange.continued:
            exchange.continued = True
            client.transport.write(CONTINUE)
        client.body_sent(exchange)

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None or (exchange := client.exchange) is None:
            self.transport.abort()  # it speaks unasked
            return
        proxy = self._proxy
        if exchange.plain and not proxy.draining:
            answer = compiled.answer(data, True, b"")
            if answer is not None and answer[2]:
                made, status, _, left = answer
                if left:
                    exchange.begin_passing(status, left)
                    self._pass(client, exchange, proxy, made)
                else:
                    exchange.status = status
                    self._answered(client, exchange, proxy, made)
                return
        elif exchange.passing and (left := exchange.left - len(data)) >= 0:
            if left:
                exchange.left = left
                self._pass(client, exchange, proxy, data)
            else:
                self._answered(client, exchange, proxy, data)
            return
        exchange.plain = False
        self._received(client, exchange, data)

    @staticmethod
    def _pass(client: "Client", exchange: Exchange, proxy: "Proxy", data: bytes) -> None:
        exchange.to_client += len(data)
        client.transport.write(data)
        client.deadline = proxy.time() + proxy.timers.idle

    def _answered(self, client: "Client", exchange: Exchange, proxy: "Proxy", last: bytes) -> None:
        """Do as `Proxy.finish` does for the usual answer, the last of which came to a request that went on as it was: in one go."""
        exchange.to_client += len(last)
        client.transport.write(last)
        client.exchange = client.dyno = None
        time, target = proxy.time, self.target  # see Client.data_received
        now = time()
        if self.blocked or not self._reading or target.gone:
            self.leave(True, now)
        else:
            self.client = None
            self.served = True
            self.idle_since = now
            target.idle.append(self)
        checkin(target)
        exchange.service_ms = int((now - (exchange.connected_at or now)) * 1000 + 0.5)
        if proxy.stamped != now:
            proxy.stamp(now)
        exchange.at = proxy.stamp_us
        proxy.lines.add(exchange)
        if target.queue:
            proxy.waiting.admit(target.queue, now)
        client.next(now)

    def _received(self, client: "Client", exchange: Exchange, data: bytes) -> None:
        proxy = self._proxy
        try:
            out = exchange.from_dyno(data, proxy.draining)
        except DynoFault as fault:
            proxy.fail(client, exchange, fault.failure)
            return
        exchange.to_client += len(out)
        if exchange.answered:
            proxy.finish(client, exchange, out)
            return
        if out:
            client.transport.write(out)
        client.deadline = proxy.loop.time() + proxy.timers.idle
        if exchange.phase is Phase.TUNNEL:
            proxy.piped(client, exchange, self)

    def connection_lost(self, exc: Exception | None) -> None:
        client = self.client
        if client is None:
            if self in self.target.idle:
                self.target.idle.remove(self)
        elif client.exchange is not None:
            if (failure := lost(exc)) is not None:
                self._proxy.fail(client, client.exchange, failure)
            else:
                self._proxy.dyno_lost(client, client.exchange, clean=exc is None)

    def pause_writing(self) -> None:
        self.blocked = True
        if self.client is not None:
            self.client.settle_reading()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.client is not None:
            client = self.client
            if client.exchange is not None and client.exchange.phase in {Phase.SENDING, Phase.TUNNEL}:
                client.deadline = self._proxy.loop.time() + self._proxy.timers.idle
            client.settle_reading()

    def read(self, *, on: bool) -> None:
        """Read from the dyno or let it wait: back-pressure of a client that does not read."""
        if on is not self._reading and not self.transport.is_closing():
            self._reading = on
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def leave(self, keep: bool, now: float) -> None:
        """Part from the client: back into the pool, or closed."""
        client, self.client = self.client, None
        if keep and not self.blocked and not self.target.gone and not self.transport.is_closing():
            self.served = True
            self.idle_since = now
            if not self._reading:
                self.read(on=True)
            self.target.idle.append(self)
        elif not self._finishing:
            if client is not None:
                client.stop_splice()
            self.transport.abort()

    def finish(self) -> None:
        """Close once what was written is out: the client's last bytes in a tunnel are the dyno's to read."""
        self._finishing = True
        self.transport.close()

    def write(self, data: bytes) -> None:
        """Send bytes of a body or a tunnel."""
        if data:
            self.transport.write(data)


def take(target: Target, oldest: float) -> Dyno | None:
    """Take the connection used last, if it went idle after `oldest`; the others grow old and are closed."""
    idle: list[Dyno] = target.idle
    while idle:
        if idle[-1].idle_since <= oldest:
            return None
        dyno = idle.pop()
        if not dyno.transport.is_closing():
            return dyno
    return None


def expire(target: Target, before: float) -> None:
    """Close what has been idle since before then, and of the rest what is too much."""
    idle: list[Dyno] = target.idle
    while idle and (idle[0].idle_since < before or len(idle) > MOST_IDLE):
        idle.pop(0).transport.abort()
