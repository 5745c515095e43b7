"""Two readers of one stream must not disagree: mutated bytes, whole, byte by byte and with a tail, beside h11, requests and responses.

We may refuse more than h11 does. What we let through it must take too, as the same messages, and what we make of them likewise.
"""

from types import SimpleNamespace

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dynod.model.route import AppRoute, RouteTable, Standing
from router.exchange import Exchange
from router.heads import read_request
from router.reasons import DynoFault
from router.server import Client
from router.table import Routes, Site
from router.timers import Timers

SITE = Site(AppRoute("app-id", "app", Standing.SERVING), "a", ())
ROUTES = Routes(RouteTable(1, {"app-id": SITE.route}, {"a": "app-id", "b": "app-id"}))

# -- bytes that are nearly right -------------------------------------------------------------------------------------

REQUESTS = [
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
]  # fmt: skip
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x0b", b":", b",", b";", b"0", b"1", b"5", b"-", b"+", b"\xff", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n",
    b"transfer-encoding:\x0bchunked\r\n", b" chunked", b"Host: b\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"Upgrade: x\r\n", b"Connection: upgrade\r\n",
]  # fmt: skip


@st.composite
def mutated(draw, samples):
    """One of the samples, changed in up to three places, or none of them at all."""
    wire = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(wire)))
        end = draw(st.integers(at, min(len(wire), at + 12)))
        put = draw(st.sampled_from(PIECES) | st.binary(max_size=3) | st.just(wire[at:end] * 2))
        wire = wire[:at] + put + wire[end:]
    return draw(st.just(wire) | st.just(wire) | st.just(wire) | st.binary(max_size=60))


def cuts(wire):
    """Ways for it to come: whole, byte by byte, in two."""
    middle = len(wire) // 2
    return [[wire], [wire[at : at + 1] for at in range(len(wire))], [wire[:middle], wire[middle:]]]


# -- requests --------------------------------------------------------------------------------------------------------


