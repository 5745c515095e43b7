"""HTTP/2's messages as HTTP/1.1's and back, without a connection."""

import pytest

from router.h2_heads import Answer, Request
from router.reasons import ClientFault
from tests.router.test_router_h2 import HEADERS


@pytest.mark.parametrize(
    "headers",
    [
        [*HEADERS[:3], (b":path", b"/ HTTP/1.1\r\nx: y")],
        [*HEADERS[:3], (b":path", b"/a b")],
        [*HEADERS[:3], (b":path", b"")],
        [(b":method", b"GET /x"), *HEADERS[1:]],
        [*HEADERS, (b"x", b"a\r\nb: c")],
        [*HEADERS, (b"x", b"a\0")],
        [*HEADERS, (b"x: y", b"a")],
        [*HEADERS, (b"X", b"a")],
        [*HEADERS, (b"", b"a")],
        [(b":method", b"CONNECT"), (b":protocol", b"other"), *HEADERS[1:]],
        [(b":method", b"GET"), (b":protocol", b"websocket"), *HEADERS[1:]],
    ],
)
def test_what_would_mean_something_else_in_http_1_1_is_refused(headers):
    with pytest.raises(ClientFault):
        Request(headers, ended=True)


def test_trailers_go_with_the_last_chunk_and_can_be_nothing_else():
    request = Request(HEADERS, ended=False)
    assert request.end == b"0\r\n\r\n"
    request.trailers([(b"x-sum", b"7"), (b"x-more", b"a b")])
    assert request.end == b"0\r\nx-sum: 7\r\nx-more: a b\r\n\r\n"
    for bad in [
        (b"x", b"a\r\n\r\nGET / HTTP/1.1"),
        (b"x: y\r\nz", b"a"),
        (b":path", b"/"),
        (b"X", b"a"),
        (b"x", b"\0"),
    ]:
        with pytest.raises(ClientFault):
            request.trailers([bad])
    sized = Request([*HEADERS, (b"content-length", b"3")], ended=False)
    sized.trailers([(b"x-sum", b"7")])
    assert sized.end == b""


WHOLE = b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: x\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"


@pytest.mark.parametrize("step", [1, 7, len(WHOLE)])
def test_an_answer_is_read_in_any_pieces(step):
    answer, heads = Answer(b"GET", tunnel=False), []
    for at in range(0, len(WHOLE), step):
        heads += answer.take(WHOLE[at : at + step])
    assert heads == [[(b":status", b"103"), (b"a", b"b")], [(b":status", b"200"), (b"via", b"x")]]
    assert (bytes(answer.body), answer.ended, answer.trailers) == (b"abc", True, [(b"t", b"u")])
