"""WebSockets over HTTP/1.1: a pipe once the dyno agrees, a plain response if it does not."""

import asyncio

from tests.router.routing import GET, run, serving


def test_a_websocket_is_a_pipe_that_carries_bytes_sent_too_early():
    async def answer(head, reader, writer):
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst"
        )
        while data := await reader.read(65536):
            writer.write(data.upper())
            if b"\x00" in data:
                return False
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            hello = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            response = await connection.ask(hello + b"early", head_only=True)
            assert (response.status, response.get("Connection")) == (101, "Upgrade")
            assert await connection.reader.readexactly(10) == b"firstEARLY"
            connection.writer.write(b"abc\r\n\r\n")
            assert await connection.reader.readexactly(7) == b"ABC\r\n\r\n"
            connection.writer.write(b"\x00")
            assert await connection.closed() == b"\x00"
            assert " status=101 " in await house.logplex.line()

    run(test)


def test_the_last_bytes_of_a_tunnel_arrive():
    """Also when the client is long gone before a slow dyno has read them."""
    size = 32 * 2**20
    got = asyncio.Queue()
    gone = asyncio.Event()

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await gone.wait()
        total = 0
        while data := await reader.read(65536):
            total += len(data)
            await asyncio.sleep(0)
        got.put_nowait(total)
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            hello = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            assert (await connection.ask(hello, head_only=True)).status == 101
            connection.writer.write(b"x" * size)
            connection.writer.close()
            gone.set()
            assert await got.get() == size

    run(test)


def test_an_upgrade_that_the_dyno_declines_is_a_plain_response():
    async def test():
        async with serving() as (house, _), await house.connect() as connection:
            hello = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            for _ in range(2):
                assert (await connection.ask(hello)).body == b"hello"

    run(test)
