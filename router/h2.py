"""HTTP/2 to TLS clients (RFC 9113) by the h2 library: each stream is a client of its own (server.py) on a transport made of frames.

Flow control is back-pressure: what a dyno does not take is not acknowledged, what the client's window does not allow stops the dyno. All
that a connection can make us keep is bounded: streams, windows, header lists. A client that works us for nothing (RFC 9113 10.5: streams
opened and reset, pings, settings, empty frames without end) is told to calm down, and is gone.
"""

import asyncio
import contextlib
from math import inf
from typing import TYPE_CHECKING, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import Frame, GoAwayFrame

from router.h2_heads import Answer, Header, Request
from router.h2_streams import Stream, StreamClient
from router.reasons import ClientFault
from router.server import BrokenStream

if TYPE_CHECKING:
    from router.proxy import Proxy
    from router.server import Client

STREAMS = 100
WINDOW = 65_535  # of a stream's body that waits for a dyno
CONNECTION_WINDOW = STREAMS * WINDOW  # one stream that waits holds up no other
RESETS = 200  # streams given up beyond those that were answered
NOISE = 2_000  # frames that bring nothing, between two answers
_SETTINGS = {
    h2.settings.SettingCodes.ENABLE_PUSH: 0,
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
    h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 65_536,
    h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
}
_CONFIG = h2.config.H2Configuration(client_side=False, header_encoding=None)
_Codes = h2.errors.ErrorCodes
_ANY = 2**31 - 1  # the last stream there can be
_GONE = {
    _Codes.NO_ERROR,
    _Codes.CANCEL,
    _Codes.REFUSED_STREAM,
}  # it does not want the answer any more: H27, not H33


