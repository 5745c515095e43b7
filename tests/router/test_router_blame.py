"""Codes for what is nobody's everyday fault: H24, H26 with its causes, H32, H33, H99; who is told, and what the log says."""

import asyncio
import ssl
from dataclasses import replace

import h2.errors
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.model.certs import CertTable
from dynod.model.route import RouteTable, Standing
from router.reasons import Failure, lost
from router.unread import hint
from tests.router.routing import GET, QUICK, controlled, run, running, serving, table, turns
from tests.router.test_router_h2 import talk
from tests.router.test_router_tls import FIRST, STAR


async def silent(head, reader, writer):
    await reader.read()
    return False


async def switched(head, reader, writer):
    writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    return await silent(head, reader, writer)


# -- H26: a request that cannot be forwarded -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status", "cause"),
    [
        (b"Expect: tea\r\n", 417, "unsupported expect header value"),
        (b"Expect: ;;\r\n", 400, "bad header"),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", 400, "bad header"),
        (b"Transfer-Encoding: gzip\r\n", 400, "bad header"),
        (b"X : a\r\n", 400, "bad header"),
        (b"X: " + b"a" * 8192 + b"\r\n", 400, "bad header"),
    ],
)
def test_h26_a_head_that_is_refused_is_told_of_in_the_log_of_the_app_it_names(lines, status, cause):
    async def test():
        async with serving() as (house, dyno), await house.connect() as connection:
            response = await connection.ask(
                b"POST /a HTTP/1.1\r\nHost: app.localhost\r\n" + lines + b"\r\nbody"
            )
            assert (response.status, response.get("Connection")) == (status, "close")
            connection.writer.write_eof()
            assert await connection.closed() == b""
            line = await house.logplex.line()
            assert line.startswith(
                f'at=error code=H26 desc="Request Error" cause="{cause}" method=POST path="/a" host=app.'
            )
            assert line.endswith(f"dyno= connect= service= status={status} bytes= protocol=http1.1 tls=false")
            assert dyno.heads == []

    run(test)


def test_a_refused_head_that_names_no_app_beyond_doubt_is_in_nobodys_log():
    async def test():
        async with serving() as (house, _):
            for head in (
                b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\nX : a\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: app.localhost\r\nHost: b\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: app.localhost\r\nhost : b\r\n\r\n",
                b"GET  / HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: app.localhost\nX: a\r\n\r\n",
            ):
                assert (await house.ask(head)).status == 400
            assert (await house.ask()).status == 200
            assert " status=200 " in await house.logplex.line()

    run(test)


@given(st.binary(max_size=200))
def test_a_hint_is_plain_or_none(junk):
    for data in (junk, b"GET / HTTP/1.1\r\nHost: a\r\n" + junk):
        head = hint(data + b"\r\n\r\n")
        assert head is None or (head.host.isascii() and head.method.isascii() and b"\r" not in head.target)


# -- H24: a router that ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [silent, switched])
def test_h24_what_outlives_the_routers_end_is_closed_and_it_was_not_the_client(answer):
    async def test():
        quick = replace(QUICK, drain=0.05)
        async with serving(answer, timers=quick) as (house, dyno), await house.connect() as connection:
            connection.writer.write(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            if answer is switched:
                await connection.head()
            await turns(lambda: dyno.heads)
            await house.worker.drain()
            assert await connection.closed() in {b"", b"reset"}
            line = await house.logplex.line()
            assert line.startswith('at=error code=H24 desc="Forced close" method=GET path="/" ')
            assert " dyno=web.1 " in line
            assert " status= bytes=" in line

    run(test)


# -- TLS and HTTP/2 --------------------------------------------------------------------------------------------------


def test_h32_a_name_without_a_certificate_of_its_own_is_not_served_behind_anothers():
    async def test():
        async with serving() as (house, dyno):
            house.worker.certificates.swap(CertTable(1, (FIRST, STAR), {"first.test": 0, "*.localhost": 1}))
            async with await house.connect_tls("app.localhost") as connection:
                assert (await connection.ask()).status == 200
            assert " status=200 " in await house.logplex.line()
            house.worker.certificates.swap(CertTable(2, (FIRST,), {"first.test": 0}))
            async with await house.connect_tls("app.localhost") as connection:
                response = await connection.ask()
                assert (response.status, response.get("Connection")) == (495, "close")
            line = await house.logplex.line()
            assert 'at=error code=H32 desc="TLS Certificate Mismatch" ' in line
            assert " status=495 bytes= protocol=http1.1 tls=true tls_version=tls1.3" in line
            assert len(dyno.heads) == 1
            # Who asked for no name was misled by none.
            async with await house.connect_tls(None) as connection:
                assert (await connection.ask()).status == 200

    run(test)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (h2.errors.ErrorCodes.PROTOCOL_ERROR, 'at=error code=H33 desc="HTTP/2 stream broken" method=GET '),
        (
            h2.errors.ErrorCodes.CANCEL,
            'sock=client at=warning code=H27 desc="Client Request Interrupted" method=GET ',
        ),
    ],
)
def test_h33_a_stream_that_breaks_is_not_one_that_is_given_up(code, said):
    async def test():
        async with serving(silent) as (house, dyno):
            client = await talk(house)
            id = client.send()
            await turns(lambda: dyno.heads)
            client.conn.reset_stream(id, code)
            client.flush()
            line = await house.logplex.line()
            assert line.startswith(said)
            assert (" status= bytes=0 protocol=http2.0 " in line) is ("H33" in said)

    run(test)


def test_h33_a_connection_that_breaks_the_protocol_breaks_its_streams():
    async def test():
        async with serving(silent) as (house, dyno):
            client = await talk(house)
            client.send()
            await turns(lambda: dyno.heads)
            client.raw.writer.write(b"\0\0\1\0\0\0\0\0\0X")  # DATA on stream 0
            assert " code=H33 " in await house.logplex.line()

    run(test)


# -- H99: only ours --------------------------------------------------------------------------------------------------


def test_h99_an_app_that_goes_away_under_a_request_that_waits():
    async def test():
        async with running(table(standing=Standing.BOOTING)) as house, await house.connect() as connection:
            control = await controlled(house)
            connection.writer.write(GET)
            await turns(lambda: house.worker.proxy.waiting.held)
            control.publish(RouteTable(2))
            assert (await connection.response()).status == 503
            assert 'at=error code=H99 desc="Platform error" ' in await house.logplex.line()

    run(test)


@pytest.mark.parametrize("where", ["start", "finish"])
def test_h99_a_bug_of_the_routers_own_is_neither_the_clients_nor_the_dynos_fault(where):
    """`start` is called with the client's bytes, `finish` with the dyno's."""

    async def test():
        async with serving() as (house, _):
            # It would be told at length.
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            setattr(house.worker.proxy, where, broken)
            async with await house.connect() as connection:
                connection.writer.write(GET)
                await connection.closed()
                line = await house.logplex.line()
                assert line.startswith('at=error code=H99 desc="Platform error" method=GET path="/" ')

    def broken(*_):
        raise LookupError("a bug")

    run(test)


@pytest.mark.parametrize(
    ("error", "failure"),
    [(None, None), (ConnectionResetError(), None), (ssl.SSLError(), None), (LookupError(), Failure.H99)],
)
def test_whose_fault_the_end_of_a_connection_is(error, failure):
    assert lost(error) is failure
