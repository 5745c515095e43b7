"""HTTP/2 over TLS: requests, bodies and WebSockets as over HTTP/1.1, flow control as back-pressure, and clients that make work for nothing."""

import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest
from hyperframe.frame import GoAwayFrame

from dynod.model.route import Standing
from tests.router.routing import canned, run, running, serving, table, trusting_all, turns
from tests.router.test_router_tls import CERTS

HEADERS = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"app.localhost"), (b":path", b"/")]
POST = [(b":method", b"POST"), *HEADERS[1:]]


class Talk:
    """A client by the h2 library. `got[id]` gathers what came for a stream."""

    def __init__(self, connection):
        self.raw = connection
        self.conn = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        )
        self.conn.initiate_connection()
        self.events = []
        self.gone = False  # a GOAWAY came; the h2 library would hear of nothing more after it
        self._rest = b""
        self.flush()

    def flush(self):
        self.raw.writer.write(self.conn.data_to_send())

    def send(self, headers=HEADERS, body=None, *, end=True):
        id = self.conn.get_next_available_stream_id()
        self.conn.send_headers(id, headers, end_stream=end and body is None)
        if body is not None:
            self.conn.send_data(id, body, end_stream=end)
        self.flush()
        return id

    async def more(self):
        """Take what comes next; False at the end of the connection."""
        data = await self.raw.reader.read(65536)
        if not data:
            return False
        for event in self.conn.receive_data(self._without_goaway(data)):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return True

    def _without_goaway(self, data):
        data, kept = self._rest + data, b""
        while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3])):
            if data[3] == 7 and data[13:17] == b"\0\0\0\0":
                self.gone = True
            else:
                kept += data[:size]
            data = data[size:]
        self._rest = data
        return kept

    async def until(self, kind, id=None):
        while True:
            for event in self.events:
                if isinstance(event, kind) and id in {None, getattr(event, "stream_id", None)}:
                    return event
            assert await self.more(), f"the connection ended: {self.events}"

    async def answer(self, id):
        """The response of a stream: (headers, body)."""
        await self.until(h2.events.StreamEnded, id)
        (head,) = [e for e in self.events if isinstance(e, h2.events.ResponseReceived) and e.stream_id == id]
        body = b"".join(
            e.data for e in self.events if isinstance(e, h2.events.DataReceived) and e.stream_id == id
        )
        return dict(head.headers), body


async def talk(router):
    router.worker.certificates.swap(CERTS)
    context = trusting_all()
    context.set_alpn_protocols(["h2"])
    connection = await router.connect_tls(context=context)
    assert connection.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    return Talk(connection)


def test_a_request_is_http_1_1_to_the_dyno_and_2_in_the_log():
    async def test():
        async with serving() as (router, dyno):
            client = await talk(router)
            more = [
                (b"cookie", b"a=1"),
                (b"cookie", b"b=2"),
                (b"x-up", b"y"),
                (b"te", b"trailers"),
                (b"x-request-id", b"x" * 20),
            ]
            headers, body = await client.answer(client.send([*HEADERS, *more]))
            assert (headers[b":status"], headers[b"server"], body) == (b"200", b"test", b"hello")
            assert not {b"connection", b"transfer-encoding"} & set(headers)
            head = dyno.heads[0]
            assert head.startswith(
                b"GET / HTTP/1.1\r\nhost: app.localhost\r\nx-up: y\r\ncookie: a=1; b=2\r\nX-Request-Id: xxx"
            )
            assert b"X-Forwarded-Proto: https" in head
            assert b"te:" not in head.lower().replace(b"date:", b"")
            assert b"connection" not in head.lower()
            line = await router.logplex.line()
            assert " status=200 " in line
            assert line.endswith("protocol=http2.0 tls=true tls_version=tls1.3")
            assert (await client.answer(client.send()))[1] == b"hello"
            assert dyno.connections == 1

    run(test)


def test_streams_are_answered_as_they_come_not_in_order():
    gate = asyncio.Event()

    async def slow(head, reader, writer):
        if b"/slow" in head:
            await gate.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    async def test():
        async with serving(slow) as (router, _):
            client = await talk(router)
            waiting = client.send([*HEADERS[:3], (b":path", b"/slow")])
            assert (await client.answer(client.send()))[1] == b"ok"
            gate.set()
            assert (await client.answer(waiting))[1] == b"ok"

    run(test)


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            b"200",
            b"abcde",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"204", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"304", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"200", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"200", b"to the end"),
    ],
)
def test_every_framing_of_a_dyno_becomes_frames(said, status, body):
    async def test():
        async with serving(canned(said, keep=False)) as (router, _):
            client = await talk(router)
            headers, found = await client.answer(client.send())
            assert (headers[b":status"], found) == (status, body)

    run(test)


def test_trailers_and_interim_responses_pass():
    said = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7\r\n\r\n"
    )

    async def test():
        async with serving(canned(said)) as (router, _):
            client = await talk(router)
            id = client.send()
            assert (await client.answer(id))[1] == b"x"
            hints = await client.until(h2.events.InformationalResponseReceived, id)
            assert (b"link", b"</a>") in list(hints.headers)
            assert list((await client.until(h2.events.TrailersReceived, id)).headers) == [(b"x-sum", b"7")]

    run(test)


