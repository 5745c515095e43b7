"""HTTP/2's flow control as back-pressure, what a client can make us keep and do, and how connections end."""

import asyncio

import h2.errors
import h2.events
import h2.exceptions
import pytest

from router import h2 as ours
from router import h2_streams
from tests.router.routing import QUICK, run, serving, turns
from tests.router.test_router_h2 import HEADERS, POST, talk

# -- flow control -------------------------------------------------------------------------------------------------------


def test_a_slow_reader_stops_the_dyno_and_gets_all_in_the_end():
    size = 3_000_000
    sent = 0

    async def large(head, reader, writer):
        nonlocal sent
        writer.transport.set_write_buffer_limits(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 10_000):
            writer.write(b"x" * 10_000)
            await writer.drain()
            sent += 10_000
        return True

    async def test():
        async with serving(large) as (router, _):
            client = await talk(router)
            id = client.send()
            await client.until(h2.events.ResponseReceived, id)
            (h2_,) = [each for each in router.worker.proxy._clients if isinstance(each, ours.H2)]
            (stream,) = h2_._streams.values()
            assert (await client.answer(id))[1] == b"x" * size
            assert len(stream.answer.body) == 0

    run(test)


def test_no_more_is_kept_than_windows_allow():
    async def endless(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")
            await writer.drain()

    async def test():
        async with serving(endless) as (router, _):
            client = await talk(router)
            id = client.send()
            await client.until(h2.events.ResponseReceived, id)
            (h2_,) = [each for each in router.worker.proxy._clients if isinstance(each, ours.H2)]
            (stream,) = h2_._streams.values()
            while not stream._blocked:  # noqa: ASYNC110  # nothing is read here, so the windows close
                await asyncio.sleep(0)
            assert len(stream.answer.body) < h2_streams.HIGH + 2**19

    run(test)


def test_an_upload_waits_for_its_dyno_and_others_do_not_wait_for_it():
    gate = asyncio.Event()

    async def late(head, reader, writer):
        if head.startswith(b"POST"):
            await gate.wait()
            await reader.readexactly(5_000_000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test():
        async with serving(late) as (router, _):
            client = await talk(router)
            id = client.send([*POST, (b"content-length", b"5000000")], end=False)
            left = 5_000_000

            def push():
                nonlocal left
                while left and (room := min(client.conn.local_flow_control_window(id), 16_384, left)):
                    left -= room
                    client.conn.send_data(id, b"x" * room, end_stream=not left)
                client.flush()

            push()
            assert left
            assert (await client.answer(client.send()))[1] == b"ok"
            gate.set()
            push()
            while left:
                await client.more()
                push()
            assert (await client.answer(id))[1] == b"ok"

    run(test)


# -- clients that make work for nothing ---------------------------------------------------------------------------------------


async def calmed(client, work, times):
    """Do the work so often that the router has enough of it. Its GOAWAY may be lost with what it did not read; its end is not."""
    for _ in range(times):
        work()
    client.flush()
    while not (gone := [e for e in client.events if isinstance(e, h2.events.ConnectionTerminated)]):
        try:
            if not await client.more():
                return
        except ConnectionError:
            return
    assert gone[0].error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def test_streams_opened_and_reset_without_end_are_an_end():
    async def never(head, reader, writer):
        await reader.read()
        return False

    async def test():
        async with serving(never) as (router, _):
            client = await talk(router)

            def work():
                id = client.conn.get_next_available_stream_id()
                client.conn.send_headers(id, HEADERS, end_stream=True)
                client.conn.reset_stream(id)

            await calmed(client, work, ours.RESETS + 10)

    run(test)


@pytest.mark.parametrize("frame", ["ping", "settings", "window"])
def test_frames_that_bring_nothing_are_an_end(frame):
    async def test():
        async with serving() as (router, _):
            client = await talk(router)

            def work():
                for _ in range(100):
                    match frame:
                        case "ping":
                            client.conn.ping(b"12345678")
                        case "settings":
                            client.conn.update_settings({h2.settings.SettingCodes.ENABLE_PUSH: 0})
                        case "window":
                            client.conn.increment_flow_control_window(1)

            await calmed(client, work, ours.NOISE // 100 + 1)

    run(test)


def test_who_speaks_no_http_2_after_all_is_hung_up_on():
    async def test():
        async with serving() as (router, _):
            client = await talk(router)
            client.raw.writer.write(b"\0" * 2000)
            with pytest.raises(AssertionError, match="the connection ended"):
                await client.until(h2.events.StreamEnded)

    run(test)


def test_a_router_that_ends_lets_streams_go_on_to_their_end():
    gate = asyncio.Event()

    async def slow(head, reader, writer):
        await gate.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test():
        async with serving(slow) as (router, dyno):
            client = await talk(router)
            id = client.send()
            await turns(lambda: dyno.heads)
            draining = asyncio.ensure_future(router.worker.drain())
            while not client.gone:
                await client.more()
            gate.set()
            assert (await client.answer(id))[1] == b"ok"
            await draining

    run(test)


def test_an_idle_connection_is_closed():
    from dataclasses import replace

    async def test():
        async with serving(timers=replace(QUICK, keep_alive=0.05)) as (router, _):
            client = await talk(router)
            await client.answer(client.send())
            while await client.more():
                pass
            assert client.gone

    run(test)
