"""Bodies of requests over HTTP/2, and what comes behind them."""

import h2.events
import pytest

from tests.router.routing import run, serving, turns
from tests.router.test_router_h2 import POST, talk


@pytest.mark.parametrize("sized", [True, False])
def test_a_request_body_arrives_whole(sized):
    body = bytes(range(256)) * 100

    async def count(head, reader, writer):
        found = b""
        if b"content-length" in head:
            found = await reader.readexactly(len(body))
        else:
            assert b"transfer-encoding: chunked" in head.lower()
            while size := int(await reader.readuntil(b"\r\n"), 16):
                found += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + (b"same" if found == body else b"else")
        )
        return True

    async def test():
        async with serving(count) as (router, _):
            client = await talk(router)
            length = [(b"content-length", str(len(body)).encode())] if sized else []
            id = client.send([*POST, *length], end=False)
            for at in range(0, len(body), 10_000):
                client.conn.send_data(id, body[at : at + 10_000], end_stream=at + 10_000 >= len(body))
            client.flush()
            assert (await client.answer(id))[1] == b"same"

    run(test)


@pytest.mark.parametrize("bad", [False, True])
def test_a_requests_trailers_pass_and_bad_ones_break_its_stream_alone(bad):
    ends = []

    async def read(head, reader, writer):
        if head.startswith(b"POST"):
            ends.append(await reader.readuntil(b"\r\n0\r\n"))
            ends.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test():
        async with serving(read) as (router, dyno):
            client = await talk(router)
            id = client.send(POST, b"body", end=False)
            await turns(lambda: dyno.heads)
            client.conn.send_headers(id, [(b"x-sum", b"\x017" if bad else b"7")], end_stream=True)
            client.flush()
            if bad:
                assert (await client.until(h2.events.StreamReset, id)).error_code == 1
            else:
                assert (await client.answer(id))[1] == b"ok"
                assert ends == [b"4\r\nbody\r\n0\r\n", b"x-sum: 7\r\n\r\n"]
            assert (await client.answer(client.send()))[1] == b"ok"

    run(test)