def test_a_broken_response_is_a_broken_stream_and_no_more():
    """A part of a body must never look like all of it."""

    async def test():
        broken = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        )
        for said in broken:
            async with serving(canned(said, keep=False)) as (router, _):
                client = await talk(router)
                id = client.send()
                assert (
                    await client.until(h2.events.StreamReset, id)
                ).error_code == h2.errors.ErrorCodes.INTERNAL_ERROR
                assert "code=H18" in await router.logplex.line()
                assert not any(isinstance(event, h2.events.StreamEnded) for event in client.events)
                client.send()
                await client.until(h2.events.ResponseReceived, id + 2)

    run(test)


def test_an_early_answer_ends_the_request_too():
    async def test():
        async with serving(canned(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")) as (router, _):
            client = await talk(router)
            id = client.send(POST, b"some", end=False)
            assert (await client.answer(id))[0][b":status"] == b"413"
            assert (await client.until(h2.events.StreamReset, id)).error_code == h2.errors.ErrorCodes.NO_ERROR
            assert (await client.answer(client.send()))[1] == b"no"

    run(test)


def test_the_routers_own_answers_come_as_frames():
    async def test():
        async with running(table(standing=Standing.CRASHED)) as router:
            client = await talk(router)
            for host, status in ((b"app.localhost", b"503"), (b"nobody.localhost", b"404")):
                headers, body = await client.answer(
                    client.send([*HEADERS[:2], (b":authority", host), HEADERS[3]])
                )
                assert headers[b":status"] == status
                assert b"<html" in body

    run(test)


def test_a_stream_for_another_than_the_handshake_was_for_is_misdirected():
    async def test():
        async with serving(hosts=("app.localhost", "www.example.com")) as (router, _):
            client = await talk(router)
            id = client.send([*HEADERS[:2], (b":authority", b"www.example.com"), HEADERS[3]])
            assert (await client.answer(id))[0][b":status"] == b"421"
            assert (await client.answer(client.send()))[1] == b"hello"

    run(test)


def test_a_client_that_resets_is_gone_and_the_dyno_is_free():
    left = asyncio.Event()

    async def slow(head, reader, writer):
        await reader.read()
        left.set()
        return False

    async def test():
        async with serving(slow) as (router, dyno):
            client = await talk(router)
            id = client.send()
            await turns(lambda: dyno.heads)
            client.conn.reset_stream(id)
            client.flush()
            await left.wait()
            assert "code=H27" in await router.logplex.line()

    run(test)


def test_a_request_and_its_reset_in_one_breath_break_nothing():
    async def test():
        async with serving() as (router, _):
            client = await talk(router)
            nobody = [*HEADERS[:2], (b":authority", b"nobody.localhost"), HEADERS[3]]
            for headers in (nobody, HEADERS):
                id = client.conn.get_next_available_stream_id()
                client.conn.send_headers(id, headers, end_stream=True)
                client.conn.reset_stream(id)
            client.flush()
            assert (await client.answer(client.send()))[1] == b"hello"

    run(test)


@pytest.mark.parametrize("code", [h2.errors.ErrorCodes.NO_ERROR, h2.errors.ErrorCodes.INTERNAL_ERROR])
def test_a_client_that_says_goodbye_gets_what_it_asked_for_unless_something_is_wrong_with_it(code):
    rest = asyncio.Event()

    async def slow(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf ")
        await rest.wait()
        writer.write(b"more")
        return True

    async def test():
        async with serving(slow) as (router, _):
            client = await talk(router)
            first = client.send()
            await client.until(h2.events.ResponseReceived, first)
            client.raw.writer.write(GoAwayFrame(0, error_code=code).serialize())
            if code:
                while await client.more():
                    pass
                assert "code=H27" in await router.logplex.line()
                return
            late = client.send()  # which it said that it would not
            assert (await client.until(h2.events.StreamReset, late)).error_code == 7
            rest.set()
            assert (await client.answer(first))[1] == b"half more"
            while await client.more():
                pass
            assert " status=200 " in await router.logplex.line()

    run(test)


# -- WebSocket over HTTP/2 (RFC 8441) --------------------------------------------------------------------------------------

CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":path", b"/chat"),
    (b":authority", b"app.localhost"),
    (b"sec-websocket-version", b"13"),
]


def test_a_websocket_is_a_stream():
    async def upgrade(head, reader, writer):
        assert head.startswith(b"GET /chat HTTP/1.1\r\n")
        assert b"\r\nsec-websocket-key: " in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
        )
        writer.write((await reader.readexactly(4)).upper())
        await writer.drain()
        return False

    async def test():
        async with serving(upgrade) as (router, _):
            client = await talk(router)
            await client.until(h2.events.RemoteSettingsChanged)
            assert client.conn.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
            id = client.send(CONNECT, end=False)
            head = dict((await client.until(h2.events.ResponseReceived, id)).headers)
            assert head[b":status"] == b"200"
            assert b"sec-websocket-accept" not in head
            client.conn.send_data(id, b"ping")
            client.flush()
            assert (await client.answer(id))[1] == b"PING"
            assert "status=101" in await router.logplex.line()

    run(test)


def test_a_refused_websocket_is_a_response():
    async def test():
        async with serving(canned(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")) as (router, _):
            client = await talk(router)
            head, body = await client.answer(client.send(CONNECT, end=False))
            assert (head[b":status"], body) == (b"403", b"no")

    run(test)
