"""Commands that were started in dynos that run: one session each, from `exec` to its end. The host's side; join.py does it.

A session ends with its command, with its dyno, with the client that asked, and with this host: it is not adopted, as its
status could only go to whoever asked.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dynod.jail import packets
from dynod.jail.cgroups import Cgroups
from dynod.jail.dyno import KILLED, Answer, Dyno
from dynod.jail.loop import Loop
from dynod.jail.nursery import Nursery
from dynod.model.jail import JoinPlan, Stdio

MOST = 32  # sessions in one dyno


@dataclass(slots=True)
class Session:
    """`door`: to its joiner. `answer` is set until the command runs; `handed_out`: the asker's ends, until it got them."""

    plan: JoinPlan
    asker: object
    door: socket.socket
    answer: Answer | None
    handed_out: tuple[int, ...]


class Sessions:
    """`on_end(session, status)` reports to whoever watches."""

    def __init__(self, loop: Loop, nursery: Nursery, cgroups: Cgroups) -> None:
        self._loop, self._nursery, self._cgroups = loop, nursery, cgroups
        self.all: dict[str, Session] = {}
        self.on_end: Callable[[Session, int], None]

    def begin(self, plan: JoinPlan, dyno: Dyno | None, asker: object, answer: Answer) -> None:
        """Start a command; `answer` gets `executed` with descriptors, or `failed`."""
        try:
            self._check(plan, dyno)
            assert dyno is not None
            theirs, mine = _pipes(plan, dyno.record.uid)
        except OSError as error:
            _fail(answer, plan, error.strerror or str(error))
            return
        ours, door = packets.pair()
        session = Session(plan, asker, ours, answer, mine)
        self.all[plan.session] = session
        self._nursery.joiner(door)
        door.close()
        record = dyno.record
        asked = {
            "plan": plan.to_json(),
            "init": record.pid,
            "uid": record.uid,
            "doors": self._cgroups.doors(record.cgroup),
        }
        with contextlib.suppress(packets.Hung):  # the nursery died: `_hear` sees the end
            packets.send(ours, asked, [dyno.pidfd, *theirs])
        packets.close(theirs)
        self._loop.read(ours.fileno(), lambda: self._hear(session))

    def signal(self, id: str, signum: int) -> str:
        """Send a signal to a session's command and its group; give why not, or ''."""
        session = self.all.get(id)
        if session is None or session.answer is not None:
            return f"cannot signal {id}: there is no such session"
        if not 1 <= signum < signal.SIGRTMIN:
            return f"cannot signal {id}: {signum} is no signal"
        self._tell(session, {"signal": signum})
        return ""

    def close(self, id: str) -> None:
        """Hang up: SIGHUP now, SIGKILL if that was not heeded for some seconds. The end is told as any other."""
        if session := self.all.get(id):
            self._tell(session, {"close": True})

    def left(self, asker: object) -> None:
        """Hang up all that this asker had."""
        for session in [one for one in self.all.values() if one.asker is asker]:
            self._tell(session, {"close": True})

    def _tell(self, session: Session, value: Mapping[str, Any]) -> None:
        with contextlib.suppress(packets.Hung):  # it has just ended, which will be told
            packets.send(session.door, value)

    def _check(self, plan: JoinPlan, dyno: Dyno | None) -> None:
        if dyno is None or dyno.ended or dyno.answer is not None or dyno.pidfd < 0:
            raise OSError(3, "it is not running")
        if plan.session in self.all:
            raise OSError(17, f"there is a session {plan.session} already")
        if sum(one.plan.id == plan.id for one in self.all.values()) >= MOST:
            raise OSError(11, f"it has {MOST} sessions already; end one first")

    def _hear(self, session: Session) -> None:
        try:
            said, fds = packets.receive(session.door)
        except packets.Hung:
            said, fds = {"error": "it was killed", "status": KILLED}, []
        if "up" in said and session.answer is not None:
            answer, session.answer = session.answer, None
            given = [*session.handed_out, *fds]
            session.handed_out = ()
            answer({"op": "executed", "session": session.plan.session, "pid": said["up"]}, given)
            return
        packets.close([*fds, *session.handed_out])
        self._loop.forget(session.door.fileno())
        session.door.close()
        del self.all[session.plan.session]
        if session.answer is not None:
            _fail(session.answer, session.plan, said.get("error", "it ended at once"))
        else:
            self.on_end(session, said.get("status", KILLED))


def _pipes(plan: JoinPlan, uid: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Make the command's pipes, as its own files; give its ends and the asker's."""
    if plan.stdio is Stdio.PTY:
        return (), ()
    opened: list[int] = []
    try:
        for _ in range(2):
            opened += os.pipe2(os.O_CLOEXEC)
        in_read, in_write, out_read, out_write = opened
        for fd in (in_read, out_write):
            os.fchown(fd, uid, uid)
    except OSError:
        packets.close(opened)
        raise
    return (in_read, out_write), (in_write, out_read)


def _fail(answer: Answer, plan: JoinPlan, why: str) -> None:
    error = f"cannot run {plan.argv[0]} in {plan.id}: {why}"
    answer({"op": "failed", "id": plan.id, "error": error}, [])
