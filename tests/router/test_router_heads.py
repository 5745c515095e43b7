"""Heads in, heads made anew: Heroku's header rules and what is refused, as tables of exact bytes."""

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dynod.model.route import AppRoute, Standing
from router import compiled
from router.headers import CHUNKED, VIA, client_head, dyno_head, origin_lines
from router.heads import read_request, read_response
from router.reasons import ClientFault, DynoFault, Failure
from router.table import Site

pytestmark = pytest.mark.usefixtures("either_reader")
SITE = Site(AppRoute("app-id", "app", Standing.SERVING), "a.b", ())
ORIGIN = origin_lines(b"10.0.0.1", b"http", 8080)
RID = b"407b828f-ec16-bfef-cff3-25e749e57945"


def request(lines: bytes = b"", start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a.b\r\n"):
    return read_request(start + b"\r\n" + host + lines + b"\r\n")


def forwarded(
    lines: bytes = b"", start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a.b\r\n"
) -> list[bytes]:
    head = request(lines, start, host)
    whole = dyno_head(head, ORIGIN, head.request_id or RID, b"1234567890123", False)
    data = start + b"\r\n" + host + lines + b"\r\n"
    quick = compiled.forward(data, {b"a.b": SITE}, ORIGIN, iter([RID]), b"1234567890123")
    if quick is not None:
        assert quick[3] == whole
    return whole.split(b"\r\n")


ADDED = [
    b"X-Request-Id: " + RID,
    b"X-Forwarded-For: 10.0.0.1",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Port: 8080",
    b"Via: 1.1 heroku-router",
    b"X-Request-Start: 1234567890123",
    b"",
    b"",
]


def test_case_order_and_repeats_are_kept_and_ours_come_last():
    lines = b"x-LOWER: 1\r\nCookie: a=1\r\nX-B:  two\r\nCookie: b=2\r\nAccept:\r\n"
    assert forwarded(lines) == [
        b"GET / HTTP/1.1", b"Host: a.b", b"x-LOWER: 1", b"Cookie: a=1", b"X-B:  two", b"Cookie: b=2", b"Accept:", *ADDED,
    ]  # fmt: skip


def test_hop_by_hop_headers_go_and_only_those():
    lines = b"Connection: keep-alive, X-Foo\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nX-Foo: 1\r\nProxy-Authenticate: y\r\n"
    assert forwarded(lines) == [
        b"GET / HTTP/1.1",
        b"Host: a.b",
        b"X-Foo: 1",
        b"Proxy-Authenticate: y",
        *ADDED,
    ]


def test_the_chain_is_appended_to_and_claims_are_replaced():
    lines = b"X-Forwarded-For: 1.1.1.1\r\nX-FORWARDED-proto: https\r\nX-Forwarded-Port: 443\r\nX-Request-Start: 1\r\nX-Forwarded-For: 2.2.2.2\r\n"
    made = forwarded(lines + b"X-Forwarded-Host: h\r\nVia: 1.0 cdn\r\n")
    assert b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.1" in made
    assert b"X-Forwarded-Proto: http" in made
    assert b"X-Forwarded-Port: 8080" in made
    assert b"X-Forwarded-Host: h" in made
    assert b"Via: 1.0 cdn, 1.1 heroku-router" in made
    assert len(made) == 2 + 1 + len(ADDED)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"abcdefghijklmnopqrst", True),
        (b"a" * 200, True),
        (b"a" * 19, False),
        (b"a" * 201, False),
        (b"a" * 19 + b"_", False),
    ],
)
def test_a_request_id_is_kept_if_it_is_20_to_200_harmless_characters(sent, kept):
    made = forwarded(b"X-Request-ID: " + sent + b"\r\n")
    assert (b"X-Request-Id: " + (sent if kept else RID)) in made


def test_bodies_announce_themselves_anew():
    assert b"Content-Length: 5" in forwarded(b"Content-Length: 5\r\n", start=b"POST / HTTP/1.1")
    made = forwarded(b"transfer-encoding:  CHUNKED \r\n", start=b"POST / HTTP/1.1")
    assert made.count(b"Transfer-Encoding: chunked") == 1
    assert request(b"Transfer-Encoding: chunked\r\n", start=b"POST / HTTP/1.1").length == CHUNKED


