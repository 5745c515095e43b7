"""Clients that are slow, still or too many: how long each is waited for, and how much it can make us keep."""

import asyncio
import socket
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dynod.model.route import Limits
from router.addresses import shown, who
from router.exchange import Phase
from router.reasons import Failure
from router.server import HIGH, Client
from tests.router.routing import GET, HELLO, QUICK, Connection, run, serving, turns
from tests.router.test_router_h2 import talk
from tests.router.test_router_tls import CERTS


def test_an_early_answer_reaches_a_client_that_still_sends():
    """Closing at once would reset the connection under the answer."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
        return False

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(
                b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000
            )
            response = await connection.response()
            assert (response.status, response.body, response.get("Connection")) == (413, b"no!", "close")
            connection.writer.write(b"x" * 100_000)
            assert await connection.closed() == b""

    run(test)


def test_a_slow_reader_is_not_an_idle_one():
    """55 s are counted from the last byte the client took, not from the last the dyno gave."""
    sizes = iter([1000, 999, 1, 1])
    failed = []
    proxy = SimpleNamespace(
        timers=QUICK, start=None, forward=None, fail=lambda client, exchange, failure: failed.append(failure)
    )
    client = Client(proxy)
    client.transport = SimpleNamespace(get_write_buffer_size=lambda: next(sizes))
    client.exchange = SimpleNamespace(phase=Phase.ANSWERING, tunnel=None, expired=lambda **_: Failure.H28)
    client.pause_writing()
    for now in (100.0, 200.0):
        client.expired(now)
        assert (client.deadline, failed) == (now + QUICK.idle, [])
    client.expired(300.0)
    assert failed == [Failure.H28]


def test_each_byte_of_either_side_begins_the_silence_anew():
    got, more = asyncio.Queue(), asyncio.Queue()

    async def answer(head, reader, writer):
        for _ in range(3):
            got.put_nowait(await reader.readexactly(1))
        for _ in range(4):
            writer.write(await more.get())
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            time = asyncio.get_running_loop().time
            connection.writer.write(b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\nx")
            await got.get()
            (client,) = house.worker.proxy._clients

            async def renewed(span, happens, seen):
                before, client.deadline = time(), time() + 10_000
                happens()
                await seen()
                assert before + span <= client.deadline <= time() + span

            await renewed(QUICK.idle, lambda: connection.writer.write(b"x"), got.get)
            await renewed(QUICK.first_byte, lambda: connection.writer.write(b"x"), got.get)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
            await renewed(QUICK.idle, lambda: more.put_nowait(head), connection.head)
            for span in (QUICK.idle, QUICK.idle, QUICK.keep_alive):
                await renewed(span, lambda: more.put_nowait(b"y"), lambda: connection.reader.readexactly(1))

    run(test)


def test_a_client_that_does_not_read_at_all_is_given_up():
    size = 30 * 2**20

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()
        return True

    async def test():
        async with (
            serving(answer, timers=replace(QUICK, idle=0.1)) as (house, _),
            await house.connect() as connection,
        ):
            connection.writer.transport.pause_reading()
            connection.writer.write(GET)
            assert " code=H28 " in await house.logplex.line()

    run(test)


# -- limits that are set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET / HTTP/1.1\r\nHost: app.localhost\r\n", b"X: y\r\n"],
        [b"", b"\r", b"\n"],
        [b"", b"\r\n"],
        [b"G"],
    ],
)
def test_a_head_that_does_not_end_is_not_waited_for_however_it_dribbles(pieces):
    """Slowloris. Each byte starts no clock anew, and empty lines before a request are no way around it."""

    async def test():
        limits = Limits(head=0.2, keep_alive=1000.0)
        async with serving(limits=limits) as (house, dyno), await house.connect() as connection:
            await connection.ask()
            first, *more = pieces
            connection.writer.write(first)
            ended = asyncio.ensure_future(connection.closed())
            while not ended.done():
                for piece in more:
                    if not connection.writer.transport.is_closing():
                        connection.writer.write(piece)
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert ended.result() in {b"", b"reset"}
            assert len(dyno.heads) == 1

    run(test)


def test_a_head_without_end_is_refused_before_it_is_kept():
    async def test():
        async with serving() as (house, _), await house.connect() as connection:
            connection.writer.write(GET[:-2])
            client = await only_client(house)
            for _ in range(40):
                connection.writer.write(b"X: " + b"y" * 8000 + b"\r\n")
            assert (await connection.response()).status == 400
            assert len(client._buffer) == 0

    run(test)


async def only_client(house):
    await turns(lambda: house.worker.proxy._clients)
    (client,) = house.worker.proxy._clients
    return client


def test_an_idle_client_is_kept_as_long_as_is_set():
    async def test():
        async with (
            serving(limits=Limits(keep_alive=0.05)) as (house, _),
            await house.connect() as connection,
        ):
            await connection.ask()
            assert await connection.closed() == b""

    run(test)


def test_a_websocket_whose_client_is_gone_without_a_word_ends_after_the_silence_that_is_set():
    """Nobody closed anything: neither side hears of the other, as when a laptop is shut."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert await reader.read() == b""
        return False

    async def test():
        limits = Limits(idle=0.05)
        async with serving(answer, limits=limits) as (house, _), await house.connect() as connection:
            upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            assert (await connection.ask(upgrade, head_only=True)).status == 101
            connection.writer.transport.pause_reading()
            assert " code=H15 " in await house.logplex.line()
            await turns(lambda: not house.worker.proxy._clients)

    run(test)


