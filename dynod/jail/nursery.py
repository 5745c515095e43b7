"""The nursery: the one process that forks embryos (and idmap's holders, and joiners), a child of the dyno host that does nothing else.

The host itself never forks while it serves: every fork makes all of the parent's pages copy-on-write, and the next boot
paid for it, page by page, with most of its time. The nursery's pages stay as they were at the start, so that
every dyno's init shares them. It reaps nobody by hand: SIGCHLD is ignored, and the host watches pidfds.
Rejected: clone with CLONE_PARENT, which Python's own fork handlers would not know of.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import prctl

from dynod.jail import packets
from dynod.jail import syscalls as k
from dynod.jail.enter import default_signals, embryo, only
from dynod.jail.idmap import hold
from dynod.jail.join import joiner
from dynod.jail.loop import Loop
from dynod.jail.title import set_title

Born = Callable[[int, int], None]


class Nursery:
    """The host's handle. One that dies is started again, and its embryos, which die with it, are asked for again."""

    def __init__(self, loop: Loop, base: str, program: int | None) -> None:
        """`base`: an empty directory for embryos to mount on; `program`: what their inits become (init.compiled)."""
        self._loop, self._base, self._program = loop, base, program
        self._waiting: dict[str, Born] = {}
        self._start()

    def embryo(self, name: str, door: socket.socket, doors: Sequence[str], born: Born) -> None:
        """Fork an embryo at the far end of which `door` is; then call born(pid, pidfd). See enter.embryo."""
        self._waiting[name] = born
        self._send({"embryo": name, "doors": list(doors)}, door)

    def holder(self, door: socket.socket) -> None:
        """Fork a holder (idmap.hold), which says its pid through `door`."""
        self._send({}, door)

    def joiner(self, door: socket.socket) -> None:
        """Fork a joiner (join.joiner), which waits at `door` for what it is to join."""
        self._send({"join": True}, door)

    def close(self) -> None:
        """Let it go, and with it every embryo that has no plan."""
        self._loop.forget(self._door.fileno())
        self._door.close()
        os.waitpid(self._pid, 0)

    def _send(self, value: dict[str, Any], door: socket.socket) -> None:
        with contextlib.suppress(
            packets.Hung
        ):  # it died: _hear starts it again, and a holder's user sees its end
            packets.send(self._door, value, [door.fileno()])

    def _start(self) -> None:
        self._door, theirs = packets.pair()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                nursery(theirs, self._base, self._program)
            finally:
                os._exit(1)
        theirs.close()
        self._loop.read(self._door.fileno(), self._hear)

    def _hear(self) -> None:
        try:
            said, (pidfd,) = packets.receive(self._door)
        except packets.Hung:
            self.close()
            waiting, self._waiting = self._waiting, {}
            self._start()
            for born in waiting.values():
                born(0, -1)
            return
        self._waiting.pop(said["embryo"])(said["pid"], pidfd)


def nursery(door: socket.socket, base: str, program: int | None) -> NoReturn:
    """Serve until the host hangs up. Runs in a fresh child."""
    prctl.set_pdeathsig(signal.SIGKILL)
    only([door.fileno(), 2, *([] if program is None else [program])])
    set_title("dynod host: nursery")
    prctl.set_name("dynod-nursery")
    os.setsid()
    signal.set_wakeup_fd(-1)
    default_signals()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A joined command whose joiner was killed is ours to reap: its dyno's end waits for that.
    prctl.set_child_subreaper(1)
    own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        try:
            asked, (fd,) = packets.receive(door)
        except packets.Hung:
            os._exit(0)
        theirs = socket.socket(fileno=fd)
        if "embryo" in asked:
            pid = _bear(theirs, asked["doors"], base, program, own_pid_namespace)
            pidfd = os.pidfd_open(pid)
            packets.send(door, {"embryo": asked["embryo"], "pid": pid}, [pidfd])
            os.close(pidfd)
        elif os.fork() == 0:
            if "join" in asked:
                joiner(theirs)
            hold(theirs)
        theirs.close()


def _bear(
    theirs: socket.socket, doors: Sequence[str], base: str, program: int | None, own_pid_namespace: int
) -> int:
    """Fork a child that is PID 1 of a new pid namespace; the nursery's later children are in its own again."""
    k.unshare(k.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        embryo(theirs, doors, base, program)
    k.setns(own_pid_namespace, k.CLONE_NEWPID)
    return pid
