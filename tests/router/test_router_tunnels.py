"""WebSockets over HTTP/1.1: a pipe once the dyno agrees, a plain response if it does not."""

import asyncio
import re
from types import SimpleNamespace

import pytest
from x509_samples import Signer

from dynod.model.certs import CertTable, Served
from router.server import HIGH, RESPONSE_BUFFER
from router.tunnels import LOOKS, Tunnel
from tests.router.routing import GET, run, serving, turns

UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
CERTS = CertTable(1, (Served(*Signer().server("app.localhost")),), {"app.localhost": 0})


async def shouted(head, reader, writer):
    """Answer in capitals until there is a zero."""
    writer.write(SWITCH)
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
        if b"\x00" in data:
            break
    return False


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


@pytest.mark.parametrize("secure", [False, True])
def test_what_goes_through_is_counted_both_ways_and_ends_with_the_dyno(secure):
    async def test():
        async with serving(shouted) as (house, _):
            house.worker.certificates.swap(CERTS)
            async with await (house.connect_tls() if secure else house.connect()) as connection:
                assert (await connection.ask(UPGRADE, head_only=True)).status == 101
                size = 3 * 2**20
                said = asyncio.ensure_future(connection.reader.readexactly(size))
                for _ in range(3):
                    connection.writer.write(b"x" * 2**20)
                    await connection.writer.drain()
                assert await said == b"X" * size
                (client,) = house.worker.proxy._clients
                exchange = client.exchange
                connection.writer.write(b"\x00")
                assert await connection.closed() == b"\x00"
                line = await house.logplex.line()
                head = len(SWITCH) + len(b"Via: 1.1 heroku-router\r\n")
                assert int(re.search(r" bytes=(\d+) ", line)[1]) - size - 1 in range(head - 20, head + 60)
                assert exchange.from_client_size == size + 1

    run(test)


def test_much_that_was_sent_too_early_goes_through_and_what_follows_too():
    """The client was stopped meanwhile: its bytes had nowhere to go."""
    go = asyncio.Event()

    async def answer(head, reader, writer):
        await go.wait()
        return await shouted(head, reader, writer)

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            size = 8 * 2**20
            connection.writer.write(UPGRADE + b"x" * size)
            await turns(lambda: house.worker.proxy._clients)
            (client,) = house.worker.proxy._clients
            await turns(lambda: not client._reading)
            assert HIGH <= len(client._buffer) < HIGH + 2**19
            go.set()
            assert (await connection.head()).status == 101
            assert await connection.reader.readexactly(size) == b"X" * size

    run(test)


def test_a_client_that_does_not_read_stops_the_dyno_and_gets_all_of_it_in_the_end():
    size = 30 * 2**20

    async def answer(head, reader, writer):
        writer.write(SWITCH + b"x" * size)
        await writer.drain()
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(UPGRADE)
            await connection.head()
            connection.writer.transport.pause_reading()
            (client,) = house.worker.proxy._clients
            await turns(lambda: client.blocked)
            assert RESPONSE_BUFFER <= client.transport.get_write_buffer_size() < RESPONSE_BUFFER + 2**19
            connection.writer.transport.resume_reading()
            assert len(await connection.closed()) == size

    run(test)


def test_a_tunnel_is_silent_when_nothing_came_from_either_side_since_it_was_looked_at():
    transport = SimpleNamespace(write=lambda data: None, set_protocol=lambda protocol: None)
    client = SimpleNamespace(transport=transport, open_tunnel=lambda end: None)
    tunnel = Tunnel(client, SimpleNamespace(transport=transport), 100.0)
    step = 55.0 / LOOKS
    assert client.deadline == 100.0
    assert tunnel.look(100.0, 55.0) == 100.0 + step
    tunnel.client.data_received(b"ping")
    assert tunnel.look(103.0, 55.0) == 103.0 + step
    tunnel.dyno.data_received(b"pong")
    assert tunnel.look(104.0, 55.0) == 104.0 + step
    assert tunnel.look(158.0, 55.0) == 159.0
    assert tunnel.look(159.0, 55.0) == 159.0  # so long, and not a byte
