"""Streams over a link: items, inputs, back-pressure both ways, and who stops one."""

import asyncio
import socket

import pytest
from desk import linked, linked_test
from waiting import run

from dynod.link import Lost, RemoteRefused
from dynod.link.client import ITEMS
from dynod.link.server import EACH
from dynod.wire.rpc import Request, encode


@linked_test
async def test_a_stream_has_items_and_then_a_result(peer, desk, witness):
    stream = await peer.stream("count", 5)
    assert [item async for item in stream] == [0, 1, 2, 3, 4]
    assert stream.result == "counted"


@linked_test
async def test_a_stream_that_is_refused(peer, desk, witness):
    stream = await peer.stream("refuse")
    with pytest.raises(RemoteRefused, match="cannot find"):
        [item async for item in stream]


@linked_test
async def test_input_goes_along_with_a_call(peer, desk, witness):
    stream = await peer.stream("sum")
    for value in (1, 2, 3, None):
        await stream.send(value)
    assert [item async for item in stream] == []
    assert stream.result == 6


@linked_test
async def test_a_cancelled_stream_stops_at_the_other_side(peer, desk, witness):
    stream = await peer.stream("for ever")
    async for _ in stream:
        break
    await stream.cancel()
    await desk.cancelled.wait()
    assert await peer.call("echo", 1) == 1


def test_a_reader_who_does_not_read_holds_up_the_writer_only(tmp_path):
    """A raw client reads nothing: `item` waits, other connections are served."""

    async def story():
        async with linked(tmp_path) as (peer, desk, _):
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(f"{tmp_path}/link.sock")
            raw.sendall(encode(Request(1, "for ever", None)))
            sent = -1
            while sent != desk.items or not sent:  # until a round trip passes without an item getting through
                sent = desk.items
                assert await peer.call("echo", 1) == 1
            assert sent < 1_000
            raw.close()
            await desk.cancelled.wait()

    run(story())


@linked_test
async def test_items_that_nobody_reads_are_left_with_who_sends_them(peer, desk, witness):
    stream = await peer.stream("for ever")
    await full(stream)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert stream._items.qsize() == ITEMS
    await stream.cancel()
    await desk.cancelled.wait()


@linked_test
async def test_a_stream_that_was_cancelled_unread_holds_up_no_other_call(peer, desk, witness):
    stream = await peer.stream("count", 5 * ITEMS)
    await full(stream)
    asked = asyncio.ensure_future(peer.call("echo", 1))
    await asyncio.sleep(0)
    assert not asked.done()
    await stream.cancel()
    assert await asked == 1


@linked_test
async def test_a_client_that_sends_more_than_a_handler_takes_is_hung_up_on(peer, desk, witness):
    stream = await peer.stream("wait")
    with pytest.raises(Lost):
        await _send(stream, b"x" * 1_000_000)
    await desk.cancelled.wait()


def test_inputs_that_are_taken_may_be_any_number(tmp_path, monkeypatch):
    monkeypatch.setattr("dynod.link.server.HELD", 20 * EACH)

    async def story():
        async with linked(tmp_path) as (peer, _, _):
            stream = await peer.stream("add up")
            items = aiter(stream)
            for number in range(1000):
                await stream.send(number)
                assert await anext(items) == number  # it was taken
            await stream.send(None)
            assert [item async for item in items] == []
            assert stream.result == sum(range(1000))

    run(story())


async def full(stream):
    while stream._items.qsize() < ITEMS:  # noqa: ASYNC110  # a plain value of the code under test
        await asyncio.sleep(0)


async def _send(stream, value):
    while True:
        await stream.send(value)
