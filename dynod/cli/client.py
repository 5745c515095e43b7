"""The blocking end of RUN/control.sock: one call at a time, or one stream of items. asyncio is not imported: it costs 30 ms."""

import socket
from collections.abc import Iterator
from typing import Any

from dynod.model.refused import Refusal, Refused
from dynod.wire.rpc import BadFrame, Decoder, Frame, Notification, Request, Response, encode

READ = 64 * 1024
_AGAIN = "it starts again by itself, so look what was done and ask once more"


class Unreachable(Exception):
    """Nobody answers at the socket, or it went away in the middle; the text says where and what to do."""


class Failed(Exception):
    """The other side has a bug; the text is its own."""


def _error(error: tuple[str, str]) -> Exception:
    kind, message = error
    refusal = Refusal.named(kind)
    return Failed(f"{kind}: {message}") if refusal is None else Refused(refusal, message)


class Client:
    """One connection. `sock` is open to be waited on beside other descriptors (cli/run.py does)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._last_id = 0
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(path)
        except PermissionError:
            self.sock.close()
            raise Unreachable(f"cannot open {path}: only root and the group dynod may; try sudo") from None
        except OSError as error:
            self.sock.close()
            raise Unreachable(
                f"cannot reach dynod at {path} ({error.strerror or error}): start it with `make run` or `dynod up` "
                "(if it was just started again, ask once more), or name its run directory with --run DIR or DYNOD_RUN"
            ) from None

    def close(self) -> None:
        self.sock.close()

    def ask(self, method: str, params: Any) -> int:
        """Send a request; return its id."""
        self._last_id += 1
        self.send(Request(self._last_id, method, params))
        return self._last_id

    def send(self, frame: Frame) -> None:
        """Send a frame; raise Unreachable."""
        try:
            self.sock.sendall(encode(frame))
        except OSError as error:
            raise Unreachable(
                f"cannot go on: dynod at {self._path} went away ({error.strerror}); {_AGAIN}"
            ) from None

    def take(self) -> list[Frame]:
        """Wait for bytes; return the frames that are complete now; raise Unreachable."""
        try:
            data = self.sock.recv(READ)
            if not data:
                raise Unreachable(
                    f"cannot go on: dynod at {self._path} went away before it answered; {_AGAIN}"
                )
            return self._decoder.feed(data)
        except (OSError, BadFrame) as error:
            why = getattr(error, "strerror", None) or error
            raise Unreachable(f"cannot go on: dynod at {self._path} broke off ({why}); {_AGAIN}") from None

    def call(self, method: str, params: Any) -> Any:
        """Ask and return the answer; raise Refused as the other side did, Failed or Unreachable."""
        stream = self.stream(method, params)
        for _ in stream:
            pass
        return stream.result

    def stream(self, method: str, params: Any) -> "Stream":
        """Ask for items."""
        return Stream(self, self.ask(method, params))


class Stream:
    """Iterate it for the items; `result` is the answer afterwards."""

    def __init__(self, client: Client, id: int) -> None:
        self._client = client
        self.id = id
        self.result: Any = None
        self.ended = False

    def fed(self, frames: list[Frame]) -> list[Any]:
        """Return the items among frames; notes the answer; raise what the other side refused."""
        items: list[Any] = []
        for frame in frames:
            match frame:
                case Notification("item", [int(id), value]) if id == self.id:
                    items.append(value)
                case Response(id, None, result) if id == self.id:
                    self.result, self.ended = result, True
                case Response(id, (kind, message), _) if id == self.id:
                    self.ended = True
                    raise _error((kind, message))
                case _:
                    pass
        return items

    def __iter__(self) -> Iterator[Any]:
        while not self.ended:
            yield from self.fed(self._client.take())

    def input(self, value: Any) -> None:
        """Send one value along; None ends the input."""
        self._client.send(Notification("input", [self.id, value]))
