"""MessagePack-RPC frames (github.com/msgpack-rpc/msgpack-rpc/blob/master/spec.md), and streams on top of them.

A call is answered once. Between the two, the server may send notifications `item [id, value]` and the client `input [id,
value]` and `cancel [id]`: that is all a tail, a build's output or an attached session needs. Errors are `[kind, message]`.
Sans-io: dynod/link/ and the router own the sockets.
"""

from dataclasses import dataclass
from typing import Any

import msgpack

MAX_FRAME = 8 * 1024 * 1024


class BadFrame(Exception):
    """The other side does not speak MessagePack-RPC; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Request:
    id: int
    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Response:
    """`error` is None or (kind, message)."""

    id: int
    error: tuple[str, str] | None
    result: Any


@dataclass(frozen=True, slots=True)
class Notification:
    method: str
    params: Any


Frame = Request | Response | Notification


def encode(frame: Frame) -> bytes:
    """Write one frame; raise TypeError for values MessagePack has no word for."""
    match frame:
        case Request(id, method, params):
            body: list[Any] = [0, id, method, params]
        case Response(id, error, result):
            body = [1, id, None if error is None else list(error), result]
        case Notification(method, params):
            body = [2, method, params]
    return bytes(msgpack.packb(body, use_bin_type=True))


def _frame(body: Any) -> Frame:
    match body:
        case [0, int(id), str(method), params]:
            return Request(id, method, params)
        case [1, int(id), None, result]:
            return Response(id, None, result)
        case [1, int(id), [str(kind), str(message)], result]:
            return Response(id, (kind, message), result)
        case [2, str(method), params]:
            return Notification(method, params)
        case _:
            raise BadFrame(f"not a MessagePack-RPC frame: {str(body)[:80]}")


class Decoder:
    """Feed it bytes, take frames. After BadFrame it stays bad."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=limit, strict_map_key=False)

    def feed(self, data: bytes) -> list[Frame]:
        """Return every frame that is complete now; raise BadFrame."""
        try:
            self._unpacker.feed(data)
            return [_frame(body) for body in self._unpacker]
        except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
            raise BadFrame(f"not MessagePack: {error}") from error
