"""The way into a machine from the outside: JSON lines over the socket that qemu makes of the guest's port (agent.py is the other end)."""

import base64
import contextlib
import json
import select
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PING = (
    2.0  # seconds after which an unheard word is said again: the guest's end may have been opened in between
)


class LabError(Exception):
    """The lab did not do what was asked; the text says what, and what the machine said last."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that ended inside."""

    status: int
    out: str
    err: str


class Way:
    """The port into a machine. One request at a time; a second way (another process) has to wait for the first to close."""

    def __init__(self, path: Path, dead: Callable[[], str]) -> None:
        self._path, self._dead = str(path), dead
        self._rest = b""
        self._sock = socket.socket(socket.AF_UNIX)

    def open(self, cap: float) -> None:
        """Connect, and wait until the inside answers; raise LabError."""
        until = time.monotonic() + cap
        while True:
            try:
                self._sock.connect(self._path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self._alive(until, "its way in was not made")
                select.select([], [], [], 0.05)  # qemu says to nobody when it has made its sockets
        while self._ask(["true"], b"", "", {}, min(PING, until - time.monotonic()), lambda *_: None) is None:
            self._alive(until, "it did not answer")

    def _alive(self, until: float, what: str) -> None:
        if why := self._dead():
            self.close()
            raise LabError(f"cannot reach the machine: {why}")
        if time.monotonic() >= until:
            self.close()
            raise LabError(f"cannot reach the machine: {what} in time")

    def run(
        self,
        argv: Sequence[str],
        stdin: bytes,
        cwd: str,
        env: Mapping[str, str],
        cap: float,
        hear: Callable[[str, bytes], None],
    ) -> Done:
        """See Machine.run; `hear` gets ("out" or "err", bytes) as they come."""
        done = self._ask(argv, stdin, cwd, env, cap, hear)
        if done is None:
            raise LabError(f"cannot wait longer than {cap:g} s for {' '.join(argv)[:200]}")
        return done

    def _ask(
        self,
        argv: Sequence[str],
        stdin: bytes,
        cwd: str,
        env: Mapping[str, str],
        cap: float,
        hear: Callable[[str, bytes], None],
    ) -> Done | None:
        id = uuid.uuid4().hex
        asked = {
            "id": id,
            "argv": list(argv),
            "stdin": base64.b64encode(stdin).decode(),
            "cwd": cwd,
            "env": dict(env),
        }
        self._send(b"\n" + json.dumps(asked).encode() + b"\n")  # a newline first: half a line may stand there
        said = {"out": bytearray(), "err": bytearray()}
        until = time.monotonic() + cap
        while (value := self._next(until)) is not None:
            if value.get("id") != id:
                continue
            if "status" in value:
                return Done(
                    value["status"],
                    said["out"].decode(errors="replace"),
                    said["err"].decode(errors="replace"),
                )
            for kind, part in said.items():
                if kind in value:
                    data = base64.b64decode(value[kind])
                    part.extend(data)
                    hear(kind, data)
        return None

    def _send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise LabError(f"cannot reach the machine: {self._dead() or error}") from None

    def _next(self, until: float) -> dict[str, Any] | None:
        """Return the next line that is JSON; None when the time is up."""
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                with contextlib.suppress(ValueError):
                    value = json.loads(line)
                    if isinstance(value, dict):
                        return value
                continue
            readable, _, _ = select.select([self._sock], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                return None
            data = b""
            with contextlib.suppress(ConnectionError):
                data = self._sock.recv(1 << 16)
            if not data:
                raise LabError(f"cannot reach the machine: {self._dead() or 'it hung up'}")
            self._rest += data

    def close(self) -> None:
        self._sock.close()
