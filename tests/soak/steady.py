"""The app of the soak: small answers, digests of what is uploaded, WebSockets that echo; it ends as a good app should.

What a good end is: from SIGTERM on every answer says `Connection: close` and every WebSocket gets a Close frame (1001, going away), but
requests are taken until none has come for a second. Who closes the socket in the moment of SIGTERM loses what waits in its backlog.
It runs in the dyno, by the machine's own python3 and with the standard library alone.
"""

import asyncio
import base64
import hashlib
import os
import signal
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
CLOSE, FIN = 8, 0x80
GOING_AWAY = struct.pack("!H", 1001)
QUIET = 1.0  # seconds without a request after which nobody is expected to come any more
RELEASE = b"release " + os.environ.get("SOAK_RELEASE", "?").encode()


class House:
    """All conversations of this dyno, and whether it is about to end."""

    def __init__(self, loop):
        self.loop = loop
        self.ending = False
        self.open = set()
        self.last = 0.0
        self.ended = loop.create_future()

    def end(self):
        self.ending, self.last = True, self.loop.time()
        for each in list(self.open):
            each.going_away()
        self.loop.call_later(QUIET, self._look)

    def _look(self):
        busy = any(each.is_busy() for each in self.open)
        quiet = self.loop.time() - self.last
        if busy or quiet < QUIET:
            self.loop.call_later(max(QUIET - quiet, 0.1), self._look)
        elif not self.ended.done():
            self.ended.set_result(None)


class Conversation(asyncio.Protocol):
    """One connection: requests one after the other, or a WebSocket."""

    def __init__(self, house):
        self._house = house
        self._rest = bytearray()
        self._left = -1  # bytes of a body that are still to come; -1 between requests
        self._digest = hashlib.sha256()
        self._socket = False

    def connection_made(self, transport):
        self._transport = transport
        self._house.open.add(self)

    def connection_lost(self, _):
        self._house.open.discard(self)

    def is_busy(self):
        return self._left >= 0 or bool(self._rest) or self._socket

    def going_away(self):
        if self._socket:
            self._frame(CLOSE, GOING_AWAY)

    def data_received(self, data):
        self._rest += data
        while self._socket_step() if self._socket else self._request_step():
            pass

    # -- requests --------------------------------------------------------------------------------------------------

    def _request_step(self):
        if self._left < 0:
            head, found, rest = bytes(self._rest).partition(b"\r\n\r\n")
            if not found:
                return False
            self._rest = bytearray(rest)
            self._house.last = self._house.loop.time()
            return self._begin(head)
        taken = self._rest[: self._left]
        del self._rest[: self._left]
        self._left -= len(taken)
        self._digest.update(taken)
        if self._left:
            return False
        self._left = -1
        self._answer(self._digest.hexdigest().encode())
        return bool(self._rest)

    def _begin(self, head):
        first, *lines = head.split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if fields.get(b"upgrade", b"").lower() == b"websocket":
            self._upgrade(fields)
        elif first.startswith(b"POST "):
            self._left, self._digest = int(fields[b"content-length"]), hashlib.sha256()
            return True
        else:
            self._answer(RELEASE)
        return bool(self._rest)

    def _answer(self, body):
        last = self._house.ending
        connection = "close" if last else "keep-alive"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
        self._transport.write(head.encode() + body)
        if last:
            self._transport.close()

    # -- WebSockets ------------------------------------------------------------------------------------------------

    def _upgrade(self, fields):
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        self._socket = True
        if self._house.ending:
            self.going_away()

    def _socket_step(self):
        """Take one frame of at most 125 bytes, masked, as the soak sends them."""
        if len(self._rest) < 2 or len(self._rest) < 6 + (self._rest[1] & 0x7F):
            return False
        kind, length = self._rest[0] & 0x0F, self._rest[1] & 0x7F
        mask, masked = self._rest[2:6], self._rest[6 : 6 + length]
        del self._rest[: 6 + length]
        if kind == CLOSE:
            if not self._house.ending:
                self._frame(CLOSE, GOING_AWAY)
            self._transport.close()
            return False
        self._frame(kind, bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)))
        return True

    def _frame(self, kind, payload):
        self._transport.write(bytes((FIN | kind, len(payload))) + payload)


async def main():
    loop = asyncio.get_running_loop()
    house = House(loop)
    loop.add_signal_handler(signal.SIGTERM, house.end)
    await loop.create_server(lambda: Conversation(house), "0.0.0.0", int(os.environ["PORT"]), backlog=512)
    await house.ended


if __name__ == "__main__":
    asyncio.run(main())
