"""The programs around the proxies that are measured, all by uvloop: `python -m benchmarks.parts sink|backend|echo ...`.

`sink STREAM DATAGRAMS` reads access lines and forgets them; `backend PORT` reads uploads whole and echoes WebSockets;
`echo HOST PORT CONNECTIONS SECONDS` keeps one WebSocket message under way per connection, and prints how many came back.
"""

import asyncio
import socket
import sys
from functools import partial

import uvloop

MESSAGE = b"\x82\xbe" + bytes(4) + b"m" * 62  # 62 bytes, masked with zeros: what comes back is taken as it is
OPEN = (
    b"GET /echo HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
OPENED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntaken\n"
PIECE = 256 * 1024


class Sink(asyncio.BufferedProtocol):
    def __init__(self):
        self._piece = bytearray(PIECE)

    def get_buffer(self, _):
        return self._piece

    def buffer_updated(self, count):
        pass


class Backend(asyncio.BufferedProtocol):
    """Counts a body's bytes and answers when they are all there."""

    def __init__(self):
        self._piece = bytearray(PIECE)
        self._head = b""
        self._left = 0
        self._tunnel = False

    def connection_made(self, transport):
        self._transport = transport

    def get_buffer(self, _):
        return self._piece

    def buffer_updated(self, count):
        if self._tunnel:
            self._transport.write(bytes(self._piece[:count]))
            return
        if not self._left:
            self._head += self._piece[:count]
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = b""
            lower = head.lower()
            if b"\r\nupgrade:" in lower:
                self._tunnel = True
                self._transport.write(OPENED + rest)
                return
            self._left = int(lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
            count = len(rest)
        self._left -= count
        if not self._left:
            self._transport.write(TAKEN)


class Echo(asyncio.Protocol):
    """Sends its message again when it has come back whole."""

    def __init__(self, host, done):
        self._host = host
        self._done = done
        self._left = 0
        self._open = False
        self.count = 0

    def connection_made(self, transport):
        self.transport = transport
        transport.write(OPEN % self._host)

    def data_received(self, data):
        if not self._open:
            if not data.startswith(b"HTTP/1.1 101") or not data.endswith(b"\r\n\r\n"):
                raise SystemExit(f"cannot measure: no WebSocket: {data!r}")
            self._open = True
        else:
            self._left -= len(data)
            if self._left:
                return
            self.count += 1
        if not self._done.is_set():
            self._left = len(MESSAGE)
            self.transport.write(MESSAGE)


async def sink(stream, datagrams):
    loop = asyncio.get_running_loop()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # uvloop binds no such socket by itself
    bound.bind(datagrams)
    loop.add_reader(bound, bound.recv, PIECE)
    server = await loop.create_unix_server(Sink, stream)
    await server.serve_forever()


async def backend(port):
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", int(port))
    await server.serve_forever()


async def echo(host, port, connections, seconds):
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    make = partial(Echo, host.encode(), done)
    made = [(await loop.create_connection(make, "127.0.0.1", int(port)))[1] for _ in range(int(connections))]
    loop.call_later(float(seconds), done.set)
    await done.wait()
    for each in made:
        each.transport.abort()
    print(sum(each.count for each in made))


if __name__ == "__main__":
    uvloop.run({"sink": sink, "backend": backend, "echo": echo}[sys.argv[1]](*sys.argv[2:]))
