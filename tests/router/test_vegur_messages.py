"""vegur's cases of heads, headers and 100-continue."""

import asyncio
import re
from dataclasses import replace

import pytest

from tests.router.routing import QUICK, run, serving
from tests.router.vegur import HOST, OK, Row, get, play, post

EXPECT = b"Content-Length: 2\r\nExpect: 100-continue\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
PAGE = b"<html><head><title>400</title></head><body><h1>400 Bad Request</h1></body></html>\n"
BAD = {"status": 400, "goes_on": False, "body": PAGE}
RID = b"0123456789abcdef+/=-"


def said(lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return start + b"\r\n" + lines + b"Content-Length: 2\r\n\r\nok"


def bad(case: str, send: bytes, **more) -> Row:
    """A request that is refused; its page is what the router says."""
    return Row(case, send, **{"status": 400, "goes_on": False, "code": "H26", **more})


ROWS = [
    # 100-continue. The router answers it itself: a dyno is never asked (no app has vegur's deep_continue here).
    Row("continue.non_terminal", post(b"Content-Length: 0\r\n"), GO_ON * 2 + OK, 502, code="H17"),
    Row("continue.no_expect_continue", get(), GO_ON + OK, interim=(100,)),
    Row("continue.http_1_0_continue", get(b"Connection: keep-alive\r\n", b"GET / HTTP/1.0"), GO_ON + OK),
    Row("continue.terminal_no_continue_complete", post(EXPECT, b"ok"), reads=2, never=(b"expect",)),
    bad("continue.unknown_expect", get(b"Expect: tea\r\n"), status=417),
    bad("continue.bad_syntax_expect", get(b"Expect: ;;\r\n")),
    Row("continue.bypass", post(EXPECT, b"ok"), GO_ON + OK, reads=2, never=(b"expect",), interim=(100,)),
    # Headers.
    bad("headers.duplicate_different_lengths_req", post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"ok")),
    bad("headers.duplicate_csv_lengths_req", post(b"Content-Length: 15,24\r\n", b"ok")),
    bad("headers.duplicate_identical_lengths_req", post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ok")),  # stricter
    Row("headers.duplicate_different_lengths_resp", get(), said(b"Content-Length: 3\r\n"), 502, code="H25"),
    Row("headers.duplicate_csv_lengths_resp", get(), b"HTTP/1.1 200 OK\r\nContent-Length: 2,2\r\n\r\nok", 502, code="H25"),
    Row("headers.duplicate_identical_lengths_resp", get(), said(b"Content-Length: 2\r\n"), 502, code="H25"),  # stricter
    Row("headers.delete_hop_by_hop", get(b"Keep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nConnection: keep-alive, X-Foo\r\nX-Foo: 1\r\nProxy-Authenticate: y\r\n"),
        said(b"Connection: X-Bar\r\nKeep-Alive: 3\r\nX-Bar: z\r\n"), headers={"Keep-Alive": None, "X-Bar": "z"},
        dyno=(b"\r\nX-Foo: 1\r\nProxy-Authenticate: y\r\n",), never=(b"\r\nKeep-Alive:", b"\r\nTE:", b"Proxy-Authorization", b"\r\nConnection:")),
    Row("headers.response_cookie_limits", get(), said(b"Set-Cookie: " + b"a" * 8192 + b"\r\n"), 502, code="H25"),
    Row("headers.response_header_line_limits", get(), said(b"X: " + b"a" * 524_288 + b"\r\n"), 502, code="H25"),
    Row("headers.response_status_limits", get(), said(b"", b"HTTP/1.1 200 " + b"O" * 8192), 502, code="H25"),
    Row("headers.via", get(), headers={"Via": "1.1 heroku-router"}, dyno=(b"\r\nVia: 1.1 heroku-router\r\n",)),
    Row("headers.via_chain", get(b"Via: 1.0 cdn\r\n"), said(b"Via: 1.1 app\r\n"), headers={"Via": "1.1 app, 1.1 heroku-router"},
        dyno=(b"\r\nVia: 1.0 cdn, 1.1 heroku-router\r\n",)),
    Row("headers.bad_status", get(), said(b"", b"HTTP/1.1 2x0 OK"), 503, code="H17"),
    Row("headers.preserve_case", get(b"x-lOWER: 1\r\nX-UPPER: 2\r\n"), said(b"x-lOWER: 3\r\n"), headers={"x-lOWER": "3"},
        dyno=(b"\r\nx-lOWER: 1\r\nX-UPPER: 2\r\n",)),
    Row("headers.header_order", get(b"B: 1\r\nA: 2\r\nCookie: x=1\r\nB: 3\r\nCookie: y=2\r\n"), dyno=(b"\r\nB: 1\r\nA: 2\r\nCookie: x=1\r\nB: 3\r\nCookie: y=2\r\n",)),
    Row("headers.host_nofold", get(HOST), dyno=(b"GET / HTTP/1.1\r\nHost: app.localhost\r\nX-Request-Id",)),
    Row("headers.host_conflict", get(b"Host: b\r\n"), **BAD),
    # vegur_proxy_SUITE.
    Row("proxy.request_id", get(b"X-Request-Id: " + RID + b"\r\n"), dyno=(b"\r\nX-Request-Id: " + RID + b"\r\n",), headers={"X-Request-Id": None}),
    Row("proxy.forwarded_for", get(b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n"),
        dyno=(b"\r\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: ",), never=(b"https", b"-Port: 1\r\n")),
    Row("proxy.via", get(b"Via: 1.1 a\r\nVia: 1.1 b\r\n"), dyno=(b"\r\nVia: 1.1 a, 1.1 b, 1.1 heroku-router\r\n",)),
    Row("proxy.connect_time_header", get(), never=(b"Connect-Time",)),  # the legacy router's
    Row("proxy.start_time_header", get(b"X-Request-Start: 1\r\n"), dyno=(b"\r\nX-Request-Start: 1",), never=(b"-Start: 1\r\n",)),
    Row("proxy.route_time_header", get(), never=(b"Total-Route-Time",)),  # the legacy router's
    Row("proxy.host", get(b"X-Forwarded-Host: other\r\n"), dyno=(b"\r\nHost: app.localhost\r\nX-Forwarded-Host: other\r\n",)),
    Row("proxy.query_string", get(start=b"GET /a?b=c&d=%20e? HTTP/1.1"), dyno=(b"GET /a?b=c&d=%20e? HTTP/1.1\r\n",)),
    Row("proxy.content_length", post(b"Content-Length: 2\r\n", b"ok"), reads=2, dyno=(b"\r\nContent-Length: 2\r\n", b"\r\n\r\nok")),
    Row("proxy.no_content_length", post(), never=(b"Content-Length", b"Transfer-Encoding")),
    Row("proxy.response_attributes", get(), said(b"X-A: 1\r\nServer: x\r\nContent-Type: text/x\r\n", b"HTTP/1.1 201 Made"), 201,
        headers={"X-A": "1", "Server": "x", "Content-Type": "text/x"}),
    # vegur_request_SUITE, what is about heads.
    Row("request.empty_expect", get(b"Expect:\r\n"), never=(b"expect",)),
    bad("request.url_limits", get(start=b"GET /" + b"a" * 8192 + b" HTTP/1.1"), code="", body=PAGE),
    bad("request.header_line_limits", get(b"X: " + b"a" * 8192 + b"\r\n")),
    bad("request.header_count_limits", get(b"A: b\r\n" * 1000)),
    bad("request.invalid_expect", get(b"Expect: 100-continue, tea\r\n"), status=417),
    Row("request.absolute_uri", get(start=b"GET http://app.localhost/x?y HTTP/1.1"), dyno=(b"GET /x?y HTTP/1.1\r\n",)),
    Row("request.herokuapp_redirect", get(), headers={"Location": None}),  # H16 was retired: nobody is sent elsewhere
    Row("request.upgrade_invalid", get(b"Connection: Upgrade\r\n"), **BAD, code="H26"),
    # vegur_client_SUITE.
    Row("client.missing_reason_phrase", get(), said(b"", b"HTTP/1.1 200"), 503, code="H17"),
    Row("client.deliberate_reason_phrase", get(), said(b"", b"HTTP/1.1 200 Well Done"), headers={"Content-Length": "2"}),
    Row("client.blank_reason_phrase", get(), said(b"", b"HTTP/1.1 200 ")),
    Row("client.order_preservation", get(), said(b"B: 1\r\nA: 2\r\n"), headers={"B": "1", "A": "2"}),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case)
def test_case(row):
    run(lambda: play(row))


@pytest.mark.parametrize("case", ["no_host", "empty_host"])
def test_request_hosts(case):
    """request.no_host, request.empty_host: 400, and in nobody's log."""
    line = b"" if case == "no_host" else b"Host:\r\n"

    async def test():
        async with serving() as (house, dyno):
            response = await house.ask(b"GET / HTTP/1.1\r\n" + line + b"\r\n")
            assert (response.status, response.get("Connection"), dyno.heads) == (400, "close", [])

    run(test)


def test_continue_back_and_forth():
    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + await reader.readexactly(2))
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            for _ in range(3):
                assert (await connection.ask(post(EXPECT))).status == 100
                assert (await connection.ask(b"ok")).body == b"ok"

    run(test)


def test_continue_body_timeout():
    async def answer(head, reader, writer):
        assert await reader.read() == b""
        return False

    async def test():
        async with (
            serving(answer, timers=replace(QUICK, idle=0.05)) as (house, _),
            await house.connect() as connection,
        ):
            assert (await connection.ask(post(EXPECT))).status == 100
            assert await connection.closed() in {b"", b"reset"}
            assert " code=H28 " in await house.logplex.line()

    run(test)


def test_continue_terminal_no_continue_partial():
    """An answer before the body is in: it is passed on, and the connection ends."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            assert (await connection.ask(post(EXPECT))).status == 100
            assert (await connection.response()).status == 413
            assert await connection.closed() == b""

    run(test)


@pytest.mark.parametrize("case", ["continue_upgrade_httpbis", "upgrade_no_continue"])
def test_continue_upgrades(case):
    """continue.continue_upgrade_httpbis, continue.upgrade_no_continue: a 100 of the dyno's may stand before its 101."""

    async def answer(head, reader, writer):
        assert b"expect" not in head.lower()
        writer.write(GO_ON + SWITCH)
        writer.write((await reader.readexactly(4)).upper())
        await reader.read()
        return False

    async def test():
        lines = UPGRADE + (b"Expect: 100-continue\r\n" if case == "continue_upgrade_httpbis" else b"")
        async with serving(answer) as (house, _), await house.connect() as connection:
            assert (await connection.ask(get(lines), head_only=True)).status == 100
            assert (await connection.head()).status == 101
            connection.writer.write(b"ping")
            assert await connection.reader.readexactly(4) == b"PING"

    run(test)


def test_request_upgrade_websockets():
    async def answer(head, reader, writer):
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
        writer.write(SWITCH + b"hi")
        await reader.read()
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            assert (await connection.ask(get(UPGRADE), head_only=True)).status == 101
            assert await connection.reader.readexactly(2) == b"hi"

    run(test)


def test_proxy_websockets():
    """As long as bytes go either way it lives, and one line tells of it when it ends."""

    async def answer(head, reader, writer):
        writer.write(SWITCH)
        while data := await reader.read(100):
            writer.write(data)
        return False

    async def test():
        async with serving(answer) as (house, _):
            async with await house.connect() as connection:
                assert (await connection.ask(get(UPGRADE), head_only=True)).status == 101
                for size in range(1, 50):
                    connection.writer.write(b"x" * size)
                    assert await connection.reader.readexactly(size) == b"x" * size
                assert house.logplex.rows == []
            line = await house.logplex.line()
            assert line.startswith("at=info method=GET ")
            assert " status=101 " in line
            assert int(re.search(r"bytes=(\d+)", line)[1]) >= sum(range(1, 50))

    run(test)


def test_proxy_custom_downstream_headers():
    """What the router adds for the dyno, all of it and nothing else."""

    async def test():
        async with serving() as (house, dyno):
            await house.ask(get())
            names = [line.partition(b":")[0] for line in dyno.heads[0].split(b"\r\n")[1:-2]]
            assert names == [
                b"Host", b"X-Request-Id", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Port", b"Via", b"X-Request-Start",
            ]  # fmt: skip

    run(test)


@pytest.mark.parametrize("case", ["first_read_timeout", "other_read_timeout"])
def test_client_timeouts(case):
    """client.first_read_timeout, client.other_read_timeout: H12, H15."""

    async def answer(head, reader, writer):
        if case == "other_read_timeout":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await reader.read()
        return False

    async def test():
        timers = replace(QUICK, first_byte=0.05, idle=0.05)
        async with serving(answer, timers=timers) as (house, _), await house.connect() as connection:
            connection.writer.write(get())
            code = "H12" if case == "first_read_timeout" else "H15"
            assert f" code={code} " in await house.logplex.line()

    run(test)


def test_proxy_request_statistics():
    """The access line's numbers are those of the bytes and the times."""

    async def answer(head, reader, writer):
        await asyncio.sleep(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(get())
            whole = await connection.reader.readuntil(b"x" * 1000)
            line = await house.logplex.line()
            assert re.search(r" connect=\d+ms service=\d+ms status=200 ", line)
            assert int(re.search(r" bytes=(\d+) ", line)[1]) == len(whole)

    run(test)


def test_proxy_request_keepalive_statistics():
    """Each request of a connection has numbers of its own."""

    async def test():
        async with serving() as (house, _), await house.connect() as connection:
            for _ in range(3):
                await connection.ask(get())
            rows = [row[4] for row in await house.logplex.wait(3)]
            assert len({re.search(r" bytes=(\d+) ", row)[1] for row in rows}) == 1
            assert len({re.search(r" request_id=(\S+) ", row)[1] for row in rows}) == 3

    run(test)
