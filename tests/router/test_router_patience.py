"""Clients that are slow, still or too many: how long each is waited for, and how much it can make us keep."""

from dataclasses import replace
from types import SimpleNamespace

from router.exchange import Phase
from router.reasons import Failure
from router.server import Client
from tests.router.routing import GET, QUICK, run, serving


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
        timers=QUICK, start=None, fail=lambda client, exchange, failure: failed.append(failure)
    )
    client = Client(proxy)
    client.transport = SimpleNamespace(get_write_buffer_size=lambda: next(sizes))
    client.exchange = SimpleNamespace(phase=Phase.ANSWERING, expired=lambda **_: Failure.H28)
    client.pause_writing()
    for now in (100.0, 200.0):
        client.expired(now)
        assert (client.deadline, failed) == (now + QUICK.idle, [])
    client.expired(300.0)
    assert failed == [Failure.H28]


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
