"""Each H-code through real sockets: what the client gets, what the log says, what becomes of the connections."""

import asyncio
import socket
from dataclasses import replace

import pytest

from dynod.model.route import Backend, Standing
from tests.router.routing import (
    GET,
    HELLO,
    QUICK,
    FakeDyno,
    canned,
    closed_port,
    run,
    running,
    serving,
    table,
)

POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 10\r\n\r\n"


async def expect(
    house, code: str, status: int, *, dyno: str = "web.1", data: bytes = GET, ends: str | None = None
) -> str:
    async with await house.connect() as connection:
        response = await connection.ask(data)
        assert response.status == status
        assert response.get("Cache-Control") == "no-cache, no-store"
    line = await house.logplex.line()
    assert f" code={code} " in line
    assert f" dyno={dyno} " in line
    assert f" status={status} " in line
    if ends is not None:
        assert line.endswith(f"{ends} protocol=http1.1 tls=false")
    return line


@pytest.mark.parametrize(
    ("standing", "code", "status", "at"),
    [
        (Standing.CRASHED, "H10", 503, "error"),
        (Standing.NO_WEB, "H14", 503, "error"),
        (Standing.MAINTENANCE, "H80", 503, "info"),
        (Standing.BLANK, "H81", 502, "info"),
    ],
)
def test_apps_without_a_dyno_to_serve_them(standing, code, status, at):
    async def test():
        async with running(table(standing=standing)) as house:
            line = await expect(
                house, code, status, dyno="", ends=f"dyno= connect= service= status={status} bytes="
            )
            assert line.startswith(f"at={at} code={code} ")
            async with await house.connect() as connection:  # the connection goes on
                for _ in range(3):
                    assert (await connection.ask()).status == status

    run(test)


def test_unknown_hosts_get_404_and_no_line():
    async def test():
        async with serving() as (house, _):
            response = await house.ask(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
            assert (response.status, b"No such app" in response.body) == (404, True)
            assert (await house.ask()).status == 200
            assert " status=200 " in await house.logplex.line()

    run(test)


def test_without_any_table_nothing_is_said_to_be_missing():
    async def test():
        async with running() as house:
            assert (await house.ask()).status == 503

    run(test)


def test_an_apps_own_pages():
    async def test():
        async with running(table(standing=Standing.MAINTENANCE, maintenance_page="https://m/")) as house:
            assert b'<iframe src="https://m/">' in (await house.ask()).body
        async with running(table(standing=Standing.CRASHED, error_page="https://e/")) as house:
            assert b'<iframe src="https://e/">' in (await house.ask()).body

    run(test)


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"BAD\r\n\r\n", POST[:-2] + b"Content-Length: 11\r\n\r\n", b"A" * 300_000,
        b"GET / HTTP/1.1\r\nHost: app.localhost:80@evil.example\r\n\r\n",
    ],
)  # fmt: skip
def test_bad_requests_get_400_and_the_connection_ends(bad):
    async def test():
        async with serving() as (house, dyno), await house.connect() as connection:
            assert (await connection.ask(bad)).status == 400
            connection.writer.write_eof()
            assert await connection.closed() == b""
            assert dyno.heads == []

    run(test)


@pytest.mark.parametrize("before", [0, 1])
def test_h12_no_byte_in_time(before):
    """On a new connection, and on one that was kept."""
    heads = []

    async def answer(head, reader, writer):
        heads.append(head)
        if len(heads) <= before:
            writer.write(HELLO)
            return True
        await reader.read()
        return False

    async def test():
        async with serving(answer, timers=replace(QUICK, first_byte=0.05, head=1000.0)) as (house, dyno):
            for _ in range(before):
                await house.ask()
                await house.logplex.line()
            line = await expect(house, "H12", 503)
            assert " bytes=0 " in line
            assert dyno.connections == 1

    run(test)


def test_h13_closed_without_a_word():
    async def test():
        async with serving(canned(b"", keep=False)) as (house, _):
            await expect(house, "H13", 503, ends="status=503 bytes=0")

    run(test)


def test_h15_silence_in_the_middle_of_an_answer():
    async def answer(head, reader, writer):
        writer.write(HELLO[:-2])
        await reader.read()
        return False

    async def test():
        async with (
            serving(answer, timers=replace(QUICK, idle=0.05)) as (house, _),
            await house.connect() as connection,
        ):
            assert (await connection.ask(head_only=True)).status == 200
            assert await connection.closed() == b"hel"
            line = await house.logplex.line()
            assert line.startswith('at=error code=H15 desc="Idle connection" ')

    run(test)


def test_h15_a_silent_tunnel():
    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await reader.read()
        return False

    async def test():
        async with (
            serving(answer, timers=replace(QUICK, idle=0.05)) as (house, _),
            await house.connect() as connection,
        ):
            response = await connection.ask(
                GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", head_only=True
            )
            assert response.status == 101
            await connection.closed()
            assert " code=H15 " in await house.logplex.line()

    run(test)


@pytest.mark.parametrize(
    ("said", "code", "status"),
    [
        (b"what?\r\n\r\n", "H17", 503),
        (b"HTTP/1.1 200\r\n\r\n", "H17", 503),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "H17", 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "H25", 502),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: " + b"a" * 9000 + b"\r\n\r\n", "H25", 502),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 2**20 + b"\r\n\r\n", "H25", 502),
    ],
)
def test_h17_and_h25_answers_that_are_none(said, code, status):
    async def test():
        async with serving(canned(said)) as (house, _):
            await expect(house, code, status)

    run(test)


