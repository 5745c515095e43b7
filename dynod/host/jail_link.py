"""The control plane's side of RUN/host.sock: plans out; pids, descriptors and exits back. One packet, one JSON object.

Reads by the event loop's readiness on the SEQPACKET socket, without threads. A lost connection fails what is pending
with Lost and sets `lost`; connecting again, and listing what ran on meanwhile, is the caller's business.
What may be asked, and what becomes of it: dynod/jail/door.py and dynos.py.
"""

import array
import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from dynod.link.client import Lost
from dynod.model.jail import JailPlan, JoinPlan
from dynod.model.spoken import HOST
from dynod.model.tally import UNCOUNTED, Tally

PACKET = 1024 * 1024
_ANCILLARY = socket.CMSG_SPACE(253 * 4)  # SCM_MAX_FD
Descriptors = list[int]
Said = tuple[dict[str, Any], Descriptors]
KILLED = 137
HELLO = "hello"
NO_HELLO = "no such operation"  # the answer of hosts from before there were languages, which speak the first


class Stranger(ConnectionError):
    """The host does not know our language; its own line says so. It goes away when either is replaced."""


class CannotBoot(RuntimeError):
    """The host's own line: `cannot start ...`. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Booted:
    """`fds`: none (log), the terminal's master (pty), or stdin's write end and stdout's read end (pipe); the caller's now.

    `cgroups`: directories to read the dyno's memory from.
    """

    pid: int
    fds: tuple[int, ...]
    cgroups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """A dyno that the host holds. `status` is None while it runs."""

    id: str
    pid: int
    uid: int
    labels: Mapping[str, str]
    status: int | None
    oom: bool
    cgroups: tuple[str, ...]
    frozen: bool = False
    peak: int = 0
    tally: Tally = UNCOUNTED


@dataclass(frozen=True, slots=True)
class Ended:
    """`oom`: the kernel killed a process of it for memory; `peak`: the most memory it had, in bytes."""

    id: str
    status: int
    oom: bool
    peak: int
    tally: Tally = UNCOUNTED


@dataclass(frozen=True, slots=True)
class DiskFault:
    """What is wrong with what a dyno writes to, which has `disk` bytes: `full` or `broken`."""

    id: str
    fault: str
    disk: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A command in a dyno that runs. `fds` as of Booted; `ended`: its exit status (137 too when the host went away)."""

    fds: tuple[int, ...]
    ended: "asyncio.Future[int]"


