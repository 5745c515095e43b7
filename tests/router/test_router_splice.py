"""Large uploads, which pass from socket to socket by themselves: whole, and however either side ends or stands still; nothing is left open."""

import asyncio
import contextlib
import hashlib
import os
import re
import socket
from dataclasses import replace

import pytest
import uvloop

from dynod.model.route import Backend
from router import splice
from router.splice import LARGE, PIPE, Splice
from router.upstream import Dyno
from tests.router.routing import QUICK, run, running, serving, table, turns

SIZE = 4 * 2**20
BODY = bytes(range(256)) * (SIZE // 256)


def post(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\n\r\n" % size


def length(head: bytes) -> int:
    found = re.search(rb"Content-Length: (\d+)", head)
    return int(found[1]) if found else 0


async def digested(head, reader, writer):
    body = hashlib.sha256(await reader.readexactly(length(head))).hexdigest().encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    return True


async def deaf(head, reader, writer):
    """Take the connection and nothing else until the router goes."""
    reader._transport.pause_reading()
    await writer.wait_closed()
    return False


def descriptors():
    """Pipes and sockets that are open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {each for each in found if each.startswith(("pipe:", "socket:"))}


@pytest.fixture(autouse=True)
def nothing_is_left():
    uvloop.run(asyncio.sleep(0))  # whose first run opens a pipe for all others
    before = descriptors()
    yield
    assert Splice.under_way == 0
    assert descriptors() <= before


async def spliced(house):
    """Wait until a client's body passes by itself."""
    await turns(lambda: house.worker.proxy._clients)
    (client,) = house.worker.proxy._clients
    await turns(lambda: client._splice is not None)
    return client


@pytest.mark.parametrize("size", [LARGE - 1, LARGE + 1, SIZE])
def test_a_body_arrives_as_it_was_sent_and_the_connection_goes_on(size):
    async def test():
        async with serving(digested) as (house, dyno), await house.connect() as connection:
            for _ in range(2):
                connection.writer.write(post(size))
                await turns(lambda: house.worker.proxy._clients)
                # Sent ahead: no byte of it is the body's.
                connection.writer.write(BODY[:size] + post(3) + b"end")
                assert (await connection.response()).body == hashlib.sha256(BODY[:size]).hexdigest().encode()
                assert (await connection.response()).body == hashlib.sha256(b"end").hexdigest().encode()
            assert dyno.connections == 1
            (client,) = house.worker.proxy._clients
            rows = [row[4] for row in await house.logplex.wait(4)]
            assert all(" status=200 " in row for row in rows)
            assert client._reading

    run(test)


def test_large_bodies_are_spliced_and_counted(monkeypatch):
    passed = []
    stop = Splice.stop
    monkeypatch.setattr(Splice, "stop", lambda self: (passed.append(self._left), stop(self)))

    async def test():
        async with serving(digested) as (house, _), await house.connect() as connection:
            connection.writer.write(post(SIZE) + BODY)
            client = await spliced(house)
            exchange = client.exchange
            assert (await connection.response()).status == 200
            assert exchange.from_client_size == SIZE
            assert passed[0] == 0

    run(test)


def test_when_there_are_as_many_pipes_as_may_be_bodies_take_the_other_way(monkeypatch):
    monkeypatch.setattr(splice, "MOST", 0)
    begun = []
    monkeypatch.setattr(Splice, "_readable", begun.append)

    async def test():
        async with serving(digested) as (house, _), await house.connect() as connection:
            response = await connection.ask(post(SIZE) + BODY)
            assert response.body == hashlib.sha256(BODY).hexdigest().encode()
            assert begun == []

    run(test)


def test_what_was_written_before_goes_first(monkeypatch):
    """A little of it is still to be written, so little that nobody was stopped for it."""
    made = Dyno.connection_made

    def narrow(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made(self, transport)

    monkeypatch.setattr(Dyno, "connection_made", narrow)

    async def test():
        loop = asyncio.get_running_loop()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            backend = Backend("raw", "web.1", *listener.getsockname())
            async with running(table(backend)) as house:
                pending = first = 0
                while not 0 < pending < 2**16:  # how much the kernel takes is its own affair
                    first += 2**13
                    connection = await house.connect()
                    connection.writer.write(post(SIZE) + BODY[:first])
                    await turns(lambda: house.worker.proxy._clients)
                    (client,) = house.worker.proxy._clients
                    await turns(lambda client=client: client.exchange and client.dyno)
                    await turns(
                        lambda client=client, first=first: (
                            client.exchange.from_client_size == first or client.dyno.blocked or client._splice
                        )
                    )
                    pending = client.dyno.transport.get_write_buffer_size()
                    if not 0 < pending < 2**16:
                        connection.writer.transport.abort()
                        await turns(lambda: not house.worker.proxy._clients)
                        (await loop.sock_accept(listener))[0].close()
                assert client._splice is None
                connection.writer.write(BODY[first:])
                dyno, _ = await loop.sock_accept(listener)
                with dyno:
                    got = bytearray()
                    while len(got) < SIZE or len(got) < SIZE + got.find(b"\r\n\r\n") + 4:
                        got += await loop.sock_recv(dyno, 2**18)
                    assert got.endswith(BODY)
                connection.writer.transport.abort()
                await turns(lambda: not house.worker.proxy._clients)

    run(test)


def test_a_dyno_that_does_not_read_stops_the_client_and_it_is_the_dynos_silence():
    async def test():
        async with (
            serving(deaf, timers=replace(QUICK, idle=0.2)) as (house, _),
            await house.connect() as connection,
        ):
            connection.writer.write(post(2**30))
            client = await spliced(house)
            connection.writer.write(b"x" * (64 * 2**20))
            await turns(lambda: client._splice is None or client._splice.blocked)
            assert client._splice._held <= PIPE
            assert " code=H15 " in await house.logplex.line()

    run(test)


def test_a_client_that_stops_in_the_middle_is_h28_and_one_that_goes_is_h27_and_the_dyno_hears():
    ended = asyncio.Queue()

    async def answer(head, reader, writer):
        try:
            await reader.readexactly(length(head))
        except asyncio.IncompleteReadError as error:
            ended.put_nowait(len(error.partial))
        except ConnectionResetError:
            ended.put_nowait(-1)
        return False

    async def test():
        async with serving(answer, timers=replace(QUICK, idle=0.2)) as (house, _):
            async with await house.connect() as connection:
                connection.writer.write(post(SIZE) + BODY[:-1])
                await spliced(house)
                assert " code=H28 " in await house.logplex.line()
                await ended.get()
            await turns(lambda: not house.worker.proxy._clients)
            async with await house.connect() as connection:
                connection.writer.write(post(SIZE) + BODY[:-1])
                await spliced(house)
                connection.writer.close()
                assert "sock=client at=warning code=H27 " in await house.logplex.line()
                await ended.get()

    run(test)


def test_an_early_answer_reaches_the_client_which_is_read_from_for_a_while():
    async def answer(head, reader, writer):
        await reader.readexactly(PIPE)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(post(2**30) + BODY)
            await spliced(house)
            response = await connection.response()
            assert (response.status, response.body, response.get("Connection")) == (413, b"no!", "close")
            assert " status=413 " in await house.logplex.line()

    run(test)


def test_a_dyno_that_dies_in_the_middle_is_h18_and_the_connection_ends():
    async def answer(head, reader, writer):
        await reader.readexactly(PIPE)
        writer.transport.abort()
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(post(2**30) + BODY)
            await spliced(house)
            assert (await connection.response()).status == 503
            assert " code=H18 " in await house.logplex.line()

    run(test)


def test_the_end_of_the_router_ends_it_too():
    async def test():
        async with serving(deaf) as (house, _), await house.connect() as connection:
            connection.writer.write(post(2**30) + BODY)
            await spliced(house)

    run(test)


def test_an_app_that_answers_and_reads_on_gets_its_body():
    """The answer is begun before the body is over: both go on."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n")
        body = await reader.readexactly(length(head))
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (64, hashlib.sha256(body).hexdigest().encode()))
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(post(SIZE) + BODY)
            assert (await connection.response()).body == b"ho" + hashlib.sha256(BODY).hexdigest().encode()
            assert await connection.closed() == b""  # as whenever an answer begins before the request is over

    run(test)
