"""One proxied request, sans-io: bytes of either side go in, the bytes for the other side come out, made anew.

The sockets belong to server.py (client's) and upstream.py (dyno's), the choice of a dyno to proxy.py. What is decided here: how far
the request is (`phase`), what may be kept alive, what a lost connection or a passed deadline means (whose fault, which code).
"""

from enum import Enum
from typing import Self

from router import compiled
from router.access_line import PLAIN, line, words
from router.balance import Queue, Target
from router.compiled import Forwarded
from router.framing import BadChunk, Chunks, chunk, last_chunk
from router.headers import (
    CHUNKED,
    UNTIL_CLOSE,
    RequestHead,
    ResponseHead,
    client_head,
    tunnel_bytes,
)
from router.heads import RESPONSE_HEAD, read_request, read_response
from router.reasons import ClientFault, DynoFault, Failure
from router.table import Site
from router.tunnels import Tunnel

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INTERIM = 8  # 1xx responses before the final one
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})  # RFC 9110 9.2.2
_NO_BODY = frozenset({204, 304})


class Phase(Enum):
    HELD = "held"  # waits for a dyno: boot, wake, quarantine
    CONNECTING = "connecting"
    SENDING = "sending"  # the request's body is on its way
    WAITING = "waiting"  # all is sent, nothing came back
    ANSWERING = "answering"
    TUNNEL = "tunnel"  # after 101: a byte pipe