def test_h18_an_answer_that_breaks_off():
    async def test():
        for wire in (HELLO[:-2], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"):
            async with serving(canned(wire, keep=False)) as (house, _), await house.connect() as connection:
                assert (await connection.ask(head_only=True)).status == 200
                rest = await connection.closed()
                assert not rest.endswith(b"0\r\n\r\n")
                line = await house.logplex.line()
                assert line.startswith('sock=backend at=error code=H18 desc="Server Request Interrupted" ')
                assert " status=503 " in line

    run(test)


def test_a_broken_chunk_of_a_dyno_ends_the_answer_short():
    async def test():
        wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with serving(canned(wire + b"3\r\nhelXX")) as (house, _):
            await expect(house, "H17", 502)  # HEROKU.md 4.3: a bad chunk of a dyno is 502

    run(test)


def test_h19_a_dyno_that_does_not_take_the_connection():
    async def test():
        with socket.socket() as listener:  # its queue is full: further connections hang
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            backend = Backend("full", "web.1", "127.0.0.1", listener.getsockname()[1])
            fill = [socket.socket() for _ in range(3)]
            for one in fill:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            async with running(table(backend), timers=replace(QUICK, connect=0.05)) as house:
                line = await expect(house, "H19", 503)
                assert " service= status=503 bytes= " in line
            for one in fill:
                one.close()

    run(test)


def test_h20_boot_takes_too_long_and_a_dyno_in_time_is_used():
    async def test():
        async with running(table(standing=Standing.BOOTING), timers=replace(QUICK, boot=0.05)) as house:
            await expect(house, "H20", 503, dyno="", ends="dyno= connect= service= status=503 bytes=")

    run(test)


def test_h21_refused_by_the_only_dyno_and_then_h34_while_it_is_left_alone():
    async def test():
        async with running(table(closed_port()), timers=replace(QUICK, boot=0.05)) as house:
            line = await expect(house, "H21", 503)
            assert " service= status=503 bytes= " in line
            await expect(house, "H34", 503, dyno="")

    run(test)


def test_a_quarantine_ends_and_the_request_that_waited_is_served():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        await dyno.close()
        async with running(table(backend), timers=replace(QUICK, quarantine=0.1)) as house:
            await expect(house, "H21", 503)
            dyno._server = await asyncio.start_server(dyno._serve, backend.address, backend.port)
            assert (await house.ask()).body == b"hello"
        await dyno.close()

    run(test)


def test_a_refusal_is_tried_elsewhere_and_not_again():
    async def test():
        dyno = FakeDyno()
        good = await dyno.open()
        bad = [closed_port(f"127.0.0.{n}", f"web.{n}") for n in range(2, 9)]
        async with running(table(*bad, good)) as house:
            for _ in range(30):
                assert (await house.ask()).status == 200
            targets = house.worker.proxy.routes.find(b"app.localhost").targets
            assert [target.in_flight for target in targets] == [0] * 8
        await dyno.close()

    run(test)


def test_ten_tries_and_no_more():
    async def test():
        bad = [closed_port(f"127.0.0.{n}", f"web.{n}") for n in range(2, 15)]
        async with running(table(*bad)) as house:
            await expect(house, "H21", 503, dyno=(await house_dyno(house)))

    async def house_dyno(house):
        await house.ask()
        line = await house.logplex.line()
        targets = house.worker.proxy.routes.find(b"app.localhost").targets
        assert sum(target.quarantined_until > 0 for target in targets) == 10
        for target in targets[1:]:
            target.quarantined_until = 2**40
        targets[0].quarantined_until = 0
        assert " code=H21 " in line
        house.worker.proxy.swap(table(targets[0].backend))
        return targets[0].backend.dyno

    run(test)


def test_h27_the_client_goes_away_and_the_dyno_is_told():
    gone = asyncio.Event()
    came = asyncio.Event()

    async def answer(head, reader, writer):
        came.set()
        await reader.read()
        gone.set()
        return False

    async def test():
        async with serving(answer) as (house, _):
            async with await house.connect() as connection:
                connection.writer.write(GET)
                await came.wait()
            await gone.wait()
            line = await house.logplex.line()
            assert line.startswith('sock=client at=warning code=H27 desc="Client Request Interrupted" ')
            assert " status=499 " in line

    run(test)


def test_h28_a_client_that_does_not_send_its_body():
    async def test():
        async with (
            serving(timers=replace(QUICK, idle=0.05)) as (house, dyno),
            await house.connect() as connection,
        ):
            dyno.answer = canned_after_body
            connection.writer.write(POST + b"123")
            assert await connection.closed() in {b"", b"reset"}
            line = await house.logplex.line()
            assert line.startswith('at=warning code=H28 desc="Client Connection Idle" ')

    async def canned_after_body(head, reader, writer):
        await reader.readexactly(10)

    run(test)


def test_h26_a_bad_chunk_of_the_client():
    async def answer(head, reader, writer):
        await reader.read()
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            start = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            response = await connection.ask(start + b"3\r\nabcd\r\n")
            assert response.status == 400
            assert 'code=H26 desc="Request Error" cause="bad chunk" ' in await house.logplex.line()

    run(test)
