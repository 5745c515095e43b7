"""What the router does with each header: two tables of tiny functions, run over the lines they name (HEROKU.md 4.2, 4.3).

All other lines go through as they came, in order and case: slices of a head whose grammar httptools has checked (heads.py). A rule
returns True to keep its line where it is. What the router adds comes last.
"""

import re
from collections.abc import Callable

from router.reasons import ClientFault, DynoFault, Failure

VIA = b"1.1 heroku-router"
CHUNKED = -1  # in place of a length
UNTIL_CLOSE = -2

_REQUEST_ID = re.compile(rb"[A-Za-z0-9+/=-]{20,200}")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class RequestHead:
    """One request's head."""

    __slots__ = (
        "connection",
        "expect",
        "expects_continue",
        "forwarded_for",
        "host",
        "keep_alive",
        "length",
        "lines",
        "method",
        "minor",
        "request_id",
        "target",
        "upgrade",
        "via",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.minor = 1  # HTTP/1.minor
        self.lines = b""  # kept header lines, each led by CRLF
        self.host: bytes | None = None
        self.length: int | None = None  # of the body; CHUNKED; None if not said
        self.keep_alive = True
        self.connection = b""
        self.upgrade = b""
        self.expect: bytes | None = None
        self.expects_continue = False
        self.via = b""
        self.forwarded_for = b""
        self.request_id = b""


class ResponseHead:
    """One response's head."""

    __slots__ = (
        "has_server",
        "keep_alive",
        "length",
        "lines",
        "minor",
        "size",
        "start",
        "status",
        "upgrade",
        "via",
    )

    def __init__(self) -> None:
        self.status = 0
        self.start = b""  # the status line, without CRLF
        self.size = 0  # in bytes, to the end of the empty line
        self.minor = 1
        self.lines = b""
        self.length: int | None = None
        self.keep_alive = True  # the connection may carry another request
        self.via = b""
        self.has_server = False
        self.upgrade = False


def _drop(head: "RequestHead | ResponseHead", value: bytes) -> bool:  # noqa: ARG001  # a rule's shape
    return False


def _joined(before: bytes, value: bytes) -> bytes:
    return before + b", " + value if before else value


# -- requests ------------------------------------------------------------------------------------------------------


def _host(head: RequestHead, value: bytes) -> bool:
    if head.host is not None:
        if head.host != value:
            raise ClientFault("two different Host headers")
        return False
    if not value:
        raise ClientFault("an empty Host header")
    head.host = value
    return True


def _request_length(head: RequestHead, value: bytes) -> bool:
    if head.length is not None or not value.isdigit() or len(value) > 18:
        raise ClientFault("a bad Content-Length")
    head.length = int(value)
    return True


def _request_encoding(head: RequestHead, value: bytes) -> bool:
    if head.length is not None or value.lower() != b"chunked" or head.minor == 0:
        raise ClientFault("a bad Transfer-Encoding")
    head.length = CHUNKED
    return False  # made anew, as the chunks are


def _request_connection(head: RequestHead, value: bytes) -> bool:
    head.connection = _joined(head.connection, value.lower())
    return False


def _request_upgrade(head: RequestHead, value: bytes) -> bool:
    head.upgrade = _joined(head.upgrade, value)
    return False


def _expect(head: RequestHead, value: bytes) -> bool:
    head.expect = _joined(head.expect or b"", value.lower())
    return False


def _request_via(head: RequestHead, value: bytes) -> bool:
    head.via = _joined(head.via, value)
    return False


def _forwarded_for(head: RequestHead, value: bytes) -> bool:
    head.forwarded_for = _joined(head.forwarded_for, value)
    return False


def _request_id(head: RequestHead, value: bytes) -> bool:
    if not head.request_id and _REQUEST_ID.fullmatch(value):
        head.request_id = value
    return False


RequestRule = Callable[[RequestHead, bytes], bool]
REQUEST_RULES: dict[bytes, RequestRule] = {
    b"host": _host,
    b"content-length": _request_length,
    b"transfer-encoding": _request_encoding,
    b"connection": _request_connection,
    b"keep-alive": _drop,
    b"te": _drop,
    b"proxy-authorization": _drop,
    b"upgrade": _request_upgrade,
    b"expect": _expect,
    b"via": _request_via,
    b"x-forwarded-for": _forwarded_for,
    b"x-forwarded-proto": _drop,
    b"x-forwarded-port": _drop,
    b"x-request-id": _request_id,
    b"x-request-start": _drop,
}


def settle_request(head: RequestHead) -> None:
    """Judge what no single line can, if a line was cut: raise ClientFault, or decide keep-alive, upgrade and expectation."""
    if head.host is None:
        raise ClientFault("no Host header")
    if head.connection:
        tokens = _tokens(head.connection)
        head.keep_alive = b"close" not in tokens and (head.minor == 1 or b"keep-alive" in tokens)
        if b"upgrade" not in tokens:
            head.upgrade = b""
        elif not head.upgrade:
            raise ClientFault("Connection: upgrade without an Upgrade header")
    elif head.upgrade:
        head.upgrade = b""
    if head.upgrade and (head.minor == 0 or b"h2c" in head.upgrade.lower()):
        head.upgrade = b""  # a pipe to a dyno speaking HTTP/2 would be past every rule here
    if head.expect:
        if head.expect != b"100-continue":
            malformed = _TOKEN.match(head.expect) is None
            raise ClientFault("a bad Expect", Failure.BAD_REQUEST if malformed else Failure.H26_EXPECT)
        head.expects_continue = head.minor == 1


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.split(b",")]