class Transport:
    """Takes what is written; closes when it is told to."""

    def __init__(self):
        self.written = b""
        self.closing = False

    def write(self, data):
        self.written += data

    def close(self):
        self.closing = True

    abort = close

    def is_closing(self):
        return self.closing

    def get_extra_info(self, name, default=None):
        return ("10.0.0.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high, low):
        pass

    def get_write_buffer_size(self):
        return 0

    def can_write_eof(self):
        return False

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class House:
    """In the proxy's place: takes each request of one connection to its end, answers it with nothing at all, and keeps what it was."""

    def __init__(self):
        self.timers = Timers()
        self.port = 80
        self.time = lambda: 0.0
        self.loop = SimpleNamespace(time=self.time)
        self.stamped, self.stamp_ms = 0.0, b"0"
        self.routes = ROUTES
        self.has_table = True
        self.draining = False
        self.ids = iter(lambda: b"id", None)
        self.seen = []
        self.client = Client(self)
        self.client.connection_made(Transport())

    def opened(self, client):
        pass

    def page(self, failure, exchange, *, keep, head_only):
        if keep:
            self.seen.append(None)  # an unknown host's, after which the connection goes on
        return b""

    def start(self, client, exchange, now):
        self.body = b""
        if exchange.request_done:
            self.end(client, exchange)
            return
        client.dyno = self
        self.blocked = False
        body = client.take_body()
        if body is not None:
            self.write(body)
            client.body_sent(exchange)

    forward = start

    def write(self, data):
        self.body += data
        if self.client.exchange is not None and self.client.exchange.request_done:
            self.end(self.client, self.client.exchange)

    def end(self, client, exchange):
        request = exchange.request
        body = self.body if request.length != -1 else dechunked(self.body)
        self.seen.append((request.method, request.target, body))
        client.exchange = client.dyno = None
        if request.keep_alive and request.minor == 1:  # h11 knows no HTTP/1.0 that goes on
            client.next(0.0)
        else:
            client.end(whole=True)

    def fail(self, client, exchange, failure):
        client.exchange = client.dyno = None
        client.end(whole=False)

    def feed(self, pieces):
        for piece in pieces:
            if piece:
                self.client.data_received(piece)
        return self.seen


def dechunked(data):
    client = h11.Connection(h11.SERVER)
    client.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    client.next_event()
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert not client.trailing_data[0]
    return body


def one_host(wire):
    """The same Host twice is one: Heroku's rule, not h11's."""
    head, end, rest = wire.partition(b"\r\n\r\n")
    lines, seen = [], set()
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        host = value.strip(b" \t") if name.lower() == b"host" else None
        if host is None or host not in seen:
            lines.append(line)
        seen.add(host)
    return b"\r\n".join(lines) + end + rest


def by_h11(wire):
    """The whole requests that h11 finds, until it finds none. Empty lines before a request are let pass (RFC 9112 2.2), by us too."""
    seen = []
    try:
        while True:
            while wire.startswith(b"\r\n"):
                wire = wire[2:]
            wire = one_host(wire)
            server = h11.Connection(h11.SERVER)
            server.receive_data(wire)
            request = server.next_event()
            if not isinstance(request, h11.Request):
                return seen
            body = b""
            while isinstance(event := server.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                return seen
            seen.append((request.method, request.target, body))
            server.send(h11.Response(status_code=200, headers=[(b"Content-Length", b"0")]))
            server.send(h11.EndOfMessage())
            if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                return seen
            wire = server.trailing_data[0]
    except h11.RemoteProtocolError:
        return seen


@given(mutated(REQUESTS))
@example(
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /s HTTP/1.1\r\nHost: a\r\n\r\n"
)
@example(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 3\r\n\r\nabc")
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
@example(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"ODD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: hunked\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_a_stream_of_requests_is_to_us_what_it_is_to_h11_or_ends_earlier(wire):
    ours = House().feed([wire])
    theirs = by_h11(wire)
    assert len(ours) <= len(theirs)
    assert all(one in {None, other} for one, other in zip(ours, theirs, strict=False))


@given(mutated(REQUESTS))
def test_requests_are_the_same_however_they_are_cut(wire):
    whole, *others = [House().feed(pieces) for pieces in cuts(wire)]
    assert others == [whole] * len(others)


@given(mutated(REQUESTS))
def test_what_comes_behind_a_request_changes_nothing_about_it(wire):
    alone = House().feed([wire])
    longer = House().feed([wire + b"GET /tail HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert longer[: len(alone)] == alone


# -- responses -------------------------------------------------------------------------------------------------------

ASKED = [b"GET / HTTP/1.1\r\n", b"HEAD / HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n"]


def made(asked, pieces, more=b"Host: a\r\n"):
    """What the client gets of a dyno's bytes and of its hanging up, and whether that is a whole response; None if it is refused."""
    x = Exchange.read(read_request(asked + more + b"\r\n"), SITE, b"id", b"10.0.0.1", 1.0)
    out = b""
    try:
        for piece in pieces:
            if piece and not x.answered:
                out += x.from_dyno(piece)
    except DynoFault:
        return None
    return out if x.answered or x.dyno_lost(clean=True) is None else None


def read(asked, wire):
    """(statuses, body, trailers) of the response that h11 finds; None if none is there whole, or more than one."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=asked.split(b" ")[0], target=b"/", headers=[(b"Host", b"a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    client.receive_data(b"")
    statuses, body = [], b""
    try:
        while True:
            match client.next_event():
                case h11.InformationalResponse(status_code=status) | h11.Response(status_code=status):
                    statuses.append(status)
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage(headers=headers):
                    return statuses, body, list(headers), client.trailing_data[0]
                case _:
                    return None
    except h11.RemoteProtocolError:
        return None


@given(st.sampled_from(ASKED), mutated(RESPONSES))
@example(
    ASKED[0], b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
)
@example(
    ASKED[1], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
)
@example(ASKED[0], b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")
def test_a_response_is_to_our_client_what_it_was_to_h11_and_one_alone(asked, wire):
    out = made(asked, [wire])
    if out is None:
        return
    theirs, clients = read(asked, wire), read(asked, out)
    assert clients is not None, out
    assert theirs is not None, out
    statuses, body, trailers, behind = clients
    assert (statuses[-1], body) == (theirs[0][-1], theirs[1])
    assert behind == b""  # nothing that could be taken for a second response
    if asked != ASKED[2]:  # HTTP/1.0 knows neither
        assert statuses == theirs[0]
        assert trailers == theirs[2]


@given(st.sampled_from(ASKED), mutated(RESPONSES))
def test_responses_are_the_same_however_they_are_cut(asked, wire):
    whole, *others = [made(asked, pieces) for pieces in cuts(wire)]
    for other in others:
        assert (other is None) == (whole is None)
        if whole is not None:
            assert read(asked, other) == read(asked, whole)


UPGRADE = b"Host: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"


@pytest.mark.parametrize("asked", ASKED)
def test_nobody_switches_protocols_unasked(asked):
    assert made(asked, [RESPONSES[8]]) is None


def test_a_101_that_was_asked_for_is_a_pipe():
    out = made(ASKED[0], [RESPONSES[8]], UPGRADE)
    assert out.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert out.endswith(b"\r\n\r\nraw")


def test_a_flood_of_interim_responses_is_refused():
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert made(ASKED[0], [early * 8 + final]) is not None
    for pieces in cuts(early * 9 + final):
        assert made(ASKED[0], pieces) is None


@given(mutated(RESPONSES))
def test_a_connection_whose_bytes_do_not_add_up_carries_no_other_request(wire):
    x = Exchange.read(read_request(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), SITE, b"id", b"10.0.0.1", 1.0)
    try:
        x.from_dyno(wire)
    except DynoFault:
        return
    found = read(b"HEAD / HTTP/1.1\r\n", wire)
    assert not (x.answered and x.keep_dyno and found is not None and found[3])
