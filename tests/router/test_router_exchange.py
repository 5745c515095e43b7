"""One exchange, sans-io: each sample whole, byte by byte and with a tail must come out the same."""

import pytest

from dynod.model.route import AppRoute, Standing
from router import compiled
from router.exchange import INTERIM, Exchange, Phase
from router.headers import origin_lines
from router.heads import read_request
from router.reasons import ClientFault, DynoFault, Failure
from router.table import Site

pytestmark = pytest.mark.usefixtures("either_reader")
SITE = Site(AppRoute("app-id", "app", Standing.SERVING), "a", ())
VIA = b"Via: 1.1 heroku-router\r\n\r\n"


def exchange(lines: bytes = b"", start: bytes = b"GET / HTTP/1.1") -> Exchange:
    data = start + b"\r\nHost: a\r\n" + lines + b"\r\n"
    origin = origin_lines(b"10.0.0.1", b"http", 80)
    forwarded = compiled.forward(data, {b"a": SITE}, origin, iter([b"id"]), b"0")
    if forwarded is not None:
        return Exchange(data, forwarded, b"10.0.0.1", 1.0)
    return Exchange.read(read_request(data), SITE, b"id", b"10.0.0.1", 1.0)


def pieces(data: bytes) -> list[list[bytes]]:
    return [[data], [data[at : at + 1] for at in range(len(data))], [data[:20], data[20:40], data[40:]]]


def answered(
    data: bytes, made: bytes, *, keep_client: bool = True, keep_dyno: bool = True, **request
) -> None:
    for parts in pieces(data):
        x = exchange(**request)
        assert dechunked(b"".join([x.from_dyno(part) for part in parts if part])) == dechunked(made)
        assert x.answered
        assert (x.keep_client, x.keep_dyno) == (keep_client, keep_dyno)
    if keep_dyno:
        x = exchange(**request)
        assert dechunked(x.from_dyno(data + b"TAIL")) == dechunked(made)
        assert (x.answered, x.keep_dyno) == (True, False)


def dechunked(data: bytes) -> bytes:
    """Chunk borders mean nothing: join the chunks to one."""
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" not in head or not body:
        return data
    joined = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if size == b"0":
            return head + b"\r\n\r\n" + joined + b"|" + body
        joined += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def test_a_body_of_known_length():
    answered(
        b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n" + VIA + b"hello",
    )
    answered(
        b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\nServer: Heroku\r\n" + VIA,
        lines=b"Connection: close\r\n", keep_client=False, keep_dyno=False,
    )  # fmt: skip


def test_a_chunked_body_with_trailers():
    answered(
        b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nT: v\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n" + VIA + b"b\r\nhello world\r\n0\r\nT: v\r\n\r\n",
    )  # fmt: skip


def test_a_chunked_body_is_unchunked_for_http_1_0_and_ends_with_the_connection():
    answered(
        b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close\r\n" + VIA + b"hello",
        start=b"GET / HTTP/1.0", lines=b"Connection: keep-alive\r\n", keep_client=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "status", "lines", "made"),
    [
        (b"HEAD / HTTP/1.1", b"200 OK", b"Content-Length: 500\r\n", b"Content-Length: 500\r\n"),
        (b"HEAD / HTTP/1.1", b"200 OK", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\n"),
        (b"HEAD / HTTP/1.1", b"200 OK", b"", b""),
        (b"GET / HTTP/1.1", b"204 No Content", b"", b""),
        (b"GET / HTTP/1.1", b"304 Not Modified", b"Content-Length: 5\r\n", b"Content-Length: 5\r\n"),
        (
            b"GET / HTTP/1.1",
            b"304 Not Modified",
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\n",
        ),
        (b"GET / HTTP/1.1", b"204 No Content", b"Transfer-Encoding: chunked\r\n", b""),
    ],
)
def test_no_body_where_none_is_allowed_whatever_is_declared(start, status, lines, made):
    answered(
        b"HTTP/1.1 " + status + b"\r\nServer: x\r\n" + lines + b"\r\n",
        b"HTTP/1.1 " + status + b"\r\nServer: x\r\n" + made + b"Connection: keep-alive\r\n" + VIA,
        start=start,
    )