def test_what_is_sent_ahead_of_an_answer_is_bounded_and_answered_in_the_end():
    """Pipelining: the client is not read from while what it sent waits."""
    many = 100_000
    go = asyncio.Event()

    async def answer(head, reader, writer):
        if head.startswith(b"GET /wait"):
            await go.wait()
        writer.write(HELLO)
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(GET.replace(b" / ", b" /wait ") + GET * many)
            client = await only_client(house)
            await turns(lambda: not client._reading)
            assert HIGH <= len(client._buffer) < HIGH + 2**19
            go.set()
            for _ in range(2_000):
                assert (await connection.response()).body == b"hello"
            assert len(client._buffer) < HIGH + 2**19

    run(test)


def test_one_address_has_so_many_connections_and_others_have_theirs():
    async def test():
        async with serving(limits=Limits(per_address=3)) as (house, _):
            mine = [await house.connect() for _ in range(3)]
            for connection in mine:
                assert (await connection.ask()).status == 200
            async with await house.connect() as connection:
                connection.writer.write(GET)
                assert await connection.closed() in {b"", b"reset"}
            async with await house.connect(local="127.0.0.9") as other:
                assert (await other.ask()).status == 200
            proxy = house.worker.proxy
            mine[0].writer.transport.abort()
            await turns(lambda: len(proxy._clients) == 2)
            async with await house.connect() as connection:
                assert (await connection.ask()).status == 200
            for connection in mine:
                connection.writer.transport.abort()
            await turns(lambda: not proxy._clients)
            assert (len(proxy.addresses), proxy.addresses.known) == (0, 0)

    run(test)


def test_who_does_not_shake_hands_counts_too_and_is_one_with_the_client_it_becomes():
    async def test():
        async with serving(limits=Limits(per_address=3)) as (house, _):
            house.worker.certificates.swap(CERTS)

            async def silent(local="127.0.0.1"):
                where = ("127.0.0.1", house.tls_port)
                return Connection(*await asyncio.open_connection(*where, local_addr=(local, 0)))

            addresses = house.worker.proxy.addresses
            mine = [await silent(), await silent()]
            async with await house.connect_tls() as third:
                assert (await third.ask()).status == 200
                assert len(addresses) == 3
                async with await silent() as fourth:
                    assert await fourth.closed() in {b"", b"reset"}
                async with await silent("127.0.0.9"):
                    await turns(lambda: len(addresses) == 4)
            for each in mine:
                await each.close()
            await turns(lambda: not len(addresses))
            assert addresses.known == 0

    run(test)


def test_the_streams_of_one_connection_are_one_connection():
    async def test():
        async with serving(limits=Limits(per_address=1)) as (house, _):
            client = await talk(house)
            ids = [client.send() for _ in range(5)]
            for id in ids:
                assert (await client.answer(id))[1] == b"hello"
            async with await house.connect() as connection:
                assert await connection.closed() in {b"", b"reset"}
            client.raw.writer.transport.abort()
            await turns(lambda: not house.worker.proxy._clients)
            addresses = house.worker.proxy.addresses
            assert (len(addresses), addresses.known) == (0, 0)

    run(test)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_how_an_address_is_written(address, told):
    assert shown(address) == told


def test_who_comes_by_ipv4_to_a_socket_of_ipv6_has_an_ipv4_address():
    async def test():
        async with serving() as (house, dyno):
            listener = socket.socket(socket.AF_INET6)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", 0))
            port = listener.getsockname()[1]
            with closing(await asyncio.get_running_loop().create_server(house.worker._client, sock=listener)):
                for where in ("127.0.0.1", "::1"):
                    async with Connection(*await asyncio.open_connection(where, port)) as client:
                        assert (await client.ask()).status == 200
                    assert f"\r\nX-Forwarded-For: {where}\r\n".encode() in dyno.heads.pop()
                    assert f' fwd="{where}" ' in await house.logplex.line()

    run(test)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_who_is_one_client(one, other, same):
    assert (who(one) == who(other)) is same
