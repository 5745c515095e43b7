"""HTTP/2's messages as HTTP/1.1's, and back: a stream's request becomes the bytes that every other client would have sent, and what the
router made for such a client becomes frames again.

Why over HTTP/1.1's bytes: so there is one strict reading of requests, one exchange, one set of rules for both (heads.py, exchange.py).
What could mean something else over there (a control character, a space in a path) is refused here. Sans-io.
"""

import base64
import re
import secrets
from collections.abc import Iterable

from router.framing import Chunks, chunk, last_chunk
from router.reasons import ClientFault

Header = tuple[bytes, bytes]

_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_DROPPED = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te", b"host"}
)
_NOT_SENT = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class Request:
    """A stream's request: `head` in HTTP/1.1's bytes; `body(data)`, `trailers` and `end` make what follows it."""

    def __init__(self, headers: Iterable[Header], *, ended: bool) -> None:
        pseudo: dict[bytes, bytes] = {}
        lines: list[bytes] = []
        cookies: list[bytes] = []
        sized = False
        for name, value in headers:
            if _BAD_VALUE.search(value):
                raise ClientFault("a control character in a header")
            if name.startswith(b":"):
                pseudo[name] = value
            elif not _NAME.fullmatch(name):
                raise ClientFault("a bad header name")
            elif name == b"cookie":
                cookies.append(value)  # RFC 9113 8.2.3
            elif name == b"host":
                pseudo.setdefault(b":authority", value)
            elif name not in _DROPPED:
                sized = sized or name == b"content-length"
                lines.append(b"\r\n%b: %b" % (name, value))
        if cookies:
            lines.append(b"\r\ncookie: " + b"; ".join(cookies))
        self.tunnel = b":protocol" in pseudo
        method, connection = self._method(pseudo)
        target = pseudo.get(b":path", b"")
        if not _TARGET.fullmatch(target) or not re.fullmatch(rb"[A-Za-z-]+", method):
            raise ClientFault("a bad method or path")
        self.method = method
        self.chunked = not ended and not sized and not self.tunnel
        self.end = last_chunk(b"") if self.chunked else b""
        coding = b"\r\ntransfer-encoding: chunked" if self.chunked else b""
        self.head = b"%b %b HTTP/1.1\r\nhost: %b%b%b\r\nconnection: %b\r\n\r\n" % (
            method,
            target,
            pseudo.get(b":authority", b""),
            b"".join(lines),
            coding,
            connection,
        )

    def _method(self, pseudo: dict[bytes, bytes]) -> Header:
        """Return the method and what Connection says: a stream carries one request, so its end is the connection's."""
        method = pseudo.get(b":method", b"")
        if not self.tunnel:
            return method, b"close"
        if method != b"CONNECT" or pseudo[b":protocol"] != b"websocket":
            raise ClientFault("an extended CONNECT for something else than websocket")
        # RFC 8441 5: the key has no meaning over HTTP/2, but HTTP/1.1 wants one.
        key = base64.b64encode(secrets.token_bytes(16))
        return b"GET", b"upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: " + key

    def body(self, data: bytes) -> bytes:
        return chunk(data) if self.chunked else data

    def trailers(self, headers: Iterable[Header]) -> None:
        """Take what came behind the body: it goes with the last chunk, and a body of known length has none. Raise ClientFault."""
        lines = b""
        for name, value in headers:
            if _BAD_VALUE.search(value) or not _NAME.fullmatch(name):
                raise ClientFault("a bad trailer")
            lines += b"%b: %b\r\n" % (name, value)
        if self.chunked:
            self.end = last_chunk(lines)


class Answer:
    """What the router made for the client, as it comes: `take` returns heads; `body` gathers, `ended` once it is whole.

    The bytes are of our own making (headers.py, framing.py, pages.py), so that nothing in here doubts them.
    """

    def __init__(self, method: bytes, *, tunnel: bool) -> None:
        self._head_only = method == b"HEAD"
        self._tunnel = tunnel
        self._partial = b""
        self._chunks: Chunks | None = None
        self._left: int | None = None
        self.begun = False
        self.ended = False
        self.body = bytearray()
        self.trailers: list[Header] = []

    @property
    def whole(self) -> bool:
        """Whether the end of the connection can be the end of the response: the rest may have been cut off."""
        return self.ended or (self.begun and self._chunks is None and self._left is None)

    def take(self, data: bytes) -> list[list[Header]]:
        """Take bytes; return the heads that are in them, interim ones first."""
        found = []
        if not self.begun:
            data = self._partial + data
            while not self.begun and (end := data.find(b"\r\n\r\n")) != -1:
                found.append(self._head(data[:end]))
                data = data[end + 4 :]
            if not self.begun:
                self._partial = data
                return found
        self._body(data)
        return found

    def _head(self, head: bytes) -> list[Header]:
        start, *lines = head.split(b"\r\n")
        status = start[9:12]
        headers = [(b":status", status)]
        for line in lines:
            name, _, value = line.partition(b":")
            lower, text = name.lower(), value.strip(b" \t")
            if lower == b"transfer-encoding":
                self._chunks = Chunks()
            elif lower == b"content-length":
                self._left = int(text)
            if lower not in _NOT_SENT and not (lower == b"sec-websocket-accept" and self._tunnel):
                headers.append((lower, text))
        if status == b"101":
            headers[0] = (b":status", b"200")
            self.begun = True
            self._chunks = self._left = None
        elif not status.startswith(b"1"):
            self.begun = True
            if self._head_only or status in {b"204", b"304"} or self._left == 0:
                self.ended = True
        return headers

    def _body(self, data: bytes) -> None:
        if self.ended:
            return
        if self._chunks is not None:
            self.body += self._chunks.feed(data)
            if self._chunks.done:
                self.ended = True
                self.trailers = _trailers(self._chunks.trailers)
            return
        self.body += data
        if self._left is not None:
            self._left -= len(data)
            self.ended = self._left <= 0


def _trailers(lines: bytes) -> list[Header]:
    found = []
    for line in filter(None, lines.split(b"\r\n")):
        name, _, value = line.partition(b":")
        found.append((name.lower(), value.strip(b" \t")))
    return found
