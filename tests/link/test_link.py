"""dynod.link over a real unix socket: answers, refusals, who may speak, and the other side going away. test_link_streams.py has the streams."""

import asyncio
import errno
import os
import socket
import stat

import pytest
from desk import Desk, linked, linked_test
from waiting import run

from dynod.link import Lost, RemoteRefused, connect, serve
from dynod.model.refused import Refusal, Refused
from dynod.model.spoken import Language
from dynod.wire.rpc import Decoder, Notification, encode


@linked_test
async def test_calls_are_answered_each_with_its_own(peer, desk, witness):
    values = [None, 0, "text", b"bytes", [1, [2]], {"a": {"b": None}}]
    assert await asyncio.gather(*(peer.call("echo", value) for value in values)) == values


@linked_test
async def test_a_slow_call_does_not_hold_up_the_next(peer, desk, witness):
    slow = asyncio.ensure_future(peer.call("wait"))
    assert await peer.call("echo", 1) == 1
    slow.cancel()


@linked_test
async def test_a_refusal_arrives_as_it_was_raised(peer, desk, witness):
    with pytest.raises(RemoteRefused, match="cannot find app demo") as caught:
        await peer.call("refuse")
    assert caught.value.refusal is Refusal.NOT_FOUND
    assert await peer.call("echo", 1) == 1


@pytest.mark.parametrize(
    ("method", "words"), [("bug", "internal_error: KeyError"), ("unsendable", "internal_error: TypeError")]
)
def test_a_bug_in_one_call_leaves_the_others_alone(tmp_path, method, words):
    async def story():
        async with linked(tmp_path) as (peer, _, _):
            with pytest.raises(RuntimeError, match=words):
                await peer.call(method)
            assert await peer.call("echo", 1) == 1

    run(story())


@linked_test
async def test_who_hangs_up_cancels_what_it_asked_for(peer, desk, witness):
    asked = asyncio.ensure_future(peer.call("wait"))
    assert await peer.call("echo", 1) == 1  # the other one is on its way too
    await peer.close()
    with pytest.raises(Lost):
        await asked
    await desk.cancelled.wait()
    assert peer.lost.is_set()


@linked_test
async def test_a_closed_peer_says_so(peer, desk, witness):
    await peer.close()
    for ask in (peer.call("echo", 1), peer.stream("count", 1), peer.notify("lines", [])):
        with pytest.raises(Lost):
            await ask


@linked_test
async def test_notifications_go_both_ways(peer, desk, witness):
    await peer.notify("lines", [1])
    await witness.news.wait()
    assert witness.heard == [Notification("lines", [1])]
    (connection,) = witness.connections
    assert (connection.pid, connection.uid) == (os.getpid(), os.getuid())


def test_a_client_hears_the_servers_notifications(tmp_path):
    async def story():
        heard = asyncio.get_running_loop().create_future()
        async with linked(tmp_path, heard.set_result) as (peer, _, witness):
            await peer.call("echo")
            await witness.connections[0].notify("table", b"bytes")
            assert await heard == Notification("table", b"bytes")

    run(story())


def test_a_server_that_goes_away_fails_what_waits(tmp_path):
    async def story():
        path = f"{tmp_path}/link.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        peer = await connect(path)
        other, _ = listener.accept()
        call = asyncio.ensure_future(peer.call("echo", 1))
        stream = await peer.stream("count", 3)
        decoder, seen = Decoder(), []
        while len(seen) < 2:
            seen += decoder.feed(other.recv(4096))
            await asyncio.sleep(0)
        other.close()
        listener.close()
        with pytest.raises(Lost):
            await call
        with pytest.raises(Lost):
            [item async for item in stream]
        await peer.lost.wait()
        await peer.close()

    run(story())


@pytest.mark.parametrize(
    "data", [b"\xc1", b"\x81\x80\x00", b"GET / HTTP/1.1\r\n\r\n", encode(Notification("x", 1))[:-1]]
)
def test_who_speaks_something_else_is_hung_up_on_alone(tmp_path, data):
    async def story():
        async with linked(tmp_path) as (peer, _, _):
            reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/link.sock")
            writer.write(data)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            assert await peer.call("echo", 1) == 1

    run(story())


def test_a_stale_socket_is_replaced_and_the_mode_is_as_asked(tmp_path):
    async def story():
        path = f"{tmp_path}/link.sock"
        for mode in (0o600, 0o660):
            server = await serve(path, Desk().answer, mode=mode)
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
            peer = await connect(path)
            assert await peer.call("echo", 1) == 1
            await peer.close()
            server.close()
        with pytest.raises(OSError, match="No such file"):
            await connect(f"{tmp_path}/nobody.sock")

    run(story())


SPOKEN = Language("desk", "desk", newest=3, oldest=2)


@pytest.mark.parametrize(("number", "understood"), [(1, False), (2, True), (3, True), (4, False)])
def test_who_speaks_another_language_is_refused_in_a_sentence(tmp_path, number, understood):
    async def story():
        server = await serve(f"{tmp_path}/s", Desk().answer, language=SPOKEN)
        peer = await connect(f"{tmp_path}/s", language=Language("desk", "desk", newest=number))
        if understood:
            assert await peer.call("echo", 5) == 5
        else:
            with pytest.raises(
                Refused, match=f"speaks language {number} to the desk: this one .* knows 2 to 3"
            ):
                await peer.call("echo", 5)
        await peer.close()
        server.close()

    run(story())


def test_who_says_no_hello_is_of_the_first_version_and_is_let_in(tmp_path):
    async def story():
        server = await serve(f"{tmp_path}/s", Desk().answer, language=SPOKEN)
        peer = await connect(f"{tmp_path}/s")
        assert await peer.call("echo", 5) == 5
        await peer.close()
        server.close()

    run(story())


def test_a_disk_that_is_full_is_an_answer_and_no_bug(tmp_path, caplog):
    async def answer(_):
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/a")

    async def story():
        server = await serve(f"{tmp_path}/s", answer)
        peer = await connect(f"{tmp_path}/s")
        try:
            with pytest.raises(Refused) as refused:
                await peer.call("write")
            return refused.value
        finally:
            await peer.close()
            server.close()

    refused = asyncio.run(story())
    assert refused.refusal is Refusal.UNAVAILABLE
    assert refused.message == "cannot write /srv/a: the disk is full; make room and try again"
    assert not caplog.records