class Exchange:
    """Made when a head has been read and its app found. Defaults are the class's own: a plain GET sets few of them.

    Of a plain head (compiled.forward) that is all there is: the head itself is read once more if anything out of the ordinary comes.
    """

    phase = Phase.HELD
    target: Target | None = None
    tries = 0
    retried = False  # sent a second time, after a stale kept-alive connection
    give_up: float | None = None  # when holding ends
    held_failure = Failure.H20  # what it comes to if it is held too long
    queue: Queue | None = None  # where it waits for a place
    tunnel: Tunnel | None = None  # once it is one
    cookie = b""  # a header line that the client gets in addition
    connect_ms: int | None = None
    connected_at: float | None = None
    service_ms: int | None = None  # from the dyno's connection to the end
    at = 0  # the end, in microseconds since the epoch
    protocol = PLAIN  # what the access line says of it
    failure: Failure | None
    status = 0
    to_client = 0  # bytes sent to the client
    request_done = True  # all of the request's body has been read
    request_rest = b""  # what the client sent behind the request
    unread = True  # nothing of the response has come
    answered = False  # all of the response has been made
    head_made = False  # the final response's head goes out
    continued = False  # a 100 went out
    keep_client = False
    keep_dyno = False
    _request_left = 0
    _request_chunks: Chunks | None = None
    left = 0  # of the response's body; CHUNKED; UNTIL_CLOSE
    passing = False  # so much is left of the usual answer, and nothing but bytes
    _chunks: Chunks | None = None
    _partial: bytearray | None = None  # of a response's head
    _interims = 0

    def __init__(self, head: RequestHead | bytes, forwarded: Forwarded, peer: bytes, started: float) -> None:
        self._head = head
        # `made`: what the dyno gets; `from_client_size`: of its body or tunnel
        (
            self.site,
            self.request_id,
            self.host,
            self.made,
            self._words,
            self.keep,
            self.from_client_size,
            left,
        ) = forwarded
        self.plain = self.keep
        self.failure = None
        if left:
            self.plain = self.request_done = False
            self._request_left = left
        self.peer = peer
        self.started = started

    @classmethod
    def read(cls, request: RequestHead, site: Site, request_id: bytes, peer: bytes, started: float) -> Self:
        """Make one of a head that was read."""
        made = cls(
            request, (site, request_id, request.host, b"", None, request.keep_alive, 0, 0), peer, started
        )
        made.plain = False
        if request.length:
            made.request_done = False
            made._request_left = request.length
            if request.length == CHUNKED:
                made._request_chunks = Chunks()
        return made

    @property
    def request(self) -> RequestHead:
        """The head."""
        head = self._head
        if isinstance(head, bytes):
            head = self._head = read_request(head[: head.index(b"\r\n\r\n") + 4])
        return head

    def unmade(self) -> bytes:
        """Have the dyno's head made anew; return what would have gone with it of the body, which is to be taken anew too."""
        made, self.made, self.plain = self.made, b"", False
        length = self.request.length
        if not made or not length:
            return b""
        size, self.from_client_size = self.from_client_size, 0
        self.request_done, self._request_left = False, length
        return made[len(made) - size :]

    @property
    def replayable(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.request_done and not self.request.length and self.request.method in _IDEMPOTENT

    def be_last(self) -> None:
        """Let its client's connection end with it."""
        self.keep = self.keep_client = self.plain = self.passing = False

    # -- the client's bytes -------------------------------------------------------------------------------------

    def from_client(self, data: bytes) -> bytes:
        """Take body bytes, return what the dyno gets; raise ClientFault. Sets `request_done` and `request_rest`."""
        if self._request_chunks is not None:
            return self._from_chunks(self._request_chunks, data)
        left = self._request_left - len(data)
        if left > 0:
            self._request_left = left
            return data
        self.request_done = True
        if left < 0:
            self.request_rest = data[left:]
            data = data[:left]
        self._request_left = 0
        return data

    @property
    def to_come(self) -> int:
        """How much of a body of known length is still to be read."""
        return self._request_left

    def passed(self, count: int) -> None:
        """Count what went to the dyno by itself (splice.py)."""
        self.from_client_size += count
        self._request_left -= count
        self.request_done = not self._request_left

    def _from_chunks(self, chunks: Chunks, data: bytes) -> bytes:
        try:
            body = chunk(chunks.feed(data))
        except BadChunk as error:
            raise ClientFault(f"a bad body: {error}", Failure.H26_CHUNK) from None
        if chunks.done:
            self.request_done = True
            self.request_rest = chunks.rest
            body += last_chunk(chunks.trailers)
        return body

    # -- the dyno's bytes ---------------------------------------------------------------------------------------

    def from_dyno(self, data: bytes, closing: bool = False) -> bytes:
        """Take response bytes, return what the client gets; raise DynoFault. `closing`: the client's connection must end."""
        head = None
        if self.unread:
            self.unread = False
            if self.request_done and (self.made or self.request.method != b"HEAD"):
                keep = self.keep and not closing
                answer = compiled.answer(data, keep, self.cookie)
                if answer is not None:
                    made, self.status, keep_dyno, left = answer
                    self.keep_client = keep
                    self.keep_dyno = keep_dyno and (self.made != b"" or self._dyno_may_stay())
                    self._begun(left)
                    return made
            head = compiled.quick_response(data)
        elif self.head_made:
            return self._body(data)
        if head is None:
            if self._partial is not None:
                self._partial += data
                end = self._partial.find(b"\r\n\r\n", max(0, len(self._partial) - len(data) - 3)) + 4
                if end != 3:
                    data = bytes(self._partial)
                    self._partial = None
            else:
                end = data.find(b"\r\n\r\n") + 4
            if end == 3:
                return self._keep(data)
            head = read_response(data[:end])
            if head.status < 200:
                return self._interim(head, data[end:], closing=closing)
        self.status = head.status
        body = data[head.size :]
        chunked = self._frame(head, closing=closing)
        if self.left == len(body):
            self.left = 0
            self.answered = True
        else:
            self.phase = Phase.ANSWERING
            if body:
                body = self._body(body)  # may find a fault, while nothing has gone out yet
        self.head_made = True
        return client_head(head, self.keep_client, chunked, self.cookie, body)

    def begin_passing(self, status: int, left: int) -> None:
        """Hear that the usual answer came in part (upstream.py): both connections stay."""
        self.status = status
        self.plain, self.passing = False, True
        self.unread = False
        self.keep_client = self.keep_dyno = True
        self._begun(left)

    def _begun(self, left: int) -> None:
        self.head_made = True
        self.left = left
        if left:
            self.phase = Phase.ANSWERING
        else:
            self.answered = True

    def _dyno_may_stay(self) -> bool:
        return not self.request.upgrade and not self.site.close_dyno

    def _keep(self, data: bytes) -> bytes:
        if self._partial is None:
            self._partial = bytearray(data)
        if len(self._partial) > RESPONSE_HEAD:
            raise DynoFault("an oversized head", Failure.H25_HEADER)
        return b""

    def _frame(self, head: ResponseHead, *, closing: bool) -> bool:
        """Decide how long the response is and what may be kept alive; say whether it goes out in chunks."""
        request = self.request
        chunked = False
        bounded = True
        left = head.length
        if head.status in _NO_BODY or request.method == b"HEAD":
            chunked = left == CHUNKED and head.status != 204  # declared as a GET's would be
            left = 0
        elif left is None:
            left = UNTIL_CLOSE
            head.keep_alive = bounded = False
        elif left == CHUNKED:
            self._chunks = Chunks()
            chunked = bounded = request.minor == 1
        self.left = left
        if self.request_done:
            self.keep_client = bounded and self.keep and not closing
            self.keep_dyno = head.keep_alive and self._dyno_may_stay()
        return chunked

    def _interim(self, head: ResponseHead, rest: bytes, *, closing: bool) -> bytes:
        if head.status == 101:
            if not self.request.upgrade or not head.upgrade:
                raise DynoFault("a 101 that nobody asked for")
            if self.target is not None and self.target.tunnels >= self.target.tunnels_most:
                raise DynoFault("as many WebSockets as it may have", Failure.H22)
            self.status = 101
            self.head_made = True
            self.phase = Phase.TUNNEL
            return tunnel_bytes(head)[:-2] + self.cookie + b"\r\n" + rest
        self._interims += 1
        if self._interims > INTERIM or (head.status == 100 and self._interims > 1):
            raise DynoFault("a second non-terminal status", Failure.H17_BODY)
        made = b""
        if self.request.minor == 1 and not (head.status == 100 and self.continued):
            made = b"HTTP/1.1%b%b\r\n\r\n" % (head.start[8:], head.lines)
        return made + self.from_dyno(rest, closing=closing) if rest else made

    def _body(self, data: bytes) -> bytes:
        left = self.left
        if left == CHUNKED:
            return self._body_chunks(data)
        if left == UNTIL_CLOSE or self.phase is Phase.TUNNEL:
            return data
        left -= len(data)
        if left > 0:
            self.left = left
            return data
        self.left = 0
        self.answered = True
        if left < 0:  # more than was promised: the connection is of no more use
            self.keep_dyno = False
            return data[:left]
        return data

    def _body_chunks(self, data: bytes) -> bytes:
        chunks = self._chunks
        assert chunks is not None
        try:
            body = chunks.feed(data)
        except BadChunk as error:
            raise DynoFault(f"a bad body: {error}", Failure.H17_BODY) from None
        if self.request.minor == 1:
            body = chunk(body)
        if chunks.done:
            self.answered = True
            if chunks.rest:
                self.keep_dyno = False
            if self.request.minor == 1:
                body += last_chunk(chunks.trailers)
        return body

    # -- the connection in between ------------------------------------------------------------------------------

    def tried(self, now: float) -> None:
        """Note how long it took to get, or not to get, a connection; waiting for boot and queue counts in."""
        self.connect_ms = int((now - self.started) * 1000 + 0.5)

    # -- what goes wrong ----------------------------------------------------------------------------------------

    def dyno_lost(self, *, clean: bool) -> Failure | None:
        """Say what the end of the dyno's connection means; None: the response ended with it."""
        if self.phase is Phase.TUNNEL or (self.head_made and self.left == UNTIL_CLOSE and clean):
            return None
        if not self.head_made and self._partial is None and self.request_done:
            return Failure.H13
        return Failure.H18

    def expired(self, *, client_blocked: bool, dyno_blocked: bool) -> Failure:
        """Say whose silence it was. `client_blocked`: it does not read; `dyno_blocked`: it does not read the request."""
        match self.phase:
            case Phase.HELD:
                return self.held_failure
            case Phase.WAITING:
                return Failure.H12
            case Phase.SENDING:
                return Failure.H15 if dyno_blocked else Failure.H28
            case _:
                return Failure.H28 if client_blocked else Failure.H15

    def ends_by_close(self) -> bool:
        """Whether the client can tell the response's end only by the connection's, so that a broken one must be reset."""
        return self.left == UNTIL_CLOSE or (self.left == CHUNKED and self.request.minor == 0)

    def row(self) -> list[str | int]:
        """Sum it up for logplex: [app, at, source, process, text]."""
        site = self.site
        service = self.service_ms
        text = line(
            self._words or self._said(),
            "" if self.target is None else self.target.backend.dyno,
            self.connect_ms,
            service,
            self.status,
            None if service is None else self.to_client,
            self.failure,
            self.protocol,
        )
        return [site.route.app, self.at, "heroku", "router", text]

    def _said(self) -> str:
        request = self.request
        before = request.forwarded_for
        fwd = before + b", " + self.peer if before else self.peer
        return words(request.method, request.target, self.site.host, self.request_id, fwd)
