"""RUN/host.sock: who may ask, what they ask, and how answers and reports go back without ever blocking the loop."""

import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dynod.jail import packets
from dynod.jail.check import BadPlan, parse, parse_join
from dynod.jail.diary import say
from dynod.jail.dyno import Asked, Dyno
from dynod.jail.dynos import Dynos
from dynod.jail.loop import Loop
from dynod.jail.sessions import Session, Sessions
from dynod.model.jail import Stdio
from dynod.model.spoken import HOST

PAGE = 200  # dynos in one packet of `list`
BACKLOG = 64
QUEUED = 5_000  # packets a client may leave unread before it is hung up on
READER = frozenset({"hello", "pipes", "list"})  # what logplex asks
Peers = Mapping[int, frozenset[str] | None]
"""By uid: the operations that one may ask for, None for all. Empty: whoever can open the socket, for all."""


class Client:
    """One connection. `watching`: hears of exits; `piping`: gets log pipes; `may`: what it may ask for, None for all."""

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        on_lost: Callable[["Client"], None],
        may: frozenset[str] | None = None,
    ) -> None:
        self.sock, self._loop, self._on_lost, self.may = sock, loop, on_lost, may
        self._queue: deque[tuple[Any, list[int]]] = deque()
        self.watching = self.piping = self.lost = False

    def send(self, value: Any, fds: Sequence[int] = ()) -> None:
        """Send now or when there is room; the descriptors remain the caller's."""
        if self.lost:
            return
        if not self._queue:
            try:
                packets.send(self.sock, value, fds)
                return
            except BlockingIOError:
                self._loop.write(self.sock.fileno(), self._flush)
            except OSError:
                self._on_lost(self)
                return
        self._queue.append((value, [os.dup(fd) for fd in fds]))
        if len(self._queue) > QUEUED:
            self._on_lost(self)

    def close(self) -> None:
        self.lost = True
        self._loop.forget(self.sock.fileno())
        self.sock.close()
        for _, fds in self._queue:
            packets.close(fds)
        self._queue.clear()

    def _flush(self) -> None:
        while self._queue:
            value, fds = self._queue[0]
            try:
                packets.send(self.sock, value, fds)
            except BlockingIOError:
                return
            except OSError:
                self._on_lost(self)
                return
            packets.close(fds)
            self._queue.popleft()
        self._loop.write(self.sock.fileno(), None)


