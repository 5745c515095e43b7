"""The answering side. Each call runs in a task of its own; a connection that breaks cancels the calls it asked for."""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dynod.model.refused import Refusal, Refused, disk_refusal
from dynod.model.spoken import Language
from dynod.unit import unit
from dynod.wire.rpc import BadFrame, Decoder, Frame, Notification, Request, Response, encode

READ = 256 * 1024
# Bytes of inputs that a handler has not taken; who sends more is hung up on (ours keep to 256 KiB, cli/run.py).
HELD = 32 * 1024 * 1024
EACH = 64  # what an input costs beside its bytes
_log = logging.getLogger(__name__)
_END = object()


@dataclass(slots=True)
class Connection:
    """Who is at the other end: `uid`, `pid`, `gid` by SO_PEERCRED (unix(7))."""

    writer: asyncio.StreamWriter
    pid: int
    uid: int
    gid: int
    notification: Callable[[Notification], None] | None = None
    stranger: str = ""  # why nothing that it asks is understood

    async def notify(self, method: str, params: Any) -> None:
        """Send a notification; waits while the socket is full; raise ConnectionError."""
        await self.send(Notification(method, params))

    async def send(self, frame: Frame) -> None:
        self.writer.write(encode(frame))
        await self.writer.drain()


def _size(value: Any) -> int:
    return EACH + (len(value) if isinstance(value, bytes | str) else 0)


@dataclass(slots=True)
class Call:
    """One request: `item` sends a stream item, `inputs` yields what the client sends along."""

    connection: Connection
    id: int
    method: str
    params: Any
    _inputs: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    _held: int = 0

    async def item(self, value: Any) -> None:
        """Send one item; waits while the client does not read (back-pressure)."""
        await self.connection.notify("item", [self.id, value])

    async def inputs(self) -> AsyncIterator[Any]:
        """Yield the client's `input` values; ends with None sent by the client."""
        while (value := await self._inputs.get()) is not _END:
            self._held -= _size(value)
            yield value

    def put(self, value: Any) -> None:
        """Keep a value for the handler; raise BadFrame when it is more than a client may send that waits for what was taken."""
        self._held += _size(value)
        if self._held > HELD:
            raise BadFrame(f"more than {HELD} bytes of input that {self.method} has not taken")
        self._inputs.put_nowait(_END if value is None else value)


Handler = Callable[[Call], Awaitable[Any]]


async def _answer(call: Call, handler: Handler) -> None:
    try:
        if call.connection.stranger:
            raise Refused(Refusal.CONFLICT, call.connection.stranger)
        result = await handler(call)
        answer = Response(call.id, None, result)
        await call.connection.send(answer)
    except Refused as refused:
        await call.connection.send(Response(call.id, (refused.refusal.id, refused.message), None))
    except ConnectionError:
        pass
    except Exception as error:  # noqa: BLE001  # one call's bug must not take the others with it
        fault = disk_refusal(error)
        if fault is None:
            _log.exception("call %s failed", call.method)
            said = ("internal_error", f"{type(error).__name__}: {error}")
        else:
            said = (fault.refusal.id, fault.message)
        with contextlib.suppress(ConnectionError):
            await call.connection.send(Response(call.id, said, None))


def _forget(calls: dict[int, Any], id: int, _: asyncio.Task[None]) -> None:
    calls.pop(id, None)


async def _connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handler: Handler,
    notified: "Notified | None",
    language: Language | None,
) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    pid, uid, gid = struct.unpack("3i", raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    connection = Connection(writer, pid, uid, gid)
    calls: dict[int, tuple[Call, asyncio.Task[None]]] = {}
    loop = asyncio.get_running_loop()
    decoder = Decoder()
    if notified is not None:
        notified.opened(connection)
    try:
        while data := await reader.read(READ):
            for frame in decoder.feed(data):
                match frame:
                    case Request(id, method, params):
                        call = Call(connection, id, method, params)
                        task = loop.create_task(_answer(call, handler))
                        calls[id] = (call, task)
                        task.add_done_callback(partial(_forget, calls, id))
                    case Notification("input", [int(id), value]) if id in calls:
                        calls[id][0].put(value)
                    case Notification("cancel", [int(id)]) if id in calls:
                        calls[id][1].cancel()
                    case Notification("hello", said):
                        connection.stranger = "" if language is None else language.refusal(said)
                        if connection.stranger:
                            _log.warning("pid %d: %s", pid, connection.stranger)
                            if notified is not None:
                                notified.refused(connection)
                    case Notification() if notified is not None:
                        notified.took(connection, frame)
                    case _:
                        pass
    except (ConnectionError, BadFrame) as error:
        _log.info("connection from pid %d ended: %s", pid, error)
    finally:
        if notified is not None:
            notified.closed(connection)
        tasks = [task for _, task in calls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()


class Notified:
    """What a server wants to hear besides calls; override what is of use."""

    def opened(self, connection: Connection) -> None:
        """A client connected."""

    def refused(self, connection: Connection) -> None:
        """A client said that it speaks another language; `stranger` is what to tell it."""

    def took(self, connection: Connection, notification: Notification) -> None:
        """A client sent a notification that is no stream's."""

    def closed(self, connection: Connection) -> None:
        """A client went away."""


async def serve(
    path: str,
    handler: Handler,
    *,
    mode: int = 0o600,
    notified: Notified | None = None,
    language: Language | None = None,
) -> asyncio.AbstractServer:
    """Listen on a unix socket (a stale one is replaced) with file mode `mode`; the caller closes the server.

    Where systemd listens at `path` already, its socket is served, with the mode and group that its unit says.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _connection(reader, writer, handler, notified, language)
        except asyncio.CancelledError:
            writer.close()

    if (held := unit().listening_at(path)) is not None:
        return await asyncio.start_unix_server(connected, sock=held, limit=READ)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = await asyncio.start_unix_server(connected, path, limit=READ)
    os.chmod(path, mode)
    return server
