"""vegur's cases of framing: chunks, responses without a body, large bodies, HTTP/1.0, and what becomes of connections to dynos."""

import asyncio

import pytest

from tests.router.routing import canned, run, serving, turns
from tests.router.vegur import OK, Row, get, play, post

HEAD = b"HEAD / HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = b"2\r\nok\r\n0\r\n\r\n"
CLOSE = b"Connection: close\r\n"


def said(lines: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + lines + b"\r\n" + body


ROWS = [
    Row("http_1_0.advertise_1_1", get(start=b"GET / HTTP/1.0"), dyno=(b"GET / HTTP/1.1\r\n",), goes_on=False),
    Row("http_1_0.conn_close_default", get(start=b"GET / HTTP/1.0"), headers={"Connection": "close"}, goes_on=False),
    Row("http_1_0.conn_keepalive_opt", get(b"Connection: keep-alive\r\n", b"GET / HTTP/1.0")),
    Row("http_1_0.chunked_to_1_0", get(b"Connection: keep-alive\r\n", b"GET / HTTP/1.0"), said(CHUNKED, WHOLE),
        headers={"Transfer-Encoding": None, "Content-Length": None}, goes_on=False),
    Row("chunked.passthrough", post(CHUNKED, WHOLE), said(CHUNKED, WHOLE), dyno=(b"Transfer-Encoding: chunked", WHOLE), reads=12,
        headers={"Transfer-Encoding": "chunked"}),
    Row("chunked.passthrough_early_0length", post(CHUNKED, b"0\r\n\r\n"), said(CHUNKED, b"0\r\n\r\n"), body=b"", dyno=(b"0\r\n\r\n",), reads=5),
    Row("chunked.bad_chunk", get(), said(CHUNKED, b"zz\r\nok\r\n"), 502, code="H17"),
    Row("chunked.trailers", post(b"Trailer: T\r\n" + CHUNKED, b"2\r\nok\r\n0\r\nT: u\r\n\r\n"), said(b"Trailer: T\r\n" + CHUNKED, b"2\r\nok\r\n0\r\nT: v\r\n\r\n"),
        headers={"T": "v"}, dyno=(b"0\r\nT: u\r\n\r\n",), reads=18),
    Row("chunked.trailers_close", get(CLOSE), said(CLOSE + CHUNKED, b"2\r\nok\r\n0\r\nT: v\r\n\r\n"), headers={"T": "v"}, goes_on=False, hangs_up=True),
    Row("chunked.trailers_serv_err", get(), said(CHUNKED, b"2\r\nok\r\n0\r\nno trailer\r\n\r\n"), 502, code="H17"),
    Row("chunked.trailers_no_header", get(), said(CHUNKED, b"2\r\nok\r\n0\r\nT: v\r\n\r\n"), headers={"T": "v", "Trailer": None}),
    Row("body_less.head_small", get(start=HEAD), said(b"Content-Length: 10\r\n"), body=b"", headers={"Content-Length": "10"}),
    Row("body_less.head_large", get(start=HEAD), said(b"Content-Length: 99999999999\r\n"), body=b"", headers={"Content-Length": "99999999999"}),
    Row("body_less.head_no_body", get(start=HEAD), said(b""), body=b"", headers={"Content-Length": None}),
    Row("body_less.head_chunked", get(start=HEAD), said(CHUNKED), body=b"", headers={"Transfer-Encoding": "chunked"}),
    Row("body_less.head_close_expect", get(start=HEAD), said(CLOSE + b"Content-Length: 10\r\n"), body=b"", hangs_up=True),
    Row("body_less.head_close_expect_client", get(CLOSE, HEAD), said(b"Content-Length: 10\r\n"), body=b"", goes_on=False),
    Row("body_less.status_204", get(), said(b"", status=b"204 No Content"), 204, b""),
    Row("body_less.status_304", get(), said(b"Content-Length: 10\r\n", status=b"304 Not Modified"), 304, b"", {"Content-Length": "10"}),
    Row("body_less.status_chunked_204", get(), said(CHUNKED, status=b"204 No Content"), 204, b"", {"Transfer-Encoding": None}),
    Row("body_less.status_close_304", get(), said(CLOSE + CHUNKED, status=b"304 Not Modified"), 304, b"", hangs_up=True),
    Row("body_less.status_close_304_client", get(CLOSE), said(b"Content-Length: 9\r\n", status=b"304 Not Modified"), 304, b"", goes_on=False),
    Row("body_less.bad_transfer_encoding", get(), said(b"Transfer-Encoding: gzip\r\n"), 503, code="H17"),
    Row("body_less.valid_status_204", get(), said(b"X: y\r\n", status=b"204 Fine"), 204, b"", {"X": "y"}, connections=1),
    Row("body_less.valid_status_304", get(), said(b"ETag: y\r\n", status=b"304 Same"), 304, b"", {"ETag": "y"}, connections=1),
    Row("body_less.valid_head", get(start=HEAD), said(b"X: y\r\nContent-Length: 2\r\n"), body=b"", headers={"X": "y"}, connections=1),
    Row("large_body.close", get(CLOSE), said(CLOSE + b"Content-Length: 500000\r\n", b"x" * 500_000), body=b"x" * 500_000, goes_on=False, hangs_up=True),
    Row("large_body.close_delimited", get(), said(CLOSE, b"x" * 500_000), body=b"x" * 500_000, headers={"Content-Length": None}, goes_on=False, hangs_up=True),
    Row("large_body.weird_content_length", get(), said(b"Content-Length: 1e3\r\n"), 502, code="H25"),
    # Connections to dynos that end.
    Row("backend_close.1", get(), said(CLOSE + b"Content-Length: 2\r\n", b"ok"), hangs_up=True, connections=2),
    Row("backend_close.2", get(), said(b"Connection: Keep-Alive, Close\r\nContent-Length: 2\r\n", b"ok"), connections=2),
    Row("backend_close.3", get(), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", connections=2),
    Row("backend_close.4", get(), features=frozenset({"http-disable-keepalive-to-dyno"}), dyno=(b"\r\nConnection: close\r\n",), connections=2),
    Row("backend_close.5", get(), OK + b"more than was promised", connections=2),
    # Connections to dynos that go on.
    Row("backend_keepalive.1", get(), never=(b"\r\nConnection:",), connections=1),
    Row("backend_keepalive.2", get(), said(b"Connection: keep-alive\r\nContent-Length: 2\r\n", b"ok"), connections=1),
    Row("backend_keepalive.3", get(), b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", connections=1),
    Row("backend_keepalive.4", get(), said(CHUNKED, WHOLE), connections=1),
    Row("backend_keepalive.5", get(b"Connection: keep-alive\r\n"), never=(b"\r\nConnection:",), connections=1),
    Row("backend_keepalive.6", post(b"Content-Length: 2\r\n", b"ok"), reads=2, connections=1),
    Row("backend_keepalive.7", post(CHUNKED, WHOLE), reads=12, connections=1),
    Row("backend_keepalive.8", get(start=HEAD), said(CHUNKED), body=b"", connections=1),
    Row("backend_keepalive.9", get(b"Connection: keep-alive\r\n", b"GET / HTTP/1.0"), connections=1),
    Row("backend_keepalive.10", get(), said(b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n", b"ok"), headers={"Keep-Alive": None}, connections=1),
    Row("backend_keepalive.11", get(), said(b"", b"", b"100 Continue") + OK, interim=(100,), connections=1),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case)
def test_case(row):
    run(lambda: play(row))


def test_backend_keepalive_12():
    """One client closes, another gets the dyno's connection; so does nobody once the dyno has closed it."""

    async def test():
        async with serving() as (house, dyno):
            for _ in range(3):
                async with await house.connect() as connection:
                    assert (await connection.ask()).body == b"hello"
            assert dyno.connections == 1
            dyno.hang_up()
            assert (await house.ask()).body == b"hello"
            assert dyno.connections == 2

    run(test)


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_chunked_passthrough_short_crlf(cut):
    """However a chunk and its CRLFs are cut into segments."""

    async def answer(head, reader, writer):
        body = await reader.readuntil(b"0\r\n\r\n")
        assert body.replace(b"1\r\no\r\n1\r\nk\r\n", b"2\r\nok\r\n") == WHOLE
        writer.write(said(CHUNKED, WHOLE[:cut]))
        await writer.drain()
        writer.write(WHOLE[cut:])
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(post(CHUNKED, WHOLE[:cut]))
            await turns(lambda: house.worker.proxy._clients)
            connection.writer.write(WHOLE[cut:])
            assert (await connection.response()).body == b"ok"

    run(test)


async def broken_off(sent: bytes) -> None:
    """The dyno ends after a part of its chunks: the client must not take that for the end."""
    async with (
        serving(canned(said(CHUNKED, sent), keep=False)) as (house, _),
        await house.connect() as connection,
    ):
        connection.writer.write(get())
        got = await connection.closed()
        line = await house.logplex.line()
        assert " code=H18 " in line
        assert not got.endswith(b"0\r\n\r\n")


def test_chunked_partial_early_0length1():
    run(lambda: broken_off(b"2\r\nok\r\n0"))


def test_chunked_partial_early_0length2():
    run(lambda: broken_off(b"2\r\nok\r\n0\r\n"))


def test_chunked_partial_early_0length3():
    run(lambda: broken_off(b"2\r\nok\r\n0\r\n\r"))


def test_chunked_interrupted_server():
    run(lambda: broken_off(b"5\r\nok"))


def test_chunked_interrupted_client():
    gone = asyncio.Event()

    async def answer(head, reader, writer):
        assert await reader.read() == b"2\r\nok\r\n"
        gone.set()
        return False

    async def test():
        async with serving(answer) as (house, dyno):
            async with await house.connect() as connection:
                connection.writer.write(post(CHUNKED, b"2\r\nok\r\n5\r\n"))
                await turns(lambda: dyno.heads)
            await gone.wait()
            assert " code=H27 " in await house.logplex.line()

    run(test)


def test_chunked_trailers_client_err():
    async def test():
        async with serving() as (house, _), await house.connect() as connection:
            response = await connection.ask(post(CHUNKED, b"2\r\nok\r\n0\r\nno trailer\r\n\r\n"))
            assert (response.status, response.get("Connection")) == (400, "close")
            assert 'code=H26 desc="Request Error" cause="bad chunk"' in await house.logplex.line()

    run(test)


def test_large_body_stream():
    size = 3_000_000

    async def answer(head, reader, writer):
        writer.write(said(b"Content-Length: %d\r\n" % size) + await reader.readexactly(size))
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            response = await connection.ask(post(b"Content-Length: %d\r\n" % size, b"x" * size))
            assert response.body == b"x" * size

    run(test)


def test_large_body_request_interrupts():
    """The dyno answers and ends while the request still comes: its answer arrives, and the connection ends."""

    async def test():
        async with (
            serving(canned(said(CLOSE + b"Content-Length: 2\r\n", b"no", b"413 Large"), keep=False)) as (
                house,
                _,
            ),
            await house.connect() as connection,
        ):
            connection.writer.write(post(b"Content-Length: 9000000\r\n", b"x" * 50_000))
            response = await connection.response()
            assert (response.status, response.body, response.get("Connection")) == (413, b"no", "close")

    run(test)


def test_large_body_response_interrupts():
    async def test():
        half = said(b"Content-Length: 500000\r\n", b"x" * 250_000)
        async with serving(canned(half, keep=False)) as (house, _), await house.connect() as connection:
            assert (await connection.ask(head_only=True)).status == 200
            assert len(await connection.closed()) == 250_000
            assert "sock=backend at=error code=H18 " in await house.logplex.line()

    run(test)
