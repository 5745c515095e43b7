"""What the router's tests share: one worker in the test's own loop, fake dynos, a fake control plane, a fake logplex, a raw client."""

import asyncio
import contextlib
import os
import random
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Self

import uvloop

from dynod.model.route import AppRoute, Backend, Limits, RouteTable, Standing
from dynod.model.settings import log_socket, routes_file, routes_socket
from dynod.wire import table as table_codec
from dynod.wire.rpc import Decoder, Notification, encode
from router.tickets import Chain, Tickets
from router.timers import Timers
from router.tls import new_context
from router.worker import Secure, Worker

NO_LIMITS = Limits()
CAP = 60  # seconds until a test that waits for something gives up
SLOW = 120  # where several programs are started: a busy machine takes its time
QUICK = Timers(tick=0.02, flush=0.001, retry=0.01, retry_most=0.02, linger=0.3, drain=5)
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: test\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n"


_opened: list = []  # what a test opens and may leave when it fails: an open socket would hold up the loop's end for ever


def run(test: Callable[[], Coroutine[None, None, None]], cap: float = CAP) -> None:
    """Run an asyncio test on the loop the router really uses; close whatever it leaves."""

    async def capped() -> None:
        try:
            async with asyncio.timeout(cap):
                await test()
        finally:
            while _opened:
                await _opened.pop().close()

    uvloop.run(capped())


def table(
    *backends: Backend,
    standing: Standing = Standing.SERVING,
    hosts: tuple[str, ...] = ("app.localhost",),
    limits: Limits = NO_LIMITS,
    **more,
) -> RouteTable:
    route = AppRoute("app-id", "app", standing, tuple(backends), **more)
    return RouteTable(1, {"app-id": route}, dict.fromkeys(hosts, "app-id"), limits)


class FakeDyno:
    """A raw TCP server. `answer(head, reader, writer)` returns False to close; by default HELLO. Heads are kept as they came."""

    def __init__(self, answer=None) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self.answer = answer or self._hello
        self._writers: set[asyncio.StreamWriter] = set()

    @staticmethod
    async def _hello(head, reader, writer):
        writer.write(HELLO)
        return True

    async def open(self, address: str = "127.0.0.1", dyno: str = "web.1") -> Backend:
        _opened.append(self)
        self._server = await asyncio.start_server(self._serve, address, 0, limit=2**21)
        self.backend = Backend(f"{dyno}-{id(self)}", dyno, address, self._server.sockets[0].getsockname()[1])
        return self.backend

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if not await self.answer(head, reader, writer):
                    break
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def close(self) -> None:
        self._server.close()
        self.hang_up()


