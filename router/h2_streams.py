"""One stream of HTTP/2: a client of its own (server.py) on a transport made of frames. The connection, and all that bounds it, is h2.py's."""

import asyncio
from typing import TYPE_CHECKING

import h2.errors

from router.h2_heads import Answer, Request
from router.tls import SecureClient

if TYPE_CHECKING:
    from router.h2 import H2

HIGH, LOW = 64 * 1024, 16 * 1024  # of a stream's response that waits for the client's window
_Codes = h2.errors.ErrorCodes


class StreamClient(SecureClient):
    """One stream's client."""

    __slots__ = ()
    protocol = "http2.0"

    def write_last(self, data: bytes) -> None:
        self.transport.write(data)


class Stream(asyncio.Transport):
    """The transport of one stream's client."""

    def __init__(self, connection: "H2", id: int, request: Request) -> None:
        super().__init__()
        self._h2 = connection
        self.id = id
        self.request = request
        self.answer = Answer(request.method, tunnel=request.tunnel)
        self.client: StreamClient | None = None
        self.unread = 0  # bytes of the body that were not acknowledged yet
        self._reading = True
        self._blocked = False
        self._closing = False
        self.finished = False  # our half is closed

    # -- for the client --------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._h2.transport.get_extra_info(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ours are HIGH and LOW."""

    def get_write_buffer_size(self) -> int:
        return len(self.answer.body)

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.finished:
            for headers in self.answer.take(bytes(data)):
                self._h2.send_head(self, headers)
            self._h2.pump(self)
            if len(self.answer.body) > HIGH and not self._blocked and self.client is not None:
                self._blocked = True
                self.client.pause_writing()

    def write_eof(self) -> None:
        """The response is at its end, and nobody wants the rest of the request."""
        self.close()

    def close(self) -> None:
        """End the response; the client hears of it once all is out, and sees to it that this does not take for ever."""
        if not self.answer.whole:
            self.abort()  # the client must not take a part for all of it
        elif not self._closing:
            self._closing = True
            self.answer.ended = True
            self._h2.pump(self)
            if self.finished:
                self._leave()

    def abort(self) -> None:
        self._closing = True
        self._h2.reset(self, _Codes.NO_ERROR if self.finished else _Codes.INTERNAL_ERROR)
        self._leave()

    def _leave(self) -> None:
        self._h2.loop.call_soon(self.lost, None)

    def sent(self) -> None:
        """All is out."""
        self.finished = True
        if self._closing:
            self._leave()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._h2.acknowledge(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """What comes goes to `client` first, who knows of the tunnel."""

    # -- for the connection ----------------------------------------------------------------------------------------

    def received(self, data: bytes, size: int) -> None:
        """Pass on a part of the body; it is acknowledged once the client reads."""
        self.unread += size
        if data and self.client is not None:
            self.client.data_received(self.request.body(data))
        if self._reading:
            self._h2.acknowledge(self)

    def received_end(self) -> None:
        """Pass on the end of the body; a tunnel's end is the client's."""
        if self.request.tunnel:
            self.close()
        elif self.request.end and self.client is not None:
            self.client.data_received(self.request.end)

    def drained(self) -> None:
        """Let the dyno go on, when the client's window has taken enough."""
        if self._blocked and len(self.answer.body) < LOW and self.client is not None:
            self._blocked = False
            self.client.resume_writing()

    def lost(self, error: Exception | None) -> None:
        """Tell the client, once, that this is over."""
        self._closing = True
        client, self.client = self.client, None
        if client is not None:
            client.connection_lost(error)
            self._h2.forget(self)
