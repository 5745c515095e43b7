"""A WebSocket once the dyno has agreed to it: two ends, each of which writes what it gets to the other. Nothing else is done per message.

The ends stand in place of client and dyno as their transports' protocols. Bytes are counted; whether any came is looked at now and then, by
the clock that looks at every client's deadline (proxy.py), and not noted at each.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.exchange import Exchange
    from router.server import Client
    from router.upstream import Dyno

LOOKS = 16  # in the time for which a tunnel may be silent


class End(asyncio.Protocol):
    """One side. `whose` is the client or the dyno whose connection it is, and hears of all but bytes."""

    __slots__ = ("_whose", "_write", "count")

    def __init__(self, whose: asyncio.Protocol, write: Callable[[bytes], None]) -> None:
        self._whose = whose
        self._write = write
        self.count = 0

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self._write(data)

    def eof_received(self) -> bool | None:
        return self._whose.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._whose.connection_lost(exc)

    def pause_writing(self) -> None:
        self._whose.pause_writing()

    def resume_writing(self) -> None:
        self._whose.resume_writing()


class Tunnel:
    """`client` and `dyno` are the ends that read from them; they are in place once this is made."""

    __slots__ = ("_moved", "_seen", "client", "dyno")

    def __init__(self, client: "Client", dyno: "Dyno", now: float) -> None:
        self.client = End(client, dyno.transport.write)
        self.dyno = End(dyno, client.transport.write)
        self._seen = 0
        self._moved = client.deadline = now  # to be looked at with the next
        client.open_tunnel(self.client)
        dyno.transport.set_protocol(self.dyno)

    def leave(self, client: "Client", exchange: "Exchange") -> None:
        """Count what went through; the client is one again, of which nobody wants anything but its end."""
        exchange.to_client += self.dyno.count
        exchange.from_client_size += self.client.count
        if not client.transport.is_closing():
            client.transport.set_protocol(client)

    def look(self, now: float, idle: float) -> float:
        """Say when to look again; in the past, if nothing came for as long as `idle`."""
        count = self.client.count + self.dyno.count
        if count != self._seen:
            self._seen = count
            self._moved = now
        return min(self._moved + idle, now + idle / LOOKS)