class Door:
    """The listening socket, its clients, and the table of operations."""

    def __init__(
        self, loop: Loop, dynos: Dynos, sessions: Sessions, facts: Callable[[], dict[str, Any]]
    ) -> None:
        self._loop, self._dynos, self._sessions, self._facts = loop, dynos, sessions, facts
        self._clients: set[Client] = set()
        self._operations: dict[str, Callable[[Client, dict[str, Any]], None]] = {
            "hello": self._hello,
            "exec": self._exec,
            "exec-signal": self._exec_signal,
            "exec-close": self._exec_close,
            "signal": self._signal,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "leavings": self._leavings,
            "list": self._list,
            "forget": self._forget,
            "watch": self._watch,
            "pipes": self._pipes,
            "stat": self._stat,
        }
        dynos.on_exit, dynos.on_pipe, dynos.on_gone = self._tell_exit, self._tell_pipe, self._tell_gone
        dynos.looks.tell = self._tell_disk
        sessions.on_end = self._tell_end

    def open(self, path: str, group: int | None, peers: Peers) -> None:
        """Listen at `path`: root and our own uid, and the members of `group` if one is given; of those, `peers` alone if there are any."""
        self._path, self._group, self._peers = path, group, peers
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        packets.widen(self._listener)
        old = os.umask(0o177 if group is None else 0o117)
        self._listener.bind(path)
        os.umask(old)
        if group is not None:
            os.chown(path, -1, group)
        self._listener.listen(BACKLOG)
        self._loop.read(self._listener.fileno(), self._accept)

    def close(self) -> None:
        self._listener.close()
        for client in list(self._clients):
            self._lose(client)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        _, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        # With a group the socket's mode decides, supplementary groups included, which SO_PEERCRED does not show.
        known = uid in self._peers if self._peers else self._group is not None
        if not known and uid not in (0, os.geteuid()):
            say(f"refused uid {uid} gid {gid}")
            sock.close()
            return
        sock.setblocking(False)
        packets.widen(sock)
        client = Client(sock, self._loop, self._lose, self._peers.get(uid))
        self._clients.add(client)
        self._loop.read(sock.fileno(), lambda: self._hear(client))

    def _lose(self, client: Client) -> None:
        if not client.lost:
            self._clients.discard(client)
            client.close()
            self._sessions.left(client)

    def _hear(self, client: Client) -> None:
        try:
            asked, fds = packets.receive(client.sock)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            if not isinstance(error, packets.Hung):
                say(f"hung up on a client: {error}")
            self._lose(client)
            return
        name = asked.get("op") if isinstance(asked, dict) else None
        if client.may is not None and name not in client.may:
            packets.close(fds)
            seq = asked.get("seq") if isinstance(asked, dict) else None
            client.send({"op": "failed", "seq": seq, "id": "", "error": f"cannot do {name!r} for you"})
            return
        if name == "boot":
            self._boot(client, asked, fds)
            return
        packets.close(fds)  # nobody else hands us any
        if operation := self._operations.get(str(name)):
            operation(client, asked)
        else:
            seq = asked.get("seq") if isinstance(asked, dict) else None
            client.send(
                {"op": "failed", "seq": seq, "id": "", "error": f"cannot do {name!r}: no such operation"}
            )

    def _answer(
        self, client: Client, asked: dict[str, Any]
    ) -> Callable[[Mapping[str, Any], list[int]], None]:
        def answer(value: Mapping[str, Any], fds: list[int]) -> None:
            client.send({**value, "seq": asked.get("seq")}, fds)
            packets.close(fds)  # the client has them, or is gone

        return answer

    def _boot(self, client: Client, asked: dict[str, Any], fds: list[int]) -> None:
        """Start a dyno. `fds`: none, or (for pipe) the two ends that the dyno is to have, made by the asker."""
        answer = self._answer(client, asked)
        try:
            plan = parse(asked.get("plan"))
            if fds and (plan.stdio is not Stdio.PIPE or len(fds) != 2):
                raise BadPlan(
                    f"cannot start {plan.id}: {len(fds)} descriptors came with it; a pipe dyno takes two"
                )
        except BadPlan as error:
            packets.close(fds)
            answer({"op": "failed", "id": "", "error": str(error)}, [])
            return
        self._dynos.boot(Asked(plan, asked["plan"], fds, answer))

    def _hello(self, client: Client, asked: dict[str, Any]) -> None:
        why = HOST.refusal(asked)
        said = {"op": "failed", "id": "", "error": why} if why else {"op": "done", **HOST.hello()}
        client.send({**said, "seq": asked.get("seq")})

    def _exec(self, client: Client, asked: dict[str, Any]) -> None:
        answer = self._answer(client, asked)
        try:
            plan = parse_join(asked)
        except BadPlan as error:
            answer({"op": "failed", "id": "", "error": str(error)}, [])
            return
        self._sessions.begin(plan, self._dynos.all.get(plan.id), client, answer)

    def _exec_signal(self, client: Client, asked: dict[str, Any]) -> None:
        session, signum = str(asked.get("session")), asked.get("signal")
        why = self._sessions.signal(session, signum if isinstance(signum, int) else 0)
        said = {"op": "failed", "id": session, "error": why} if why else {"op": "done"}
        client.send({**said, "seq": asked.get("seq")})

    def _exec_close(self, client: Client, asked: dict[str, Any]) -> None:
        self._sessions.close(str(asked.get("session")))
        client.send({"op": "done", "seq": asked.get("seq")})

    def _signal(self, client: Client, asked: dict[str, Any]) -> None:
        id, signum = str(asked.get("id")), asked.get("signal")
        why = self._dynos.signal(id, signum if isinstance(signum, int) else 0)
        said = {"op": "failed", "id": id, "error": why} if why else {"op": "done"}
        client.send({**said, "seq": asked.get("seq")})

    def _freeze(self, client: Client, asked: dict[str, Any]) -> None:
        self._dynos.freeze(str(asked.get("id")), self._answer(client, asked))

    def _thaw(self, client: Client, asked: dict[str, Any]) -> None:
        id = str(asked.get("id"))
        why = self._dynos.thaw(id)
        said = {"op": "failed", "id": id, "error": why} if why else {"op": "done"}
        client.send({**said, "seq": asked.get("seq")})

    def _forget(self, client: Client, asked: dict[str, Any]) -> None:
        self._dynos.forget(str(asked.get("id")), self._answer(client, asked))

    def _leavings(self, client: Client, asked: dict[str, Any]) -> None:
        """Answer with a descriptor of the upper layer: what the dyno changed, for whoever wants to list it."""
        id, answer = str(asked.get("id")), self._answer(client, asked)
        try:
            answer({"op": "done"}, [self._dynos.upper(id)])
        except OSError as error:
            answer({"op": "failed", "id": id, "error": f"cannot see what {id} wrote: {error.strerror}"}, [])

    def _list(self, client: Client, asked: dict[str, Any]) -> None:
        rows = [self._row(dyno) for dyno in self._dynos.all.values() if dyno.answer is None]
        for start in range(0, max(len(rows), 1), PAGE):
            page, end = rows[start : start + PAGE], start + PAGE >= len(rows)
            client.send({"op": "dynos", "seq": asked.get("seq"), "dynos": page, "end": end})

    def _row(self, dyno: Dyno) -> dict[str, Any]:
        record = dyno.record
        return {
            "id": record.id,
            "pid": record.pid,
            "uid": record.uid,
            "labels": record.labels,
            "status": dyno.ended.status if dyno.ended else None,
            "oom": dyno.ended.oom if dyno.ended else False,
            "peak": dyno.ended.peak if dyno.ended else 0,
            "tally": dyno.ended.tally if dyno.ended else {},
            "cgroups": self._dynos.groups(dyno),
            "frozen": self._dynos.frozen(dyno),
        }

    def _watch(self, client: Client, asked: dict[str, Any]) -> None:  # noqa: ARG002  # an operation's shape
        client.watching = True
        for dyno in self._dynos.all.values():
            if dyno.ended:
                client.send(_exited(dyno))

    def _pipes(self, client: Client, asked: dict[str, Any]) -> None:  # noqa: ARG002  # an operation's shape
        client.piping = True
        for dyno in self._dynos.all.values():
            if dyno.log is not None and dyno.answer is None:
                self._pipe_to(client, dyno)

    def _stat(self, client: Client, asked: dict[str, Any]) -> None:
        client.send({"op": "stats", "seq": asked.get("seq"), "clients": len(self._clients), **self._facts()})

    def _tell_exit(self, dyno: Dyno) -> None:
        for client in [one for one in self._clients if one.watching]:
            client.send(_exited(dyno))

    def _tell_disk(self, dyno: Dyno) -> None:
        said = {"op": "disk", "id": dyno.record.id, "fault": dyno.fault, "disk": dyno.record.disk}
        for client in [one for one in self._clients if one.watching]:
            client.send(said)

    def _tell_end(self, session: Session, status: int) -> None:
        plan = session.plan
        for client in [one for one in self._clients if one.watching]:
            client.send({"op": "exec-ended", "id": plan.id, "session": plan.session, "status": status})

    def _tell_pipe(self, dyno: Dyno) -> None:
        for client in [one for one in self._clients if one.piping]:
            self._pipe_to(client, dyno)

    def _tell_gone(self, id: str) -> None:
        for client in [one for one in self._clients if one.piping]:
            client.send({"op": "gone", "id": id})

    def _pipe_to(self, client: Client, dyno: Dyno) -> None:
        assert dyno.log is not None
        client.send({"op": "pipe", "id": dyno.record.id, "labels": dyno.record.labels}, [dyno.log])


def _exited(dyno: Dyno) -> dict[str, Any]:
    assert dyno.ended is not None
    ended = dyno.ended
    return {
        "op": "exited",
        "id": dyno.record.id,
        "status": ended.status,
        "oom": ended.oom,
        "peak": ended.peak,
        "tally": ended.tally,
    }
