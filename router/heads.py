"""Heads out of bytes. httptools (llhttp, strict) judges the grammar of a whole head; the lines with a rule are then found in it by one
search, and everything between them is kept as slices.

Why not a callback per header: a browser's head costs 0.4 us to check and 0.6 us to search, against 3 us when each of its
lines becomes two objects and a call. What llhttp lets through and we do not is refused here: HTTP/0.9, 2.0, RTSP, CONNECT, other
encodings than chunked, fragments, lines over the limits. Sans-io: server.py and upstream.py find where a head ends.
"""

import re
from collections.abc import Iterable

import httptools

from router.headers import (
    REQUEST_RULES,
    RESPONSE_RULES,
    RequestHead,
    ResponseHead,
    settle_request,
)
from router.reasons import ClientFault, DynoFault, Failure

LINE = 8_192  # request line, each of its headers; status line, Set-Cookie
NAME = 1_000
COUNT = 1_000
REQUEST_HEAD = 256 * 1024  # the whole of it: what one slow client can make us keep
RESPONSE_LINE = 512 * 1024
RESPONSE_HEAD = 1024 * 1024

_SHORTEST = 5  # bytes of the shortest header line, so that counting is needed only beyond COUNT times this


def _search(names: Iterable[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n(" + b"|".join(map(re.escape, names)) + rb"):[ \t]*([^\r]*)")


_LONG_NAME = re.compile(rb"\r\n[^:\r]{%d}" % (NAME + 1))
_REQUEST = _search(REQUEST_RULES)
_RESPONSE = _search(RESPONSE_RULES)


class Requests:
    """The heads of one client connection, in turn. llhttp's state serves again as long as no body comes between."""

    __slots__ = ("_complete", "_parser")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._complete = True

    def on_message_complete(self) -> None:
        """Hear from httptools that the head had no body behind it."""
        self._complete = True

    def close(self) -> None:
        """Break the cycle with the parser, so that both go at once."""
        del self._parser

    def read(self, data: bytes) -> RequestHead:
        """Read one head, from the method to the empty line; raise ClientFault."""
        if not self._complete:
            self._parser = httptools.HttpRequestParser(self)
        self._complete = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._complete = False
        except httptools.HttpParserError as error:
            raise ClientFault(f"not HTTP: {error}") from None
        return _request(data)


def _request(data: bytes) -> RequestHead:
    at = data.find(b"\r\n")
    head = RequestHead()
    words = data[:at].split(b" ")
    if len(words) != 3:
        raise ClientFault("a bad request line")
    head.method, target, version = words
    head.target = target
    if version == b"HTTP/1.0":
        head.minor = 0
    elif version != b"HTTP/1.1":
        raise ClientFault("another version than HTTP/1.0 and HTTP/1.1")
    if len(data) > NAME:
        _check_request_lines(data)
    if len(data) > COUNT * _SHORTEST and data.count(b"\r\n") > COUNT + 2:
        raise ClientFault("more than 1,000 headers")
    lower = data.lower()
    kept = b""
    for found in _REQUEST.finditer(lower, at):
        value = data[found.start(2) : found.end(2)].rstrip(b" \t")
        if not REQUEST_RULES[found[1]](head, value):
            kept += data[at : found.start()]
            at = found.end()
    head.lines = kept + data[at:-4]
    settle_request(head)
    if not target.startswith(b"/") or b"#" in target:
        _absolute(head)
    return head


def _absolute(head: RequestHead) -> None:
    """A target that is no plain path: take `*` and http://host/path, forward the latter as a path (RFC 9112 3.2)."""
    target = head.target
    if target == b"*" and head.method == b"OPTIONS":
        return
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in {b"http", b"https"} or b"#" in target or head.method == b"CONNECT":
        raise ClientFault("a bad request target")
    cut = min((rest.find(mark) for mark in (b"/", b"?") if mark in rest), default=len(rest))
    if rest[:cut].lower() != (head.host or b"").lower():
        raise ClientFault("a target on another host than Host says")
    path = rest[cut:]
    head.target = path if path.startswith(b"/") else b"/" + path


def _check_request_lines(data: bytes) -> None:
    if len(data) > LINE and any(len(line) > LINE for line in data.split(b"\r\n")):
        raise ClientFault("a line of more than 8,192 bytes")
    if _LONG_NAME.search(data):
        raise ClientFault("a header name of more than 1,000 bytes")


class Responses:
    """The heads of one connection to a dyno, in turn."""

    __slots__ = ("_complete", "_parser")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._complete = True

    def on_message_complete(self) -> None:
        """Hear from httptools that the message ended within what it was fed."""
        self._complete = True

    def close(self) -> None:
        """Break the cycle with the parser."""
        del self._parser

    def read(self, data: bytes, end: int, *, bodiless: bool) -> ResponseHead:
        """Read the head in data[:end]; raise DynoFault.

        If all of the body is in `data` too, httptools is fed that as well, which keeps its state good for the next response.
        """
        if not self._complete:
            self._parser = httptools.HttpResponseParser(self)
        self._complete = False
        head = _response(data, end)
        whole = not bodiless and head.length == len(data) - end
        try:
            self._parser.feed_data(data if whole else data[:end])
        except httptools.HttpParserUpgrade:
            self._complete = False
        except httptools.HttpParserError as error:
            self._complete = False
            raise DynoFault(f"not HTTP: {error}") from None
        return head


def _response(data: bytes, end: int) -> ResponseHead:
    head = ResponseHead()
    at = data.find(b"\r\n")
    start = data[:at]
    if at > LINE:
        raise DynoFault("an oversized status line", Failure.H25_STATUS)
    status = start[9:12]
    if not status.isdigit() or not b"100" <= status <= b"599" or start[12:13] != b" ":
        raise DynoFault("a bad status line")
    head.start = start
    head.status = int(status)
    version = start[:9]
    if version == b"HTTP/1.0 ":
        head.minor = 0
    elif version != b"HTTP/1.1 ":
        raise DynoFault("another version than HTTP/1.0 and HTTP/1.1")
    if end > LINE:
        _check_response_lines(data[:end])
    lower = data[:end].lower()
    kept = b""
    for found in _RESPONSE.finditer(lower, at):
        value = data[found.start(2) : found.end(2)].rstrip(b" \t")
        if not RESPONSE_RULES[found[1]](head, value):
            kept += data[at : found.start()]
            at = found.end()
    head.lines = kept + data[at : end - 4]
    return head


def _check_response_lines(data: bytes) -> None:
    for line in data.split(b"\r\n"):
        if len(line) > RESPONSE_LINE:
            raise DynoFault("an oversized header", Failure.H25_HEADER)
        if len(line) > LINE and line[:11].lower() == b"set-cookie:":
            raise DynoFault("an oversized cookie", Failure.H25_COOKIE)