def test_upgrades_are_passed_on_but_not_to_http2():
    made = forwarded(b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n")
    assert made[2:5] == [b"Sec-WebSocket-Key: k", b"Connection: Upgrade", b"Upgrade: websocket"]
    for lines in (b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", b"Upgrade: websocket\r\n"):
        assert not any(line.lower().startswith((b"upgrade", b"connection")) for line in forwarded(lines))


def test_http_1_0_is_served_and_forwarded_as_1_1():
    assert request(start=b"GET / HTTP/1.0").keep_alive is False
    assert request(b"Connection: keep-alive\r\n", start=b"GET / HTTP/1.0").keep_alive is True
    assert request(b"Connection: close\r\n").keep_alive is False
    assert forwarded(start=b"GET / HTTP/1.0")[0] == b"GET / HTTP/1.1"


def test_an_absolute_target_is_forwarded_as_a_path():
    assert forwarded(start=b"GET http://A.b/x?y HTTP/1.1")[0] == b"GET /x?y HTTP/1.1"
    assert forwarded(start=b"GET http://a.b?y HTTP/1.1")[0] == b"GET /?y HTTP/1.1"
    assert forwarded(start=b"GET http://a.b HTTP/1.1")[0] == b"GET / HTTP/1.1"
    assert forwarded(start=b"OPTIONS * HTTP/1.1")[0] == b"OPTIONS * HTTP/1.1"


def test_expectations():
    assert request(
        b"Expect: 100-Continue\r\nContent-Length: 1\r\n", start=b"POST / HTTP/1.1"
    ).expects_continue
    assert not any(line.startswith(b"Expect") for line in forwarded(b"Expect: 100-continue\r\n"))
    assert not request(b"Expect:\r\n").expects_continue
    with pytest.raises(ClientFault) as fault:
        request(b"Expect: 200-ok\r\n")
    assert fault.value.failure is Failure.H26_EXPECT
    with pytest.raises(ClientFault) as fault:
        request(b"Expect: ;;\r\n")
    assert fault.value.failure is Failure.BAD_REQUEST


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", b"GET /\r\nHost: a\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
        *(
            b"POST / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
            for line in (
                b"Content-Length: 3\r\nContent-Length: 4", b"Content-Length: 15,24", b"Content-Length: +3", b"Content-Length: 0x3",
                b"Content-Length: 3 4", b"Content-Length:", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
                b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3",
                b"Transfer-Encoding: gzip", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: xchunked",
                b"Transfer-Encoding : chunked", b"X : a", b"X: a\r\n b", b"X: a\x00b", b"X: a\rb", b"X: a\nY: b", b"X: a\x01b", b": a", b"X", b"X\x00: a",
                b"Connection: upgrade", b"X-" + b"a" * 1000 + b": b", b"X: " + b"a" * 8192, b"\r\n".join([b"A: b"] * 1001),
            )
        ),
        b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_too_much_is_refused(head):
    with pytest.raises(ClientFault) as fault:
        read_request(head)
    assert fault.value.failure is Failure.BAD_REQUEST


@pytest.mark.parametrize("method", [b"FOO", b"M-SEARCH", b"get", b"X" * 127, b"PROPFIND"])
def test_any_method_goes_on(method):
    assert forwarded(start=method + b" / HTTP/1.1")[0] == method + b" / HTTP/1.1"


@pytest.mark.parametrize("method", [b"X" * 128, b"CONNECT", b"A\x00B", b'A"B', b"A:B", b"\xe4", b""])
def test_what_is_no_method_does_not(method):
    with pytest.raises(ClientFault):
        request(start=method + b" / HTTP/1.1")


def test_the_limits_are_not_a_byte_too_low():
    assert request(b"X: " + b"a" * 8189 + b"\r\n").lines
    assert request(b"X-" + b"a" * 998 + b": b\r\n").lines
    assert request(b"\r\n".join([b"A: b"] * 999) + b"\r\n").lines
    assert request(start=b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1").target


def test_the_same_host_twice_becomes_one():
    assert forwarded(b"Host: a.b\r\n", host=b"Host: a.b\r\n") == [b"GET / HTTP/1.1", b"Host: a.b", *ADDED]


# -- responses -----------------------------------------------------------------------------------------------------


def response(lines: bytes = b"", start: bytes = b"HTTP/1.1 200 OK"):
    wire = start + b"\r\n" + lines + b"\r\n"
    return compiled.quick_response(wire) or read_response(wire)


def test_a_response_says_via_whom_it_came_and_what_becomes_of_the_connection():
    head = response(
        b"Connection: close\r\nX-a: 1\r\nkeep-alive: 5\r\nVia: 1.1 app\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    )
    assert client_head(head, True, False, b"", b"") == (
        b"HTTP/1.1 200 OK\r\nX-a: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: keep-alive\r\nServer: Heroku\r\n"
        b"Via: 1.1 app, 1.1 heroku-router\r\n\r\n"
    )
    assert head.keep_alive is False
    head = response(b"Server: gunicorn\r\nTransfer-Encoding: chunked\r\n", start=b"HTTP/1.0 404 ")
    assert client_head(head, False, True, b"", b"") == (
        b"HTTP/1.1 404 \r\nServer: gunicorn\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nVia: "
        + VIA
        + b"\r\n\r\n"
    )


def test_which_dynos_connections_are_kept():
    assert response().keep_alive is True
    assert response(b"Connection: Close\r\n").keep_alive is False
    assert response(start=b"HTTP/1.0 200 OK").keep_alive is False
    assert response(b"Connection: keep-alive\r\n", start=b"HTTP/1.0 200 OK").keep_alive is True


@pytest.mark.parametrize(
    ("head", "failure"),
    [
        (b"HTTP/1.1 200\r\n\r\n", Failure.H17), (b"HTTP/1.1 20 OK\r\n\r\n", Failure.H17), (b"HTTP/1.1 999 X\r\n\r\n", Failure.H17),
        (b"HTTP/1.1 099 X\r\n\r\n", Failure.H17), (b"HTTP/1.1 200 \x00\r\n\r\n", Failure.H17), (b"HTTP/1.1 200 O\x1bK\r\n\r\n", Failure.H17), (b"HTTP/1.1 2000 X\r\n\r\n", Failure.H17), (b"HTTP/2 200 OK\r\n\r\n", Failure.H17),
        (b"hello\r\n\r\n", Failure.H17), (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Failure.H17), (b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Failure.H17),
        (b"HTTP/1.1 200 OK\r\nX: a\nb: c\r\n\r\n", Failure.H17), (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Failure.H17),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Failure.H25_LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 15,24\r\n\r\n", Failure.H25_LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Failure.H25_LENGTH),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Failure.H17),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Failure.H17),
        (b"HTTP/1.1 200 " + b"O" * 8192 + b"\r\n\r\n", Failure.H25_STATUS),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: " + b"a" * 8192 + b"\r\n\r\n", Failure.H25_COOKIE),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 524_288 + b"\r\n\r\n", Failure.H25_HEADER),
    ],
)  # fmt: skip
def test_a_dynos_nonsense_is_refused(head, failure):
    with pytest.raises(DynoFault) as fault:
        read_response(head)
    assert fault.value.failure is failure


def test_a_long_header_of_a_response_passes():
    assert response(b"X: " + b"a" * 500_000 + b"\r\n").status == 200


# -- a second opinion ------------------------------------------------------------------------------------------------

_pieces = st.sampled_from(
    [
        b"GET", b"POST", b" ", b"/", b"/a?b", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"Host: a", b"Host: b", b"Content-Length: 3", b"Content-Length: 4",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b": ", b":", b"\t", b"\x00", b"X-A", b"v", b"\xe4", b"Expect: 100-continue", b",",
    ]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # which reader it is stays the same
@given(st.lists(_pieces, max_size=14).map(b"".join))
@example(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-A: v")
def test_what_we_take_for_a_request_h11_takes_for_the_same(middle):
    wire = middle + b"\r\n\r\n"
    if wire.find(b"\r\n\r\n") != len(wire) - 4:
        return
    try:
        ours = read_request(wire)
    except ClientFault:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(wire)
    theirs = server.next_event()
    assert isinstance(theirs, h11.Request)
    assert (theirs.method, theirs.target) == (ours.method, ours.target)
    named = dict(theirs.headers)
    assert named[b"host"] == ours.host
    length = CHUNKED if b"transfer-encoding" in named else named.get(b"content-length")
    assert (length if length is None else int(length)) == ours.length
