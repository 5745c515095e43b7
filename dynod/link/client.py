"""The asking side: `Peer.call` for one answer, `Peer.stream` for items until the answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from dynod.model.refused import Refusal, Refused
from dynod.model.spoken import Language
from dynod.wire.rpc import BadFrame, Decoder, Frame, Notification, Request, Response, encode

READ = 256 * 1024
ITEMS = 1000  # of a stream that wait to be read
_END = object()


class Lost(ConnectionError):
    """The other side went away before it answered; what was asked may or may not have happened."""


class RemoteRefused(Refused):
    """The other side's refusal, raised here as if it were our own."""


def _refused(error: tuple[str, str]) -> Exception:
    kind, message = error
    refusal = Refusal.named(kind)
    return RuntimeError(f"{kind}: {message}") if refusal is None else RemoteRefused(refusal, message)


class Stream:
    """One call that sends items before its answer. Iterate it; `result` is the answer afterwards.

    Who does not take its items has the serving side wait: with `ITEMS` of them unread, nothing is read from the connection, for
    other calls on it neither. One that may be left unread belongs on a connection of its own; `cancel` what is not read to its end.
    """

    def __init__(self, peer: "Peer", call_id: int) -> None:
        self._peer = peer
        self._id = call_id
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._room = asyncio.Event()
        self._left = False
        self.result: Any = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            item = await self._items.get()
            self._room.set()
            if item is _END:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    async def send(self, value: Any) -> None:
        """Send one `input` value to the serving side."""
        await self._peer.notify("input", [self._id, value])

    async def cancel(self) -> None:
        """Tell the serving side that nobody listens any more."""
        self._peer._streams.pop(self._id, None)  # noqa: SLF001  # Stream is Peer's other half
        self._left = True
        self._room.set()
        with contextlib.suppress(ConnectionError):
            await self._peer.notify("cancel", [self._id])

    def _put(self, item: Any) -> None:
        self._items.put_nowait(item)

    async def _taken(self) -> None:
        """Wait until there is room for another item, or nobody wants one."""
        while self._items.qsize() >= ITEMS and not self._left:
            self._room.clear()
            await self._room.wait()


class Peer:
    """One connection. Every pending call fails with Lost when it breaks; `lost` is set then, for who wants to reconnect."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_notification: Callable[[Notification], None] | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_notification = on_notification
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._streams: dict[int, Stream] = {}
        self._last_id = 0
        self.lost = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def call(self, method: str, params: Any = None) -> Any:
        """Ask and wait for the answer; raise Refused as the other side did, or Lost."""
        call_id = self._next()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = future
        try:
            await self._send(Request(call_id, method, params))
            return await future
        finally:
            self._calls.pop(call_id, None)

    async def stream(self, method: str, params: Any = None) -> Stream:
        """Ask for items; iterate the result."""
        call_id = self._next()
        stream = Stream(self, call_id)
        self._streams[call_id] = stream
        await self._send(Request(call_id, method, params))
        return stream

    async def notify(self, method: str, params: Any) -> None:
        """Tell without waiting for an answer; waits only while the socket is full."""
        await self._send(Notification(method, params))

    async def close(self) -> None:
        """Hang up; pending calls fail with Lost."""
        self._writer.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await self._task
        self._fail()

    def _next(self) -> int:
        if self.lost.is_set():
            raise Lost("the connection is closed")
        self._last_id += 1
        return self._last_id

    async def _send(self, frame: Frame) -> None:
        if self.lost.is_set():
            raise Lost("the connection is closed")
        self._writer.write(encode(frame))
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise Lost(str(error)) from error

    async def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := await self._reader.read(READ):
                for frame in decoder.feed(data):
                    if (stream := self._take(frame)) is not None:
                        await stream._taken()  # noqa: SLF001  # its other half
        except (ConnectionError, BadFrame):
            pass
        finally:
            self._fail()

    def _take(self, frame: Frame) -> Stream | None:
        """Pass a frame on; return the stream that it was for, if any."""
        match frame:
            case Response(id, error, result):
                if (stream := self._streams.pop(id, None)) is not None:
                    stream.result = result
                    stream._put(_END if error is None else _refused(error))  # noqa: SLF001  # its other half
                elif (future := self._calls.get(id)) is not None and not future.done():
                    if error is None:
                        future.set_result(result)
                    else:
                        future.set_exception(_refused(error))
            case Notification("item", [int(id), value]):
                if (stream := self._streams.get(id)) is not None:
                    stream._put(value)  # noqa: SLF001  # its other half
                    return stream
            case Notification() if self._on_notification is not None:
                self._on_notification(frame)
            case _:
                pass
        return None

    def _fail(self) -> None:
        self.lost.set()
        self._writer.close()
        for future in self._calls.values():
            if not future.done():
                future.set_exception(Lost("the other side went away"))
        for stream in self._streams.values():
            stream._put(Lost("the other side went away"))  # noqa: SLF001  # its other half
        self._streams.clear()


async def connect(
    path: str,
    on_notification: Callable[[Notification], None] | None = None,
    language: Language | None = None,
) -> Peer:
    """Connect to a unix socket; raise OSError when nobody listens. One who does not know our `language` refuses every call."""
    reader, writer = await asyncio.open_unix_connection(path, limit=READ)
    if language is not None:
        writer.write(encode(Notification("hello", language.hello())))
    return Peer(reader, writer, on_notification)