def test_a_body_that_ends_with_the_connection():
    for parts in pieces(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello"):
        x = exchange()
        made = b"".join([x.from_dyno(part) for part in parts if part])
        assert made == b"HTTP/1.1 200 OK\r\nServer: x\r\nConnection: close\r\n" + VIA + b"hello"
        assert not x.answered
        assert x.ends_by_close()
        assert x.dyno_lost(clean=True) is None
        assert x.dyno_lost(clean=False) is Failure.H18
        assert not x.keep_client


def test_interim_responses_go_on_and_too_many_do_not():
    final = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n"
    made = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\nConnection: keep-alive\r\n" + VIA
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answered(hints + hints + final, hints + hints + made)
    answered(b"HTTP/1.1 100 Continue\r\n\r\n" + final, b"HTTP/1.1 100 Continue\r\n\r\n" + made)
    made = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\nConnection: close\r\n" + VIA
    answered(hints + final, made, start=b"GET / HTTP/1.0", keep_client=False)
    for bad in (hints * (INTERIM + 1), b"HTTP/1.1 100 Continue\r\n\r\n" * 2):
        with pytest.raises(DynoFault):
            exchange().from_dyno(bad)


def test_a_100_is_not_told_twice():
    x = exchange(b"Expect: 100-continue\r\nContent-Length: 1\r\n", b"POST / HTTP/1.1")
    x.continued = True
    assert x.from_dyno(b"HTTP/1.1 100 Continue\r\n\r\n") == b""


def test_a_switch_of_protocols_opens_a_tunnel_only_if_asked_for():
    wire = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00"
    x = exchange(b"Connection: upgrade\r\nUpgrade: websocket\r\n")
    assert x.from_dyno(wire) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + VIA
        + b"\x81\x00"
    )
    assert x.phase is Phase.TUNNEL
    assert x.from_dyno(b"\r\n\r\nanything") == b"\r\n\r\nanything"
    assert x.dyno_lost(clean=False) is None
    with pytest.raises(DynoFault):
        exchange().from_dyno(wire)


def test_request_bodies_go_on_whole_byte_by_byte_and_with_a_tail():
    for parts in pieces(b"0123456789"):
        x = exchange(b"Content-Length: 10\r\n", b"POST / HTTP/1.1")
        assert not x.request_done
        assert b"".join([x.from_client(part) for part in parts if part]) == b"0123456789"
        assert x.request_done
    x = exchange(b"Content-Length: 3\r\n", b"POST / HTTP/1.1")
    assert (x.from_client(b"abcGET /"), x.request_rest) == (b"abc", b"GET /")
    for parts in pieces(b"3\r\nabc\r\n0\r\nT: v\r\n\r\n"):
        x = exchange(b"Transfer-Encoding: chunked\r\n", b"POST / HTTP/1.1")
        made = b"".join([x.from_client(part) for part in parts if part])
        assert made in {b"3\r\nabc\r\n0\r\nT: v\r\n\r\n", b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n"}
        assert x.request_done
    x = exchange(b"Transfer-Encoding: chunked\r\n", b"POST / HTTP/1.1")
    assert (x.from_client(b"0\r\n\r\nGET /"), x.request_rest) == (b"0\r\n\r\n", b"GET /")
    with pytest.raises(ClientFault) as fault:
        exchange(b"Transfer-Encoding: chunked\r\n", b"POST / HTTP/1.1").from_client(b"zz\r\n")
    assert fault.value.failure is Failure.H26_CHUNK


def test_an_answer_before_the_body_is_in_ends_both_connections():
    x = exchange(b"Content-Length: 10\r\n", b"POST / HTTP/1.1")
    made = x.from_dyno(b"HTTP/1.1 413 Too Large\r\nServer: x\r\nContent-Length: 0\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in made
    assert (x.answered, x.keep_client, x.keep_dyno) == (True, False, False)


@pytest.mark.parametrize(
    ("phase", "client_blocked", "dyno_blocked", "failure"),
    [
        (Phase.HELD, False, False, Failure.H20),
        (Phase.WAITING, False, False, Failure.H12),
        (Phase.SENDING, False, False, Failure.H28),
        (Phase.SENDING, False, True, Failure.H15),
        (Phase.ANSWERING, False, False, Failure.H15),
        (Phase.ANSWERING, True, False, Failure.H28),
        (Phase.TUNNEL, False, False, Failure.H15),
    ],
)
def test_whose_silence_it_was(phase, client_blocked, dyno_blocked, failure):
    x = exchange()
    x.phase = phase
    assert x.expired(client_blocked=client_blocked, dyno_blocked=dyno_blocked) is failure


def test_what_a_lost_dyno_means():
    x = exchange()
    x.phase = Phase.WAITING
    assert x.dyno_lost(clean=True) is Failure.H13
    x.from_dyno(b"HTTP/1.1 2")
    assert x.dyno_lost(clean=True) is Failure.H18
    x = exchange(b"Content-Length: 10\r\n", b"POST / HTTP/1.1")
    assert x.dyno_lost(clean=True) is Failure.H18
    x = exchange()
    x.from_dyno(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    assert x.dyno_lost(clean=True) is Failure.H18


def test_only_harmless_requests_without_a_body_may_go_twice():
    assert exchange().replayable
    assert exchange(start=b"PUT / HTTP/1.1").replayable
    assert not exchange(start=b"POST / HTTP/1.1").replayable
    assert not exchange(b"Content-Length: 1\r\n").replayable


def test_the_summary():
    x = exchange(b"X-Forwarded-For: 1.1.1.1\r\n")
    x.connect_ms, x.service_ms, x.at, x.status, x.to_client = 1, 500, 77, 200, 9
    app, at, source, process, text = x.row()
    assert (app, at, source, process) == ("app-id", 77, "heroku", "router")
    assert 'fwd="1.1.1.1, 10.0.0.1" dyno= connect=1ms service=500ms status=200 bytes=9 ' in text
