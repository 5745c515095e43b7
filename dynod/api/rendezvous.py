r"""Attached sessions for `heroku run`: a TLS listener where a secret line joins a client to its one-off dyno (CLI.md 4).

Traps that decide the order of things here: the CLI throws away the first record whatever it holds, so the greeting goes alone; it dies
with EPIPE if we close before it wrote its end-of-input byte, so we linger; it half-closes for a hang-up; a pipe's end of input comes as
one \x04. TLS on its own port, because the CLI speaks no HTTP here.
"""

import asyncio
import contextlib
import errno
import hashlib
import logging
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from dynod.api.sentinel import Raw, Sentinel
from dynod.engine.platform import Attached

GREETING = b"rendezvous\r\n"
END_OF_INPUT = b"\x04"
CLAIM = 60.0  # seconds for the client to come (R13)
HELLO = 10.0  # seconds for the secret line
IDLE = 3600.0
# Seconds for that last byte; a client that was slow to come has twice the time it took for that.
LINGER, LINGER_MOST = (
    0.25,
    5.0,
)
STATUS = 5.0  # seconds for an exit status once the output has ended
READ = 64 * 1024
# A client whose machine or network went away says nothing: after so many seconds of silence it is asked, so often, and is gone then.
SILENCE, AGAIN, ASKED = 60, 15, 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Offer:
    """`made` is when, by the loop's clock."""

    attached: Attached
    meet: Callable[..., Awaitable[None]]
    timer: asyncio.TimerHandle
    made: float


class Rendezvous:
    """`offer` an attached dyno, hand the URL to the client, join them when it comes. `port` is set by `listen`."""

    def __init__(self, host: str, port: int = 0, *, other: bool = True) -> None:
        """Prefer a port; `other`: take a free one in its place where somebody else has it. 0 is any free one."""
        self.host = host
        self.port = port
        self._other = other
        self._offers: dict[bytes, _Offer] = {}
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def listen(self, tls: ssl.SSLContext, sock: socket.socket | None = None) -> None:
        """Serve; on a socket that already listens, if there is one. Raise OSError."""
        serve = partial(asyncio.start_server, self._connected, ssl=tls, ssl_shutdown_timeout=2.0, limit=4096)
        if sock is not None:
            self._server = await serve(sock=sock)
        else:
            try:
                self._server = await serve(host=self.host, port=self.port)
            except OSError as error:
                if not self._other or error.errno != errno.EADDRINUSE:
                    raise
                _log.warning("port %d is somebody else's: attached sessions have a free one", self.port)
                self._server = await serve(host=self.host, port=0)
        self.port = self._server.sockets[0].getsockname()[1]

    def offer(self, attached: Attached, host: str, *, pipe: bool, command: str | None) -> str:
        r"""Return the URL that joins once; hang up if nobody comes within a minute. `pipe`: \x04 means end of input; without a `command`
        no byte of the output is held back for the CLI's sake.
        """
        secret = secrets.token_urlsafe(32)
        key = hashlib.sha256(secret.encode()).digest()
        loop = asyncio.get_running_loop()
        meet = partial(join, attached=attached, pipe=pipe, command=command)
        self._offers[key] = _Offer(attached, meet, loop.call_later(CLAIM, self._expired, key), loop.time())
        return f"rendezvous://{host}:{self.port}/{secret}"

    async def close(self) -> None:
        """Stop listening and hang up every session."""
        if self._server is not None:
            self._server.close()
        for offer in self._offers.values():
            offer.timer.cancel()
            offer.attached.close()
        self._offers.clear()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def _expired(self, key: bytes) -> None:
        self._offers.pop(key).attached.unclaimed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        _notice_silence(writer)
        try:
            async with asyncio.timeout(HELLO):
                line = await reader.readuntil(b"\r\n")
            secret = line.strip().partition(b"?")[0]
            offer = self._offers.pop(hashlib.sha256(secret).digest(), None)
            if offer is not None:
                offer.timer.cancel()
                took = asyncio.get_running_loop().time() - offer.made
                await offer.meet(reader, writer, linger=max(LINGER, min(2 * took, LINGER_MOST)))
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a stranger, or a client that left
        except asyncio.CancelledError:
            pass  # we are closing
        finally:
            self._sessions.discard(task)
            with contextlib.suppress(Exception):  # whatever it was, the connection is over
                writer.close()


def _notice_silence(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, SILENCE),
        (socket.TCP_KEEPINTVL, AGAIN),
        (socket.TCP_KEEPCNT, ASKED),
        # Also where our own bytes wait for an answer.
        (socket.TCP_USER_TIMEOUT, (SILENCE + ASKED * AGAIN) * 1000),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    attached: Attached,
    *,
    pipe: bool,
    command: str | None,
    linger: float,
) -> None:
    """Carry bytes both ways until the dyno has ended, the client has gone, or nobody said anything for an hour."""
    done = asyncio.Event()  # the client's last byte came, so closing cannot hurt it
    try:
        async with asyncio.timeout(IDLE) as idle:
            heard = partial(_heard, idle)
            writer.write(GREETING)
            await writer.drain()
            coming = asyncio.ensure_future(_input(reader, attached, done, heard, pipe=pipe))
            sentinel = Raw() if command is None else Sentinel(command)
            going = asyncio.ensure_future(_output(writer, attached, heard, sentinel))
            try:
                await asyncio.wait({coming, going}, return_when=asyncio.FIRST_COMPLETED)
                if going.done():
                    going.result()
                    await _linger(done, linger)
                else:
                    coming.result()
            finally:
                coming.cancel()
                going.cancel()
                await asyncio.gather(coming, going, return_exceptions=True)
    except TimeoutError as error:
        why = "idle for an hour" if error.errno is None else "its client is not there any more"
        _log.info("closing the session with %s: %s", attached.dyno.name, why)
    finally:
        attached.close()


def _heard(idle: asyncio.Timeout) -> None:
    idle.reschedule(asyncio.get_running_loop().time() + IDLE)


async def _linger(done: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await done.wait()


async def _output(
    writer: asyncio.StreamWriter, attached: Attached, heard: partial[None], sentinel: Sentinel | Raw
) -> None:
    async for data in attached.output():
        heard()
        for piece in sentinel.feed(data):
            writer.write(piece)
        await writer.drain()
    for piece in sentinel.flush():
        writer.write(piece)
    if sentinel.owed:
        await writer.drain()
        with contextlib.suppress(TimeoutError):  # it shut its output and runs on: closing hangs it up
            async with asyncio.timeout(STATUS):
                writer.write(Sentinel.told(await attached.status()))
    await writer.drain()


async def _input(
    reader: asyncio.StreamReader, attached: Attached, done: asyncio.Event, heard: partial[None], *, pipe: bool
) -> None:
    """Return when the client hung up. What comes after the dyno stopped reading is dropped, but its last byte still counts."""
    open_ = True
    while data := await reader.read(READ):
        heard()
        ended = data.endswith(END_OF_INPUT)
        if open_:
            try:
                if not (pipe and ended):
                    await attached.write(data)
                else:
                    if len(data) > 1:
                        await attached.write(data[:-1])
                    await attached.write_eof()
                    open_ = False
            except (ConnectionError, OSError):
                open_ = False
        if ended:
            done.set()
    done.set()
