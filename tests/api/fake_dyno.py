"""A one-off of the fake platform: a real process, on a terminal or on pipes."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator

from dynod.engine.platform import RunAsk
from dynod.model.dyno import DynoView


class Child:
    """An attached one-off: a real shell, on a pty or on pipes."""

    def __init__(self, dyno: DynoView, process, write_fd: int, read_fd: int, *, is_pty: bool) -> None:
        self.dyno = dyno
        self.came = True
        self.closed = asyncio.Event()
        self._process, self._is_pty = process, is_pty
        self._write_fd, self._read_fd = write_fd, read_fd
        self._open = {write_fd, read_fd}

    async def output(self) -> AsyncIterator[bytes]:
        while True:
            try:
                data = await asyncio.to_thread(os.read, self._read_fd, 65536)
            except OSError:
                data = b""
            if not data:
                return
            yield data

    async def write(self, data: bytes) -> None:
        os.write(self._write_fd, data)

    async def write_eof(self) -> None:
        if self._is_pty:
            await self.write(b"\x04")
        else:
            self._shut(self._write_fd)

    async def status(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGHUP)
                os.killpg(self._process.pid, signal.SIGKILL)

    def unclaimed(self) -> None:
        self.came = False
        self.close()

    def resize(self, columns: int, lines: int) -> None:
        if self._is_pty:
            fcntl.ioctl(self._read_fd, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    async def gone(self) -> None:
        self.close()
        await self._process.wait()
        for fd in tuple(self._open):
            self._shut(fd)

    def _shut(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)


async def boot(view: DynoView, ask: RunAsk) -> Child:
    env = {"PATH": os.environ["PATH"], "HOME": "/tmp", **ask.env}
    argv = ("/bin/sh", "-c", ask.command)
    if ask.force_no_tty:
        (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdin=in_read, stdout=out_write, stderr=out_write, start_new_session=True
        )
        os.close(in_read)
        os.close(out_write)
        return Child(view, process, in_write, out_read, is_pty=False)
    master, slave = pty.openpty()
    size = struct.pack("4H", int(ask.env.get("LINES", 24)), int(ask.env.get("COLUMNS", 80)), 0, 0)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)

    def take_terminal() -> None:
        """In the child: lead a session that has the terminal for its own, so that Ctrl-C is a signal."""
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *argv, env=env, stdin=slave, stdout=slave, stderr=slave, preexec_fn=take_terminal
    )
    os.close(slave)
    return Child(view, process, master, master, is_pty=True)