class _Connection(h2.connection.H2Connection):
    """After a client's GOAWAY h2 would send nothing more; its open streams are to be answered all the same (RFC 9113 6.8)."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        return [], [event]


class H2(asyncio.Protocol):
    """One connection. To the proxy it looks like a client that never has a request of its own: it ends, it drains, it has a deadline."""

    transport: asyncio.Transport
    exchange = None
    awaited = False  # who is told GOAWAY knows what was not served
    counted = False  # since before its handshake

    def __init__(self, proxy: "Proxy", port: int) -> None:
        self._proxy = proxy
        self._port = port
        self.loop = proxy.loop
        self.deadline = inf
        self._streams: dict[int, Stream] = {}
        self._conn = _Connection(config=_CONFIG)
        self._conn.local_settings = h2.settings.Settings(client=False, initial_values=_SETTINGS)
        self._receiving = False
        self._blocked = False
        self._ending = False
        self._over = False  # no frame goes out any more
        self._broken = False  # the client did not keep to the protocol
        self._resets = 0
        self._noise = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._conn.initiate_connection()
        self._conn.increment_flow_control_window(CONNECTION_WINDOW - WINDOW)
        self.deadline = self.loop.time() + self._proxy.timers.head
        self._proxy.opened(cast("Client", self))
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        for stream in list(self._streams.values()):
            stream.lost(BrokenStream() if self._broken else exc or ConnectionResetError())
        self._proxy.closed(cast("Client", self))

    # -- frames in -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._receiving = True
        try:
            for event in self._conn.receive_data(data):
                self._happened(event)
        except h2.exceptions.ProtocolError:  # h2 has put its GOAWAY into what is to be sent
            self._broken = True
            self._hang_up()
            return
        self._receiving = False
        if self._resets > RESETS or self._noise > NOISE:
            with contextlib.suppress(h2.exceptions.ProtocolError):  # it has gone away itself
                self._conn.close_connection(_Codes.ENHANCE_YOUR_CALM)
            self._hang_up()
        self.flush()

    def _happened(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._open(event)
            case h2.events.DataReceived():
                self._data(event)
            case h2.events.StreamEnded():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.received_end()
            case h2.events.StreamReset():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    self._resets += 1
                    stream.lost(ConnectionResetError() if event.error_code in _GONE else BrokenStream())
            case h2.events.WindowUpdated():
                self._noise += 1
                self._window(event.stream_id)
            case h2.events.RemoteSettingsChanged():
                self._noise += 1
                self._window(0)
            case h2.events.TrailersReceived():
                self._trailers(event)
            case h2.events.ConnectionTerminated(error_code=_Codes.NO_ERROR):
                self._ending = True
                self._close_if_idle()
            case h2.events.ConnectionTerminated():
                self._hang_up()
            case _:
                self._noise += 1

    def _open(self, event: h2.events.RequestReceived) -> None:
        id_ = event.stream_id
        try:
            request = Request(event.headers, ended=event.stream_ended is not None)
        except ClientFault:
            self._conn.reset_stream(id_, _Codes.PROTOCOL_ERROR)
            self._resets += 1
            return
        if self._ending:
            self._conn.reset_stream(id_, _Codes.REFUSED_STREAM)
            return
        stream = self._streams[id_] = Stream(self, id_, request)
        self.deadline = inf
        client = stream.client = StreamClient(self._proxy, self._port)
        client.connection_made(stream)
        client.data_received(request.head)

    def _data(self, event: h2.events.DataReceived) -> None:
        size = event.flow_controlled_length or 0
        self._noise += not event.data
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.received(event.data or b"", size)
        elif size:
            self._conn.acknowledge_received_data(size, event.stream_id)

    def _trailers(self, event: h2.events.TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        try:
            stream.request.trailers(event.headers)
        except ClientFault:
            self.reset(stream, _Codes.PROTOCOL_ERROR)
            self._resets += 1
            stream.lost(BrokenStream())

    def _window(self, id_: int | None) -> None:
        streams = list(self._streams.values()) if not id_ else [self._streams.get(id_)]
        for stream in streams:
            if stream is not None:
                self.pump(stream)

    # -- frames out ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what is there, once for all that came in together."""
        if not self._receiving and not self._over and (data := self._conn.data_to_send()):
            self.transport.write(data)

    def send_head(self, stream: Stream, headers: list[Header]) -> None:
        """Send a response's head, an interim one too."""
        if stream.id in self._streams and not self._over:
            ends = stream.answer.ended and headers[0][1][:1] != b"1" and not stream.answer.body
            try:
                self._conn.send_headers(stream.id, headers, end_stream=ends)
            except h2.exceptions.ProtocolError:  # a header that HTTP/1.1 can say and HTTP/2 cannot
                stream.abort()
                return
            if ends:
                self._finish(stream)
            self.flush()

    def pump(self, stream: Stream) -> None:
        """Send as much of a body as the windows allow, and its end."""
        answer = stream.answer
        if stream.finished or stream.id not in self._streams or not answer.begun or self._over:
            return
        try:
            self._pump(stream, answer)
        except h2.exceptions.ProtocolError:
            return  # it was reset, which we are about to hear
        self.flush()
        stream.drained()

    def _pump(self, stream: Stream, answer: Answer) -> None:
        conn, body = self._conn, answer.body
        most = conn.max_outbound_frame_size
        while body and not self._blocked:
            size = min(conn.local_flow_control_window(stream.id), most, len(body))
            if size <= 0:
                break
            ends = answer.ended and size == len(body) and not answer.trailers
            conn.send_data(stream.id, bytes(body[:size]), end_stream=ends)
            self._noise = 0
            del body[:size]
            if ends:
                self._finish(stream)
        if not body and answer.ended and not stream.finished:
            if answer.trailers:
                conn.send_headers(stream.id, answer.trailers, end_stream=True)
            else:
                conn.end_stream(stream.id)
            self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        self._noise = 0
        self._resets = max(0, self._resets - 1)
        stream.sent()

    def acknowledge(self, stream: Stream) -> None:
        """Open the windows again by what the client has taken."""
        size, stream.unread = stream.unread, 0
        if size:
            with contextlib.suppress(h2.exceptions.ProtocolError):  # the client has said goodbye
                self._conn.acknowledge_received_data(size, stream.id)
            self.flush()

    def reset(self, stream: Stream, code: h2.errors.ErrorCodes) -> None:
        """End a stream short, if it is not over on both sides."""
        if stream.id in self._streams:
            with contextlib.suppress(h2.exceptions.ProtocolError):  # it is over, or the connection is
                self._conn.reset_stream(stream.id, code)
            stream.finished = True
            self.flush()

    def forget(self, stream: Stream) -> None:
        """Let go of a stream that is over. Its body, if it goes on coming, is of no use to anybody."""
        if self._streams.pop(stream.id, None) is None:
            return
        if not self._ending:
            self._stop_sending(stream)
        self._close_if_idle()

    def _stop_sending(self, stream: Stream) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError, KeyError):  # over on both sides
            if stream.unread:
                self._conn.acknowledge_received_data(stream.unread, stream.id)
                stream.unread = 0
            if self._conn.streams[stream.id].open:
                self._conn.reset_stream(stream.id, _Codes.NO_ERROR)  # RFC 9113 8.1
        self.flush()

    # -- the proxy's view of it ------------------------------------------------------------------------------------

    def _close_if_idle(self) -> None:
        if self._streams:
            return
        self.deadline = self.loop.time() + self._proxy.timers.keep_alive
        if self._ending:
            self._hang_up()

    def _hang_up(self) -> None:
        self._ending = True
        self._receiving = False
        self.flush()
        self._over = True
        self.transport.close()

    def end(self, *, whole: bool) -> None:  # noqa: ARG002  # a client's shape
        """Drain: no new streams; those that are open go on to their end."""
        if not self._ending:
            self._ending = True
            self.flush()
            # Not by h2's close_connection, after which it sends no stream's frames any more.
            last = self._conn.highest_inbound_stream_id
            self.transport.write(GoAwayFrame(0, last_stream_id=last, error_code=_Codes.NO_ERROR).serialize())
        self._close_if_idle()

    def leave(self) -> None:
        """Another router takes over: ask for no more streams, and be gone when those that are on their way have come (RFC 9113 6.8)."""
        if not self._ending:
            self.flush()
            self.transport.write(GoAwayFrame(0, last_stream_id=_ANY, error_code=_Codes.NO_ERROR).serialize())
            self.loop.call_later(self._proxy.timers.linger, self._leave)

    def _leave(self) -> None:
        if not self.transport.is_closing():
            self.end(whole=True)

    def expired(self, now: float) -> None:  # noqa: ARG002  # a client's shape
        """Nothing came for a while: go away, and the next time be gone."""
        if self.transport.is_closing():
            self.transport.abort()
            return
        self.end(whole=True)
        self.deadline = self.loop.time() + self._proxy.timers.linger

    def pause_writing(self) -> None:
        """Stop reading too: what we would have to answer has nowhere to go."""
        self._blocked = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        self.transport.resume_reading()
        self._window(0)