def closed_port(address: str = "127.0.0.1", dyno: str = "web.1") -> Backend:
    """Give a dyno where nobody listens."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return Backend(f"closed-{dyno}", dyno, address, probe.getsockname()[1])


def canned(data: bytes, *, keep: bool = True):
    async def answer(head, reader, writer):
        writer.write(data)
        return keep

    return answer


class FakeLogplex:
    """Takes rows; `wait(n)` returns once there are n."""

    def __init__(self, run_dir: str) -> None:
        self._path = log_socket(run_dir)
        self.rows: list[list] = []
        self.hellos: list = []
        self._more = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        _opened.append(self)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def _serve(self, reader, writer) -> None:
        self._writers.append(writer)
        decoder = Decoder()
        while data := await reader.read(65536):
            for frame in decoder.feed(data):
                assert isinstance(frame, Notification)
                if frame.method == "hello":
                    self.hellos.append(frame.params)
                    continue
                assert frame.method == "lines"
                self.rows += frame.params
            self._more.set()
        writer.close()

    async def wait(self, count: int) -> list[list]:
        while len(self.rows) < count:
            self._more.clear()
            await self._more.wait()
        return self.rows

    async def line(self) -> str:
        """The text of the next row, alone."""
        rows = await self.wait(1)
        assert len(rows) == 1
        self.rows = []
        return rows[0][4]

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()


class FakeControl:
    """The control plane's end of RUN/routes.sock: sends what it is given, keeps the wakes it hears."""

    def __init__(self, run_dir: str) -> None:
        self._path = routes_socket(run_dir)
        self.wakes: asyncio.Queue = asyncio.Queue()
        self.opened = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self.bytes = b""

    async def open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        _opened.append(self)
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def _serve(self, reader, writer) -> None:
        self._writers.add(writer)
        if self.bytes:
            writer.write(self.bytes)
        self.opened.set()
        decoder = Decoder()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for frame in decoder.feed(data):
                    if frame.method not in {"hello", "takes"}:
                        self.wakes.put_nowait(frame)
        self._writers.discard(writer)
        writer.close()

    def publish(self, new: RouteTable) -> None:
        self.bytes = encode(Notification("table", table_codec.encode(new)))
        self.send(self.bytes)

    def send(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self.opened.clear()


async def controlled(house: "Running") -> FakeControl:
    """Give a worker its control plane, and wait until it is there."""
    control = FakeControl(house.run)
    await control.open()
    await control.opened.wait()
    return control


class Running:
    """A worker that serves, with all around it. `ask` sends bytes on a fresh connection and reads one response."""

    def __init__(
        self, directory: str, worker: Worker, port: int, logplex: FakeLogplex, tls_port: int = 0
    ) -> None:
        self.tls_port = tls_port
        self.run = f"{directory}/run"
        self.state = f"{directory}/state"
        self.worker = worker
        self.port = port
        self.logplex = logplex

    async def connect(self, local: str | None = None) -> "Connection":
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, limit=2**21, local_addr=None if local is None else (local, 0)
        )
        return Connection(reader, writer)

    async def connect_tls(
        self, name: str | None = "app.localhost", context: ssl.SSLContext | None = None
    ) -> "Connection":
        """Shake hands for a name; `context` as a rule trusts anybody."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.tls_port,
            limit=2**21,
            ssl=context or trusting_all(),
            server_hostname=name if name is not None else "",
        )
        return Connection(reader, writer)

    async def ask(self, data: bytes = GET) -> "Response":
        async with await self.connect() as connection:
            return await connection.ask(data)


def trusting_all() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Response:
    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def get(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else None


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _opened.append(self)
        self.reader = reader
        self.writer = writer

    async def close(self) -> None:
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_) -> None:
        self.writer.transport.abort()

    async def ask(self, data: bytes = GET, *, head_only: bool = False) -> Response:
        self.writer.write(data)
        return await self.response(head_only=head_only)

    async def head(self) -> Response:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:-2]]
        return Response(int(lines[0].split(" ")[1]), headers, b"")

    async def response(self, *, head_only: bool = False) -> Response:
        response = await self.head()
        if head_only or response.status in {204, 304} or response.status < 200:
            return response
        if response.get("Transfer-Encoding") == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                response.body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            while line := (await self.reader.readuntil(b"\r\n")).strip():
                response.headers.append(tuple(line.decode().split(": ", 1)))
        elif (length := response.get("Content-Length")) is not None:
            response.body = await self.reader.readexactly(int(length))
        else:
            response.body = await self.reader.read()
        return response

    async def closed(self) -> bytes:
        """Everything up to the end of the connection."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b"reset"


@contextlib.asynccontextmanager
async def running(
    first: RouteTable | None = None, *, timers: Timers = QUICK, logplex: bool = True
) -> AsyncIterator[Running]:
    """Start a worker whose table lies on the disk."""
    with tempfile.TemporaryDirectory() as directory:
        os.makedirs(f"{directory}/run")
        os.makedirs(f"{directory}/state/router")
        if first is not None:
            with open(routes_file(f"{directory}/state"), "wb") as file:
                file.write(table_codec.encode(first))
        lines = FakeLogplex(f"{directory}/run")
        if logplex:
            await lines.open()
        worker = Worker(f"{directory}/run", f"{directory}/state", timers=timers, chance=random.Random(7))
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        tickets = Tickets(Chain.begun(bytes(32), 0))
        secure = socket.socket()
        secure.bind(("127.0.0.1", 0))
        await worker.open(listener, Secure(secure, new_context(), tickets.key))
        try:
            yield Running(directory, worker, port, lines, secure.getsockname()[1])
        finally:
            await worker.close()
            if logplex:
                await lines.close()


@contextlib.asynccontextmanager
async def serving(answer=None, *, timers: Timers = QUICK, **more) -> AsyncIterator[tuple[Running, FakeDyno]]:
    """Start a worker and one fake dyno behind app.localhost."""
    dyno = FakeDyno(answer)
    backend = await dyno.open()
    try:
        async with running(table(backend, **more), timers=timers) as house:
            yield house, dyno
    finally:
        await dyno.close()


async def turns(check: Callable[[], object]) -> None:
    """Let the loop turn until something has happened within this process."""
    while not check():  # noqa: ASYNC110  # what is waited for is a plain value of the code under test
        await asyncio.sleep(0)
