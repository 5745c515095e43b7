"""TLS over one TCP connection: a protocol to the loop below, the transport of a client above (tls.py, h2.py say which).

In place of the loop's own, which serves clients and servers of any kind: that one reads until OpenSSL has no more, and pays an exception for
each time it hears so, keeps 256 KB per connection, and waits for a goodbye when it has said its own. Here a request that came in one record
is one read and its answer one write; what OpenSSL has to say besides (tickets, new keys) goes out with the next. What each side may send
is bounded above: nothing is kept here.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

from router import hands
from router.addresses import Addresses

HANDSHAKE = 10.0  # seconds
LOOKS = 0.5  # seconds between two looks at who is over it: thousands who begin one after the other do not cost a look each
RECORD = 16 * 1024  # no record is larger


class Shaking:
    """Connections whose hands are not shaken yet, the oldest first: one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since: dict[Secured, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, connection: "Secured") -> None:
        """Give it HANDSHAKE from now on."""
        self._since[connection] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(HANDSHAKE, self._look)

    def end(self, connection: "Secured") -> None:
        """It is done, one way or the other; it may be told more than once."""
        self._since.pop(connection, None)

    def _look(self) -> None:
        self._timer = None
        due = self._loop.time() - HANDSHAKE
        for connection, since in list(self._since.items()):
            if since > due:
                self._timer = self._loop.call_later(max(since - due, LOOKS), self._look)
                return
            del self._since[connection]
            connection.abort()


class Secured(asyncio.Protocol, asyncio.Transport):
    """`made` gives who is told of the connection, once hands are shaken; in `addresses` it counts from the first."""

    __slots__ = (
        "_above",
        "_addresses",
        "_closing",
        "_connection",
        "_goodbye",
        "_in",
        "_made",
        "_out",
        "_shaking",
        "_tcp",
    )

    _tcp: asyncio.Transport

    def __init__(
        self,
        shaking: Shaking,
        context: ssl.SSLContext,
        made: Callable[[ssl.SSLObject], asyncio.Protocol],
        addresses: Addresses,
    ) -> None:
        self._shaking = shaking
        self._addresses = addresses
        self._made = made
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._connection = context.wrap_bio(self._in, self._out, server_side=True)
        self._above: asyncio.Protocol | None = None
        self._closing = False
        self._goodbye = False  # the client has said so

    # -- from below ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast("asyncio.Transport", transport)
        self._shaking.begin(self)
        self._addresses.opened(self, self._tcp)

    def data_received(self, data: bytes) -> None:
        self._in.write(data)
        if self._above is None:
            self._shake()
            return
        try:
            plain = self._connection.read(RECORD)
            if self._in.pending and plain:
                plain = self._rest(plain)
        except ssl.SSLWantReadError:
            return  # a part of a record
        except ssl.SSLError:
            self._broken()
            return
        if plain:
            self._above.data_received(plain)
        else:
            self._goodbye = True
        if self._goodbye:
            self._part()

    def _part(self) -> None:
        """The client sends no more, but may be reading on (RFC 8446 6.1): who is above says whether there is an answer to come."""
        if not self._closing and (self._above is None or not self._above.eof_received()):
            self.close()

    def _rest(self, first: bytes) -> bytes:
        """Read what there is behind the first record; a goodbye, too."""
        pieces = [first]
        with contextlib.suppress(ssl.SSLWantReadError):
            while self._in.pending and not self._goodbye:
                piece = self._connection.read(RECORD)
                pieces.append(piece)
                self._goodbye = not piece
        return b"".join(pieces)

    def _shake(self) -> None:
        step = hands.shake(self._connection)
        if step == hands.WAITS:
            self._flush()
            return
        if step == hands.FAILED:
            self._broken()
            return
        self._shaking.end(self)
        self._above = self._made(self._connection)
        self._above.connection_made(self)
        if not self._in.pending:
            self._flush()
            return
        if self._connection.version() != "TLSv1.3":
            self._flush()
        self.data_received(b"")  # the first request came along; its answer takes the ticket along

    def _broken(self) -> None:
        """Tell why, and end."""
        self._flush()
        self._closing = True
        self._tcp.close()

    def _flush(self) -> None:
        if self._out.pending:
            self._tcp.write(self._out.read())

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._shaking.end(self)
        self._addresses.closed(self)
        above, self._above = self._above, None  # no cycle is left
        if above is not None:
            above.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._above is not None:
            self._above.resume_writing()

    # -- from above ----------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self._connection.write(data)
            self._tcp.write(self._out.read())

    def write_last(self, data: bytes) -> None:
        """Write what is to go out with the goodbye: `close` follows."""
        if not self._closing:
            self._connection.write(data)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        hands.goodbye(self._connection)
        self._flush()
        self._tcp.close()

    def abort(self) -> None:
        self._closing = True
        self._tcp.abort()

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        self._tcp.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._tcp.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._above = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._connection if name == "ssl_object" else self._tcp.get_extra_info(name, default)
