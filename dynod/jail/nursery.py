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

from dynod.jail import mounts, packets
from dynod.jail import syscalls as k
from dynod.jail.diary import say
from dynod.jail.enter import default_signals, embryo, only
from dynod.jail.idmap import hold
from dynod.jail.join import joiner
from dynod.jail.loop import Loop
from dynod.jail.title import set_title

Born = Callable[[int, int, str], None]
AGAIN = 1.0  # seconds until the host tries again to fork a nursery, when the machine takes no process


class Nursery:
    """The host's handle. One that dies is started again, and its embryos, which die with it, are asked for again."""

    def __init__(self, loop: Loop, base: str, program: int | None) -> None:
        """`base`: an empty directory for embryos to mount on; `program`: what their inits become (init.compiled)."""
        self._loop, self._base, self._program = loop, base, program
        self._waiting: dict[str, Born] = {}
        self._door: socket.socket | None = None
        self._start()

    def embryo(self, name: str, door: socket.socket, doors: Sequence[str], born: Born) -> None:
        """Fork an embryo at the far end of which `door` is; then call born(pid, pidfd, '') or, where none could
        be forked, born(0, -1, why). See enter.embryo.
        """
        self._waiting[name] = born
        self._send({"embryo": name, "doors": list(doors)}, door)
        if self._door is None:  # the next nursery, who may be there by then, knows nothing of this one
            self._loop.after(0.0, lambda: self._disappoint([name]))

    def holder(self, door: socket.socket) -> None:
        """Fork a holder (idmap.hold), which says its pid through `door`."""
        self._send({}, door)

    def joiner(self, door: socket.socket) -> None:
        """Fork a joiner (join.joiner), which waits at `door` for what it is to join."""
        self._send({"join": True}, door)

    def close(self) -> None:
        """Let it go, and with it every embryo that has no plan."""
        if self._door is None:
            return
        self._loop.forget(self._door.fileno())
        self._door.close()
        self._door = None
        os.waitpid(self._pid, 0)

    def _send(self, value: dict[str, Any], door: socket.socket) -> None:
        if self._door is None:
            return  # a holder's or a joiner's user sees the end of its door
        with contextlib.suppress(
            packets.Hung
        ):  # it died: _hear starts it again, and a holder's user sees its end
            packets.send(self._door, value, [door.fileno()])

    def _start(self) -> None:
        ours, theirs = packets.pair()
        try:
            self._pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if self._pid == 0:
            try:
                nursery(theirs, self._base, self._program)
            finally:
                os._exit(1)
        theirs.close()
        self._door = ours
        self._loop.read(ours.fileno(), self._hear)

    def _start_again(self) -> None:
        try:
            self._start()
        except OSError as error:
            say(f"cannot fork a nursery: {error.strerror}; trying again in a second")
            self._loop.after(AGAIN, self._start_again)

    def _hear(self) -> None:
        assert self._door is not None
        try:
            said, pidfds = packets.receive(self._door)
        except packets.Hung:
            self.close()
            self._start_again()
            self._disappoint(list(self._waiting))
            return
        born = self._waiting.pop(said["embryo"])
        if "error" in said:
            born(0, -1, said["error"])
        else:
            born(said["pid"], pidfds[0], "")

    def _disappoint(self, names: Sequence[str]) -> None:
        for name in names:
            if (born := self._waiting.pop(name, None)) is not None:
                born(0, -1, "there is no process to fork it")


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
    mounts.apart(os.path.dirname(base))
    own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        try:
            asked, (fd,) = packets.receive(door)
        except packets.Hung:
            os._exit(0)
        theirs = socket.socket(fileno=fd)
        if "embryo" in asked:
            try:
                pid = _bear(theirs, asked["doors"], base, program, own_pid_namespace)
            except OSError as error:  # no process, no memory, no further namespace
                packets.send(door, {"embryo": asked["embryo"], "error": error.strerror})
            else:
                pidfd = os.pidfd_open(pid)
                packets.send(door, {"embryo": asked["embryo"], "pid": pid}, [pidfd])
                os.close(pidfd)
        else:
            _fork_or_hang_up(theirs, join="join" in asked)
        theirs.close()


def _fork_or_hang_up(theirs: socket.socket, *, join: bool) -> None:
    """Fork a joiner or a holder. Where that fails its user finds the door closed."""
    try:
        pid = os.fork()
    except OSError as error:
        say(f"cannot fork a {'joiner' if join else 'holder'}: {error.strerror}")
        return
    if pid == 0:
        if join:
            joiner(theirs)
        hold(theirs)


def _bear(
    theirs: socket.socket, doors: Sequence[str], base: str, program: int | None, own_pid_namespace: int
) -> int:
    """Fork a child that is PID 1 of a new pid namespace; the nursery's later children are in its own again."""
    k.unshare(k.CLONE_NEWPID)
    try:
        pid = os.fork()
        if pid == 0:
            embryo(theirs, doors, base, program)
    finally:
        k.setns(own_pid_namespace, k.CLONE_NEWPID)
    return pid
