"""The nursery: the one process that forks embryos (and idmap's holders, and joiners), a child of the dyno host that does nothing else.

The host itself never forks while it serves: every fork makes all of the parent's pages copy-on-write, and the next boot
paid for it, page by page, with most of its time. The nursery's pages stay as they were at the start, so that
every dyno's init shares them. It reaps nobody by hand: SIGCHLD is ignored, and the host watches pidfds.
Rejected: clone with CLONE_PARENT, which Python's own fork handlers would not know of.
"""

import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import prctl

from dynod.jail import mounts, packets
from dynod.jail import syscalls as k
from dynod.jail.child import Child
from dynod.jail.diary import say
from dynod.jail.enter import embryo
from dynod.jail.idmap import hold
from dynod.jail.join import joiner
from dynod.jail.loop import Loop

Born = Callable[[int, int, str], None]


class Nursery:
    """The host's handle. When one dies its embryos die with it, and are asked for again of the next."""

    def __init__(self, loop: Loop, base: str, program: int | None) -> None:
        """`base`: an empty directory to mount on; `program`: what their inits become (init.compiled)."""
        self._loop = loop
        self._waiting: dict[str, Born] = {}
        self._child = Child(
            loop,
            "nursery",
            lambda door: nursery(door, base, program),
            self._hear,
            self._disappoint_all,
            lambda why: self._disappoint_all(),  # noqa: ARG005  # it was said
            () if program is None else (program,),
        )

    def embryo(self, name: str, door: socket.socket, doors: Sequence[str], born: Born) -> None:
        """Fork an embryo at the far end of which `door` is; then call born(pid, pidfd, '') or, where none could
        be forked, born(0, -1, why). See enter.embryo.
        """
        self._waiting[name] = born
        self._child.send({"embryo": name, "doors": list(doors)}, [door.fileno()])
        if not self._child.there:  # the next nursery, who may be there by then, knows nothing of this one
            self._loop.after(0.0, lambda: self._disappoint(name))

    def holder(self, door: socket.socket) -> None:
        """Fork a holder (idmap.hold), which says its pid through `door`. Who waits for one that is not forked sees the end of it."""
        self._child.send({}, [door.fileno()])

    def joiner(self, door: socket.socket) -> None:
        """Fork a joiner (join.joiner), which waits at `door` for what it is to join; likewise."""
        self._child.send({"join": True}, [door.fileno()])

    def close(self) -> None:
        """Let it go, and with it every embryo that has no plan."""
        self._child.close()

    def _hear(self, said: dict[str, Any], pidfds: list[int]) -> None:
        born = self._waiting.pop(said["embryo"])
        if "error" in said:
            born(0, -1, said["error"])
        else:
            born(said["pid"], pidfds[0], "")

    def _disappoint_all(self) -> None:
        for name in list(self._waiting):
            self._disappoint(name)

    def _disappoint(self, name: str) -> None:
        if (born := self._waiting.pop(name, None)) is not None:
            born(0, -1, "there is no process to fork it")


def nursery(door: socket.socket, base: str, program: int | None) -> NoReturn:
    """Serve until the host hangs up (packets.Hung)."""
    prctl.set_pdeathsig(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A joined command whose joiner was killed is ours to reap: its dyno's end waits for that.
    prctl.set_child_subreaper(1)
    cradle = mounts.cradle(base)
    own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        asked, (fd,) = packets.receive(door)
        theirs = socket.socket(fileno=fd)
        if "embryo" in asked:
            try:
                pid = _bear(theirs, asked["doors"], cradle, program, own_pid_namespace)
            except OSError as error:  # no process, no memory, no further namespace
                packets.send(door, {"embryo": asked["embryo"], "error": error.strerror})
            else:
                pidfd = os.pidfd_open(pid)
                packets.send(door, {"embryo": asked["embryo"], "pid": pid}, [pidfd])
                os.close(pidfd)
        else:
            _fork_or_hang_up(theirs, program, join="join" in asked)
        theirs.close()


def _fork_or_hang_up(theirs: socket.socket, program: int | None, *, join: bool) -> None:
    """Fork a joiner or a holder. Where that fails its user finds the door closed."""
    try:
        pid = os.fork()
    except OSError as error:
        say(f"cannot fork a {'joiner' if join else 'holder'}: {error.strerror}")
        return
    if pid == 0:
        if join:
            joiner(theirs)
        hold(theirs, program)


def _bear(
    theirs: socket.socket, doors: Sequence[str], cradle: int, program: int | None, own_pid_namespace: int
) -> int:
    """Fork a child that is PID 1 of a new pid namespace; the nursery's later children are in its own again."""
    k.unshare(k.CLONE_NEWPID)
    try:
        pid = os.fork()
        if pid == 0:
            embryo(theirs, doors, cradle, program)
    finally:
        k.setns(own_pid_namespace, k.CLONE_NEWPID)
    return pid
