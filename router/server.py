"""The client's side of a connection: heads out of the stream in order, back-pressure, failures told. One Client per connection."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from router import compiled
from router.addresses import shown
from router.exchange import Exchange, Phase
from router.headers import RequestHead, origin_lines
from router.heads import REQUEST_HEAD, read_request
from router.reasons import Blame, ClientFault, Failure, lost
from router.splice import LARGE, Splice
from router.table import is_plain
from router.tunnels import End
from router.unread import hint

if TYPE_CHECKING:
    from router.proxy import Proxy
    from router.upstream import Dyno

HIGH = 64 * 1024  # of a client's bytes kept while no dyno takes them
RESPONSE_BUFFER = 1024 * 1024  # HEROKU.md 4.1: so much of a response waits for a slow client


class BrokenStream(ConnectionResetError):
    """A client of HTTP/2 was lost because one side did not keep to the protocol."""


class Client(asyncio.Protocol):
    """At most one exchange at a time; what the client sends ahead waits in `_buffer`, in order."""

    __slots__ = (
        "_advancing",
        "_blocked_size",
        "_buffer",
        "_ending",
        "_exchange",
        "_forward",
        "_keep_alive",
        "_proxy",
        "_reading",
        "_searched",
        "_served",
        "_splice",
        "_start",
        "blocked",
        "deadline",
        "dyno",
        "exchange",
        "origin",
        "peer",
        "transport",
    )

    transport: asyncio.Transport
    counted = True  # as a connection of its address
    bare = True  # its bytes are TCP's: a large body may pass by itself

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._exchange: type[Exchange] = Exchange
        self._start: Callable[[Client, Exchange, float], None] = proxy.start
        self._forward: Callable[[Client, Exchange, float], None] = proxy.forward
        self._keep_alive = proxy.timers.keep_alive
        self._buffer = bytearray()
        self._searched = 0  # no end of a head before here
        self._served = False  # it had a request
        self._reading = True
        self._ending = False  # nothing more is read from it, only thrown away
        self._advancing = False
        self._blocked_size = 0
        self._splice: Splice | None = None
        self.blocked = False  # it does not read what we send
        self.exchange: Exchange | None = None
        self.dyno: Dyno | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(RESPONSE_BUFFER, RESPONSE_BUFFER // 4)
        peername = transport.get_extra_info("peername")
        self.peer = shown(peername[0]).encode() if peername else b"127.0.0.1"
        self.origin = self.made_origin()
        self.deadline = self._proxy.loop.time() + self._proxy.timers.head
        self._proxy.opened(self)

    def made_origin(self) -> bytes:
        """Write what its requests tell dynos of it."""
        return origin_lines(self.peer, b"http", self._proxy.port)

    def connection_lost(self, exc: Exception | None) -> None:
        self._buffer.clear()
        self._ending = True
        if self.exchange is not None:
            failure = Failure.H33 if isinstance(exc, BrokenStream) else Failure.H27
            self._proxy.client_lost(self, self.exchange, lost(exc) or failure)
        self._proxy.closed(self)

    # -- bytes in ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            self._more(exchange, data)
        elif self._ending:
            pass
        elif self._buffer or self.blocked:
            self._buffer += data
            self.advance()
        else:
            # What is called is looked up as a value first: for values of an instance the interpreter has a quick way, for calls of them none.
            proxy, made, forward = self._proxy, self._exchange, self._forward
            time = proxy.time
            now = time()
            if proxy.stamped != now:
                proxy.stamp(now)
            forwarded = compiled.forward(data, proxy.routes.plain, self.origin, proxy.ids, proxy.stamp_ms)
            if forwarded is None:
                self._buffer += data
                self.advance()
            else:  # the usual case: one plain head, with its body or the beginning of it
                self._served = True
                self.exchange = exchange = made(data, forwarded, self.peer, now)
                (forward if exchange.plain else self._start)(self, exchange, now)

    def advance(self) -> None:
        """Take requests out of the buffer while none is under way; a loop, so that a thousand bad ones need no deep stack."""
        if self._advancing:
            return
        self._advancing = True
        buffer = self._buffer
        while buffer and self.exchange is None and not self._ending and not self.blocked:
            while buffer.startswith(b"\r\n"):
                del buffer[:2]  # RFC 9112 2.2: an empty line before a request is let pass
            end = buffer.find(b"\r\n\r\n", self._searched)
            if end == -1:
                self._await_head()
                break
            head = bytes(buffer[: end + 4])
            del buffer[: end + 4]
            self._searched = 0
            self._begin(head)
        self._advancing = False
        self.settle_reading()

    def _await_head(self) -> None:
        if len(self._buffer) > REQUEST_HEAD:
            self._refuse(Failure.BAD_REQUEST, None)
        elif self._searched == 0:
            self.deadline = self._proxy.loop.time() + self._proxy.timers.head
        # At least 1: an empty line before a request, or a half of one, is a part of its head and buys no time.
        self._searched = max(1, len(self._buffer) - 3)

    @property
    def awaited(self) -> bool:
        """Its request may be on the way: it had none yet, or the last one a moment ago, or a part of one is here."""
        waits = self._proxy.loop.time() - (self.deadline - self._keep_alive)  # since its last answer
        return not self._served or bool(self._buffer) or waits < self._proxy.timers.welcome

    def _begin(self, data: bytes) -> None:
        try:
            request = read_request(data)
        except ClientFault as fault:
            self._served = True
            self._unread(data, fault.failure)
            return
        self._serve(request)

    def _serve(self, request: RequestHead) -> None:
        """Find the app that a request is for, and let it begin."""
        proxy = self._proxy
        self._served = True
        host = request.host
        assert host is not None
        site = proxy.routes.seen.get(host) or proxy.routes.find(host)
        if site is None:
            unknown = Failure.NO_SUCH_APP if is_plain(host) else Failure.BAD_REQUEST
            self._refuse(unknown if proxy.has_table else Failure.NO_TABLE, request)
            return
        now = proxy.loop.time()
        exchange = self._exchange.read(request, site, request.request_id or next(proxy.ids), self.peer, now)
        self.exchange = exchange
        self._start(self, exchange, now)

    def _unread(self, data: bytes, failure: Failure) -> None:
        """Refuse a head that cannot be forwarded; the app it was for, if that is beyond doubt, hears of it."""
        proxy = self._proxy
        request = hint(data)
        site = None if request is None or request.host is None else proxy.routes.find(request.host)
        if request is None or site is None:
            self._refuse(failure, None)
            return
        exchange = self._exchange.read(request, site, next(proxy.ids), self.peer, proxy.loop.time())
        exchange.request_done = False  # whatever follows it
        self.exchange = exchange
        proxy.fail(self, exchange, Failure.H26_HEADER if failure is Failure.BAD_REQUEST else failure)

    def _more(self, exchange: Exchange, data: bytes) -> None:
        """Take bytes that came while a request is under way: its body, a tunnel's, or the next request's."""
        dyno = self.dyno
        proxy = self._proxy
        if exchange.tunnel is not None:
            exchange.tunnel.client.data_received(data)  # a stream of HTTP/2
            return
        if dyno is None or exchange.request_done:
            self._buffer += data
            self.settle_reading()
            return
        self.deadline = proxy.loop.time() + proxy.timers.idle
        body = self.take_body(data)
        if body is not None:
            dyno.write(body)
            self.body_sent(exchange)

    def take_body(self, data: bytes = b"") -> bytes | None:
        """Take what is there of the request's body, `data` last; None if it is none: the client has been told."""
        exchange = self.exchange
        assert exchange is not None
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer.clear()
        try:
            body = exchange.from_client(data) if data else b""
        except ClientFault as fault:
            self._proxy.fail(self, exchange, fault.failure)
            return None
        exchange.from_client_size += len(body)
        if exchange.request_rest:
            self._buffer += exchange.request_rest
            exchange.request_rest = b""
        return body

    def untake(self, data: bytes) -> None:
        """Have the beginning of a body back, for `take_body`."""
        self._buffer[:0] = data

    def body_sent(self, exchange: Exchange) -> None:
        """Go on: the whole request is with the dyno, or more of its body is wanted."""
        if exchange.request_done and exchange.phase is Phase.SENDING:
            exchange.phase = Phase.WAITING
            self.deadline = self._proxy.loop.time() + self._proxy.timers.first_byte
        self.settle_reading()

    def open_tunnel(self, end: End) -> None:
        """Let a tunnel's end hear what comes; what the client sent before the dyno said 101 goes first."""
        if self._buffer:
            end.data_received(bytes(self._buffer))
            self._buffer.clear()
            self.settle_reading()
        self.transport.set_protocol(end)

    # -- back-pressure -------------------------------------------------------------------------------------------

    def settle_reading(self) -> None:
        """Read from the client, or let it wait: its bytes have nowhere to go."""
        if self._splice is not None:
            return  # which reads
        dyno = self.dyno
        limit = REQUEST_HEAD + 1 if self.exchange is None and not self.blocked else HIGH
        wanted = self._ending or (len(self._buffer) < limit and not (dyno is not None and dyno.blocked))
        exchange = self.exchange
        if wanted and exchange is not None and dyno is not None and exchange.to_come >= LARGE and self.bare:
            if dyno.transport.get_write_buffer_size():
                dyno.transport.set_write_buffer_limits(0)  # it tells when all is out, and we come here again
                return
            wanted = not self._spliced(exchange, dyno)
        if wanted is not self._reading and not self.transport.is_closing():
            self._reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _spliced(self, exchange: Exchange, dyno: "Dyno") -> bool:
        """Let the rest of a large body pass by itself, if that can be."""
        if self._buffer or exchange.phase is not Phase.SENDING or self.transport.is_closing():
            return False
        count = exchange.to_come
        try:
            self._splice = Splice(
                self._proxy.loop, self.transport, dyno.transport, count, self._passed, self._gone
            )
        except OSError:
            return False
        return True

    def _passed(self, count: int) -> None:
        exchange, dyno = self.exchange, self.dyno
        assert exchange is not None
        assert dyno is not None
        exchange.passed(count)
        self.deadline = self._proxy.loop.time() + self._proxy.timers.idle
        if exchange.request_done:
            dyno.transport.set_write_buffer_limits()
            self.stop_splice()
            self.body_sent(exchange)

    def _gone(self) -> None:
        self.transport.abort()

    def stop_splice(self) -> None:
        """Read again by oneself."""
        if self._splice is not None:
            self._splice.stop()
            self._splice = None

    def pause_writing(self) -> None:
        self.blocked = True
        self._blocked_size = self.transport.get_write_buffer_size()
        if self.dyno is not None:
            self.dyno.read(on=False)

    def resume_writing(self) -> None:
        self.blocked = False
        if self.dyno is not None:
            self.deadline = self._proxy.loop.time() + self._proxy.timers.idle
            self.dyno.read(on=True)
        else:
            self.advance()

    def write_last(self, data: bytes) -> None:
        """Write the end of a last answer: `end` follows."""
        self.transport.write(data)

    # -- ends ----------------------------------------------------------------------------------------------------

    def answer(self, failure: Failure, request: RequestHead | None, exchange: Exchange | None) -> None:
        """Answer in the app's place. The connection goes on only if the request was read whole and was none of a fault."""
        proxy = self._proxy
        whole = (
            not request.length
            if exchange is None and request is not None
            else exchange is not None and exchange.request_done
        )
        harmless = failure.value.blame is not Blame.CLIENT and not proxy.draining
        wanted = request is not None and (request.keep_alive if exchange is None else exchange.keep)
        keep = whole and wanted and harmless
        head_only = request is not None and request.method == b"HEAD"
        self.transport.write(proxy.page(failure, exchange, keep=keep, head_only=head_only))
        if not keep:
            self.end(whole=whole)

    def _refuse(self, failure: Failure, request: RequestHead | None) -> None:
        self.answer(failure, request, None)
        self.next(self._proxy.loop.time())

    def next(self, now: float) -> None:
        """Wait for the next request of this connection, or take it if it is here already."""
        if not self._ending:
            self.deadline = now + self._keep_alive
            if self._buffer:
                self.advance()

    def end(self, *, whole: bool) -> None:
        """Close after what was written. While the client may still be sending, read on for a while: a reset would destroy it."""
        self._ending = True
        self._buffer.clear()
        self.deadline = self._proxy.loop.time() + self._proxy.timers.linger
        if whole:
            self.deadline += self._proxy.timers.idle
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.settle_reading()

    def leave(self) -> None:
        """Hear that another router takes over: the next answer says so."""

    def expired(self, now: float) -> None:
        """Act on a passed deadline."""
        exchange = self.exchange
        proxy = self._proxy
        if exchange is None:
            if self._ending or self.transport.is_closing():
                self.transport.abort()
            else:
                self.end(whole=True)
            return
        if self.blocked:
            size = self.transport.get_write_buffer_size()
            if size < self._blocked_size:  # it reads, slowly
                self._blocked_size = size
                self.deadline = now + proxy.timers.idle
                return
        if exchange.phase is Phase.CONNECTING:
            return  # has its own limit
        if exchange.tunnel is not None:
            self.deadline = exchange.tunnel.look(now, proxy.timers.idle)
            if self.deadline > now:
                return
        dyno_blocked = (self.dyno is not None and self.dyno.blocked) or (
            self._splice is not None and self._splice.blocked
        )
        proxy.fail(self, exchange, exchange.expired(client_blocked=self.blocked, dyno_blocked=dyno_blocked))