class JailLink:
    """`boot`, `exec`, `signal`, `list`, `forget`, and `on_exit` for each dyno that ended and is not forgotten."""

    def __init__(
        self,
        sock: socket.socket,
        on_exit: Callable[[Ended], None],
        on_disk: Callable[[DiskFault], None],
    ) -> None:
        """Use `JailLink.connect`."""
        self._sock, self._on_exit, self._on_disk = sock, on_exit, on_disk
        self._loop = asyncio.get_running_loop()
        self._room = bytearray(PACKET)
        self._answers: dict[int, asyncio.Future[Said]] = {}
        self._pages: dict[int, list[Live]] = {}
        self._sessions: dict[str, asyncio.Future[int]] = {}
        self._unsent: deque[bytes] = deque()
        self._last = 0
        self.lost = asyncio.Event()
        self._loop.add_reader(sock, self._read)

    @classmethod
    async def connect(
        cls,
        path: str,
        on_exit: Callable[[Ended], None],
        on_disk: Callable[[DiskFault], None] = lambda fault: None,  # noqa: ARG005  # who does not care
    ) -> Self:
        """Connect and watch: `on_exit` is called for exits from now on, first for those not yet forgotten; `on_disk` once of
        each fault. Raise OSError, and of it Stranger when the host does not know our language.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 2 * PACKET)
            await asyncio.get_running_loop().sock_connect(sock, path)
        except BaseException:
            sock.close()
            raise
        link = cls(sock, on_exit, on_disk)
        try:
            await link._ask({"op": HELLO, **HOST.hello()})
        except RuntimeError as refused:
            if NO_HELLO not in str(refused):
                await link.close()
                raise Stranger(str(refused)) from None
        link._send({"op": "watch"})
        return link

    async def boot(self, plan: JailPlan) -> Booted:
        """Start a dyno; raise CannotBoot with the host's line, or Lost (then `list` tells whether it runs)."""
        said, fds = await self._ask({"op": "boot", "plan": plan.to_json()})
        return Booted(said["pid"], tuple(fds), tuple(said["cgroups"]))

    async def exec(self, plan: JoinPlan) -> Joined:
        """Run a command in a dyno that runs; raise RuntimeError with the host's line, or Lost. It ends with this link."""
        ended: asyncio.Future[int] = self._loop.create_future()
        self._sessions[plan.session] = ended
        try:
            _, fds = await self._ask({"op": "exec", **plan.to_json()})
        except BaseException:
            self._sessions.pop(plan.session, None)
            if not self.lost.is_set():  # whoever asked has gone: so shall it
                self._send({"op": "exec-close", "session": plan.session})
            raise
        return Joined(tuple(fds), ended)

    async def hang_up(self, session: str) -> None:
        """Send SIGHUP to a session, and SIGKILL if it is not heeded. One that is over is fine."""
        await self._ask({"op": "exec-close", "session": session})

    async def signal(self, id: str, signum: int) -> None:
        """Send a signal to every process of a dyno; 9 ends it at once. RuntimeError if there is none that lives."""
        await self._ask({"op": "signal", "id": id, "signal": int(signum)})

    async def freeze(self, id: str) -> None:
        """Let no process of a dyno run; returns once its memory was reclaimed. RuntimeError if it cannot be."""
        await self._ask({"op": "freeze", "id": id})

    async def thaw(self, id: str) -> None:
        """Let a dyno run on. RuntimeError if there is none that lives."""
        await self._ask({"op": "thaw", "id": id})

    async def leavings(self, id: str) -> int:
        """Open what a dyno wrote, until it is forgotten: a directory, the caller's to close. RuntimeError if nothing is left."""
        _, (fd,) = await self._ask({"op": "leavings", "id": id})
        return fd

    async def forget(self, id: str) -> None:
        """Let an exit status go; returns when nothing is left of the dyno. RuntimeError while it runs."""
        await self._ask({"op": "forget", "id": id})

    async def list(self) -> list[Live]:
        """Every dyno that runs, or has ended and is not forgotten; RuntimeError if the host does not say."""
        seq = self._next()
        self._pages[seq] = []
        try:
            said, _ = await self._answer(seq, {"op": "list", "seq": seq})
            if said["op"] == "failed":  # which is not that nothing lives
                raise RuntimeError(said["error"])
            return self._pages[seq]
        finally:
            del self._pages[seq]

    async def stat(self) -> dict[str, Any]:
        """Counts, for doctors."""
        said, _ = await self._ask({"op": "stat"})
        return said

    async def close(self) -> None:
        """Hang up; what is pending fails with Lost. Dynos live on."""
        self._hang_up()

    def _hang_up(self) -> None:
        if self.lost.is_set():
            return
        self.lost.set()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(Lost("the dyno host went away"))
        for session in tuple(self._sessions):
            self._session_ended(session, KILLED)

    def _session_ended(self, session: str, status: int) -> None:
        ended = self._sessions.pop(session, None)
        if ended is not None and not ended.done():
            ended.set_result(status)

    async def _ask(self, value: dict[str, Any]) -> Said:
        seq = self._next()
        said, fds = await self._answer(seq, {**value, "seq": seq})
        if said["op"] == "failed":
            kind = CannotBoot if value["op"] == "boot" else RuntimeError
            raise kind(said["error"])
        return said, fds

    def _next(self) -> int:
        self._last += 1
        return self._last

    async def _answer(self, seq: int, value: dict[str, Any]) -> Said:
        future: asyncio.Future[Said] = self._loop.create_future()
        self._answers[seq] = future
        try:
            self._send(value)
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and not future.exception():
                _close(future.result()[1])  # nobody will take these
            raise
        finally:
            del self._answers[seq]

    def _send(self, value: dict[str, Any]) -> None:
        if self.lost.is_set():
            raise Lost("the dyno host went away")
        data = json.dumps(value, separators=(",", ":")).encode()
        if len(data) > PACKET:
            raise CannotBoot(f"cannot ask the dyno host: {len(data)} bytes are more than {PACKET}")
        self._unsent.append(data)
        self._write()

    def _write(self) -> None:
        while self._unsent:
            try:
                self._sock.send(self._unsent[0])
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._write)
                return
            except OSError as error:
                self._hang_up()
                raise Lost(f"the dyno host went away: {error}") from error
            self._unsent.popleft()
        self._loop.remove_writer(self._sock)

    def _read(self) -> None:
        while not self.lost.is_set():
            try:
                size, ancillary, _, _ = self._sock.recvmsg_into(
                    [self._room], _ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                size, ancillary = 0, []
            if size == 0:
                self._hang_up()
                return
            fds = array.array("i")
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            self._take(json.loads(self._room[:size]), fds.tolist())

    def _take(self, said: dict[str, Any], fds: Descriptors) -> None:
        match said:
            case {"op": "exited", "id": id, "status": status, "oom": oom, "peak": peak}:
                self._on_exit(Ended(id, status, oom, peak, _tally(said)))
                return
            case {"op": "disk", "id": id, "fault": fault, "disk": disk}:
                self._on_disk(DiskFault(id, fault, disk))
                return
            case {"op": "exec-ended", "session": session, "status": status}:
                self._session_ended(session, status)
                return
            case {"op": "dynos", "seq": seq, "dynos": rows} if seq in self._pages:
                self._pages[seq] += [_live(row) for row in rows]
                if not said.get("end"):
                    return
        future = self._answers.get(said.get("seq", 0))
        if future is None or future.done():
            _close(fds)
        else:
            future.set_result((said, fds))


def _live(row: Mapping[str, Any]) -> Live:
    return Live(
        row["id"],
        row["pid"],
        row["uid"],
        row["labels"],
        row["status"],
        row["oom"],
        tuple(row["cgroups"]),
        row.get("frozen", False),
        row.get("peak", 0),
        _tally(row),
    )


def _tally(said: Mapping[str, Any]) -> Tally:
    """A host of the version before has counted nothing."""
    return Tally.from_json(said.get("tally", {}))


def _close(fds: Descriptors) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
