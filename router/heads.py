"""Heads out of bytes. httptools (llhttp, strict) reads the grammar of a whole head and names its headers; those with a rule (headers.py)
are looked at, all the others stay where they are: what goes on is made of slices of what came.

Why slices: most of a head goes through unchanged, and taking twenty lines apart to put them together again costs more than all else the
router does for a request. It is safe because the grammar has been judged before: no bare CR or LF, no folding, no space
before a colon, so that a line cannot hide another. What llhttp lets through and we do not is refused here: HTTP/0.9, 2.0, RTSP,
CONNECT, other encodings than chunked, fragments, lines over the limits. Sans-io: server.py and exchange.py find where a head ends.

Most heads never come here: the compiled part (compiled.py) takes the plain ones, a subset of these with the same results.
"""

import re
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

import httptools

from router import compiled
from router.headers import (
    REQUEST_RULES,
    RESPONSE_RULES,
    RequestHead,
    RequestRule,
    ResponseHead,
    ResponseRule,
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
_SPELLINGS = 4096  # header names remembered, as they were spelled
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,127}")
_USUAL = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2} [\t\x20-\x7e\x80-\xff]*")
_LONG_NAME = re.compile(rb"\r\n[^:\r]{%d}" % (NAME + 1))

_Rule = TypeVar("_Rule", bound=Callable[..., bool])
_request_rules: dict[bytes, RequestRule | None] = dict(REQUEST_RULES)
_response_rules: dict[bytes, ResponseRule | None] = dict(RESPONSE_RULES)


def _learn(known: MutableMapping[bytes, _Rule | None], name: bytes) -> _Rule | None:
    """Find the rule of a name in a spelling not seen before; None: it goes through."""
    rule = known.get(name.lower())
    if len(known) < _SPELLINGS:
        known[name] = rule
    return rule


def _without(lines: bytes, names: list[bytes]) -> bytes:
    """Cut the lines with these names, which are there in this order and spelling."""
    kept = b""
    at = 0
    for name in names:
        start = lines.index(b"\r\n" + name + b":", at)
        kept += lines[at:start]
        at = lines.find(b"\r\n", start + 2)
        if at == -1:
            return kept
    return kept + lines[at:]


class _Lines:
    """What httptools tells of one head's lines: each goes to its rule, and which are to be cut is remembered."""

    __slots__ = ("_head", "_rules", "cut")

    def __init__(self, head: RequestHead | ResponseHead, rules: MutableMapping[bytes, Any]) -> None:
        self._head = head
        self._rules = rules
        self.cut: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Hear of a header from httptools."""
        try:
            rule = self._rules[name]
        except KeyError:
            rule = _learn(self._rules, name)
        if rule is not None and not rule(self._head, value.rstrip(b" \t")):
            self.cut.append(name)


def _wrong_with(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, head: bytes) -> str:
    """Let httptools read a whole head; say what it finds wrong, nothing if all is well. A rule's fault is raised as it is."""
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserCallbackError as error:
        raise error.__context__ or error from None
    except httptools.HttpParserError as error:
        return str(error) or repr(error)
    return ""


def read_request(data: bytes) -> RequestHead:
    """Read one head, from the method to the empty line; raise ClientFault."""
    return compiled.quick_request(data) or _read_request(data)


def _read_request(data: bytes) -> RequestHead:
    head = RequestHead()
    at = data.find(b"\r\n")
    try:
        head.method, head.target, version = data[:at].split(b" ")
    except ValueError:
        raise ClientFault("a bad request line") from None
    if _METHOD.fullmatch(head.method) is None or head.method == b"CONNECT":
        raise ClientFault("a bad method")
    if version != b"HTTP/1.1":
        if version != b"HTTP/1.0":
            raise ClientFault("another version than HTTP/1.0 and HTTP/1.1")
        head.minor = 0
        head.keep_alive = False
    if len(data) > NAME:
        _check_limits(data)
    if head.method not in _USUAL:  # httptools knows a few dozen; Heroku takes any
        data = b"GET" + data[len(head.method) :]
        at = data.find(b"\r\n")
    lines = _Lines(head, _request_rules)
    wrong = _wrong_with(httptools.HttpRequestParser(lines), data)
    if wrong:
        raise ClientFault(f"not HTTP: {wrong}")
    head.lines = data[at:-4]
    if lines.cut:
        head.lines = _without(head.lines, lines.cut)
        settle_request(head)
    elif head.host is None:
        raise ClientFault("no Host header")
    if head.target[0] != 47 or b"#" in head.target:
        _absolute(head)
    return head


def _check_limits(data: bytes) -> None:
    if len(data) > LINE and any(len(line) > LINE for line in data.split(b"\r\n")):
        raise ClientFault("a line of more than 8,192 bytes")
    if _LONG_NAME.search(data):
        raise ClientFault("a header name of more than 1,000 bytes")
    if len(data) > COUNT * _SHORTEST and data.count(b"\r\n") > COUNT + 2:
        raise ClientFault("more than 1,000 headers")


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


def read_response(data: bytes) -> ResponseHead:
    """Read one head, from the version to the empty line; raise DynoFault."""
    head = ResponseHead()
    at = data.find(b"\r\n")
    head.size = len(data)
    head.start = start = data[:at]
    if at > LINE:
        raise DynoFault("an oversized status line", Failure.H25_STATUS)
    version = start[:9]
    if version != b"HTTP/1.1 ":
        if version != b"HTTP/1.0 ":
            raise DynoFault("another version than HTTP/1.0 and HTTP/1.1")
        head.minor = 0
        head.keep_alive = False
    if len(data) > LINE:
        _check_response_limits(data)
    lines = _Lines(head, _response_rules)
    wrong = _wrong_with(httptools.HttpResponseParser(lines), data)
    if wrong:
        raise DynoFault(
            f"not HTTP: {wrong}", Failure.H25_LENGTH if "Content-Length" in wrong else Failure.H17
        )
    if _STATUS_LINE.fullmatch(start) is None:  # httptools lets control characters through in its words
        raise DynoFault("a bad status line")
    head.status = int(start[9:12])
    head.lines = data[at:-4]
    if lines.cut:
        head.lines = _without(head.lines, lines.cut)
    return head


def _check_response_limits(data: bytes) -> None:
    for line in data.split(b"\r\n"):
        if len(line) > RESPONSE_LINE:
            raise DynoFault("an oversized header", Failure.H25_HEADER)
        if len(line) > LINE and line[:11].lower() == b"set-cookie:":
            raise DynoFault("an oversized cookie", Failure.H25_COOKIE)
