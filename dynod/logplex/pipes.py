"""The dyno host's socket, from logplex's side: the read ends of all dynos' pipes come from here.

SOCK_SEQPACKET: one JSON object per packet, descriptors beside it. When the host goes away nothing here is closed: the pipes
that came are kept by who got them, and the host is asked again when it is back.
"""

import array
import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from dynod.logplex.query import is_id

_log = logging.getLogger(__name__)
PACKET = 256 * 1024
DESCRIPTORS = 64
FIRST_DELAY, LAST_DELAY = 0.02, 1.0


class Dynos(Protocol):
    """Who wants to know; Plex, and a list in tests."""

    def piped(self, id: str, labels: Mapping[str, Any], pipe: int) -> None:
        """A dyno's read end; it may come a second time after the host or this process was started again."""

    def gone(self, id: str) -> None:
        """The dyno was forgotten by the host: it has ended and its pipe will not be given again."""

    def listed(self, ids: frozenset[str]) -> None:
        """All dynos there are: any other is gone, unless its pipe comes later."""


class HostLink:
    """Connected or trying to be, from `start` until `close`."""

    def __init__(self, path: str, dynos: Dynos) -> None:
        self._path = path
        self._dynos = dynos
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._delay = FIRST_DELAY
        self._ids: set[str] = set()

    @property
    def connected(self) -> bool:
        """Whether the host is there."""
        return self._socket is not None

    def start(self) -> None:
        """Connect, now or as soon as the host listens."""
        self._timer = None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            connection.connect(self._path)
            connection.send(b'{"op":"pipes"}')
            connection.send(b'{"op":"list","seq":1}')
        except OSError as error:
            connection.close()
            _log.debug("no dyno host at %s: %s", self._path, error)
            self._later()
            return
        self._socket, self._ids = connection, set()
        asyncio.get_running_loop().add_reader(connection.fileno(), self._readable)

    def close(self) -> None:
        """Hang up and stay away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._delay, self.start)
        self._delay = min(self._delay * 2, LAST_DELAY)

    def _lost(self, why: object) -> None:
        _log.warning(
            "the dyno host at %s went away (%s); its pipes are kept and it is asked again", self._path, why
        )
        self.close()
        self._later()

    def _readable(self) -> None:
        assert self._socket is not None
        space = socket.CMSG_SPACE(DESCRIPTORS * 4)
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(PACKET, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        pipes = _descriptors(ancillary)
        if flags & socket.MSG_CTRUNC:
            # The kernel dropped a descriptor for want of room in our table: only asking again brings it back.
            _close(pipes)
            self._lost("no room for a descriptor; raise the limit of open files")
        elif not data:
            _close(pipes)
            self._lost("hung up")
        else:
            self._packet(data, pipes)

    def _packet(self, data: bytes, pipes: list[int]) -> None:
        try:
            packet = json.loads(data)
        except ValueError:
            packet = None
        self._delay = FIRST_DELAY
        match packet:
            case {"op": "pipe", "id": str(id), "labels": dict(labels)} if len(pipes) == 1 and is_id(id):
                self._dynos.piped(id, labels, pipes.pop())
            case {"op": "gone", "id": str(id)}:
                self._dynos.gone(id)
            case {"op": "dynos", "dynos": list(dynos), **rest}:
                self._ids.update(dyno["id"] for dyno in dynos)
                if rest.get("end"):
                    self._dynos.listed(frozenset(self._ids))
            case {"op": "failed", "error": str(error)}:
                _log.error("the dyno host refused: %s", error)
            case _:
                _log.error("cannot read what the dyno host says: %r", data[:200])
        _close(pipes)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)


def _close(pipes: list[int]) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):
            os.close(pipe)