def dyno_head(head: RequestHead, origin: bytes, request_id: bytes, start: bytes, close: bool) -> bytes:
    """Make the head that the dyno gets. `origin`: see `origin_lines`; `start`: the time; `close`: the dyno is to close its connection."""
    added = b""
    if head.length == CHUNKED:
        added = b"\r\nTransfer-Encoding: chunked"
    if head.upgrade:
        added += b"\r\nConnection: Upgrade\r\nUpgrade: " + head.upgrade
    elif close:
        added += b"\r\nConnection: close"
    if head.forwarded_for:
        origin = origin.replace(b"-For: ", b"-For: " + head.forwarded_for + b", ", 1)
    return b"%b %b HTTP/1.1%b%b\r\nX-Request-Id: %b%b\r\nVia: %b\r\nX-Request-Start: %b\r\n\r\n" % (
        head.method,
        head.target,
        head.lines,
        added,
        request_id,
        origin,
        head.via + b", " + VIA if head.via else VIA,
        start,
    )


def origin_lines(peer: bytes, proto: bytes, port: int) -> bytes:
    """Who came, by which door: appended to the client's chain, and in place of what it claimed."""
    return b"\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Port: %d" % (peer, proto, port)


# -- responses -----------------------------------------------------------------------------------------------------


def _response_length(head: ResponseHead, value: bytes) -> bool:
    if head.length is not None or not value.isdigit() or len(value) > 18:
        raise DynoFault("a bad Content-Length", Failure.H25_LENGTH)
    head.length = int(value)
    return True


def _response_encoding(head: ResponseHead, value: bytes) -> bool:
    if head.length is not None or value.lower() != b"chunked":
        raise DynoFault("a bad Transfer-Encoding")
    head.length = CHUNKED
    return False


def _response_connection(head: ResponseHead, value: bytes) -> bool:
    if value != b"keep-alive" or head.minor == 0:
        tokens = _tokens(value.lower())
        head.keep_alive = b"close" not in tokens and (head.minor == 1 or b"keep-alive" in tokens)
    return False


def _response_via(head: ResponseHead, value: bytes) -> bool:
    head.via = _joined(head.via, value)
    return False


def _server(head: ResponseHead, value: bytes) -> bool:  # noqa: ARG001  # a rule's shape
    head.has_server = True
    return True


def _response_upgrade(head: ResponseHead, value: bytes) -> bool:  # noqa: ARG001  # a rule's shape
    head.upgrade = True
    return True


ResponseRule = Callable[[ResponseHead, bytes], bool]
RESPONSE_RULES: dict[bytes, ResponseRule] = {
    b"content-length": _response_length,
    b"transfer-encoding": _response_encoding,
    b"connection": _response_connection,
    b"keep-alive": _drop,
    b"via": _response_via,
    b"server": _server,
    b"upgrade": _response_upgrade,
}


def client_head(head: ResponseHead, keep: bool, chunked: bool, line: bytes, body: bytes) -> bytes:
    """Make the head that the client gets, and put the body behind it; `keep`: its connection may go on; `line`: one more, or nothing."""
    return b"%b%b%b%b%b\r\nVia: %b\r\n%b\r\n%b" % (
        head.start if head.minor else b"HTTP/1.1" + head.start[8:],
        head.lines,
        b"\r\nTransfer-Encoding: chunked" if chunked else b"",
        b"\r\nConnection: keep-alive" if keep else b"\r\nConnection: close",
        b"" if head.has_server else b"\r\nServer: Heroku",
        head.via + b", " + VIA if head.via else VIA,
        line,
        body,
    )


def tunnel_bytes(head: ResponseHead) -> bytes:
    """Make the head of a 101."""
    return b"HTTP/1.1%b%b\r\nConnection: Upgrade\r\nVia: %b\r\n\r\n" % (
        head.start[8:],
        head.lines,
        _joined(head.via, VIA),
    )
