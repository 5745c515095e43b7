"""The lab's way in, from the inside: JSON lines over a virtio port, one program per request. Runs in the guest as a service.

A request is {"id", "argv", "stdin", "cwd", "env"}; answers are {"id", "out" or "err": base64} as it comes, then {"id", "status"}. A line
that cannot be read is left out: after a host went away in the middle of one, the next begins anew.
"""

import base64
import contextlib
import json
import os
import selectors
import subprocess
import threading
from typing import IO, Any

PORT = "/dev/virtio-ports/dynod.lab"
CHUNK = 48 * 1024
_lock = threading.Lock()


def main() -> None:
    """Serve for as long as the machine runs."""
    with open(PORT, "r+b", buffering=0) as port:
        while True:  # nobody is at the other end: the port is readable, and empty, until somebody is
            serve(port)
            threading.Event().wait(0.2)


def serve(port: IO[bytes]) -> None:
    """Take requests until the other end is gone."""
    rest = b""
    waiting = selectors.DefaultSelector()
    waiting.register(port, selectors.EVENT_READ)
    with waiting, contextlib.suppress(ConnectionError):  # gone, with something of ours unread
        while waiting.select() and (data := port.read(CHUNK)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _take(line, port)


def _take(line: bytes, port: IO[bytes]) -> None:
    try:
        asked = json.loads(line)
        id, argv = asked["id"], asked["argv"]
    except (ValueError, KeyError, TypeError):
        return
    threading.Thread(target=_perform, args=(port, id, argv, asked), daemon=True).start()


def _say(port: IO[bytes], value: dict[str, Any]) -> None:
    data = memoryview(json.dumps(value).encode() + b"\n")
    with _lock, contextlib.suppress(OSError, ValueError):  # who asked may be gone by now
        while data:
            data = data[port.write(data) or 0 :]


def _perform(port: IO[bytes], id: str, argv: list[str], asked: dict[str, Any]) -> None:
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=asked.get("cwd") or "/root",
            env={**os.environ, "HOME": "/root", "LANG": "C.UTF-8", **(asked.get("env") or {})},
            start_new_session=True,
        )
    except OSError as error:
        _say(port, {"id": id, "err": base64.b64encode(f"cannot run {argv[0]}: {error}\n".encode()).decode()})
        _say(port, {"id": id, "status": 127})
        return
    with child:
        readers = [
            threading.Thread(target=_pass_on, args=(port, id, kind, stream))
            for kind, stream in (("out", child.stdout), ("err", child.stderr))
        ]
        for reader in readers:
            reader.start()
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it did not want to know
            child.stdin.write(base64.b64decode(asked.get("stdin") or ""))
            child.stdin.close()
        for reader in readers:
            reader.join()
    _say(port, {"id": id, "status": child.returncode})


def _pass_on(port: IO[bytes], id: str, kind: str, stream: IO[bytes]) -> None:
    while data := os.read(stream.fileno(), CHUNK):
        _say(port, {"id": id, kind: base64.b64encode(data).decode()})


if __name__ == "__main__":
    main()
