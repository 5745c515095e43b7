"""Embryos: processes forked ahead, each PID 1 of a new pid namespace and inside a cgroup of its own, waiting for a plan.

The pool keeps `size` of them. They are made when the loop is idle, one fork at a time, so that a boot never waits behind
the refill unless the pool is empty; then it waits for the next embryo, and there is no second, slower way to boot.
"""

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dynod.jail import packets
from dynod.jail import syscalls as k
from dynod.jail.cgroups import Cgroups
from dynod.jail.diary import say
from dynod.jail.enter import embryo
from dynod.jail.loop import Loop
from dynod.jail.records import start_time
from dynod.model.jail import Limits

BACK_OFF = 1.0  # seconds until the pool tries again after an embryo failed
SETTLE = 0.02  # seconds after a boot until the pool is filled: the app goes first


@dataclass(frozen=True, slots=True)
class Embryo:
    """`name` is its cgroup's; `limits` are in force in it already, None if none are."""

    name: str
    pid: int
    pidfd: int
    started: int
    door: socket.socket
    limits: Limits | None


class Pool:
    """`on_ready()` is called when an embryo became ready, `on_failed(why)` when one could not be made."""

    def __init__(
        self,
        loop: Loop,
        cgroups: Cgroups,
        base: str,
        size: int,
        discard: Callable[[str], None],
        on_ready: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`base`: an empty directory; `discard(name)`: remove a group that is not needed any more."""
        self._loop, self._cgroups, self._base, self._size = loop, cgroups, base, size
        self._discard, self._on_ready, self._on_failed = discard, on_ready, on_failed
        self._ready: deque[Embryo] = deque()
        self._growing: dict[str, Embryo] = {}
        self._made = 0
        self._due = False
        self._closed = False
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self.wanted = 0  # boots that wait for an embryo
        self.usual: Limits | None = None  # most dynos have the same: put in force ahead

    @property
    def ready(self) -> int:
        return len(self._ready)

    @property
    def growing(self) -> int:
        return len(self._growing)

    def take(self) -> Embryo | None:
        """Hand out a ready embryo; it is the caller's from now on."""
        if not self._ready:
            self.fill()
            return None
        taken = self._ready.popleft()
        self._unwatch(taken)
        self._soon(SETTLE if self._ready else 0)
        return taken

    def fill(self) -> None:
        """Make one embryo when nobody else needs the loop, and so on until there are enough."""
        lacking = max(self._size, self.wanted) - len(self._ready) - len(self._growing)
        if lacking > 0 and not self._due and not self._closed:
            self._due = True
            self._loop.idle(self._make)

    def close(self) -> None:
        """End every embryo that has no plan, and wait for it."""
        self._closed = True
        for one in [*self._ready, *self._growing.values()]:
            self._unwatch(one)
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)
            self._bury(one)
        self._ready.clear()
        self._growing.clear()

    def _soon(self, seconds: float) -> None:
        if seconds:
            self._loop.after(seconds, self.fill)
        else:
            self.fill()

    def _make(self) -> None:
        self._due = False
        if self._closed:
            return
        self._made += 1
        name = f"embryo-{os.getpid()}-{self._made}"
        try:
            self._cgroups.make(name)
            made = self._fork(name, self._limit(name))
        except OSError as error:
            self._fail(name, f"cannot fork an embryo: {error}")
            return
        self._growing[name] = made
        self._loop.read(made.door.fileno(), lambda: self._hear(made))
        self._loop.read(made.pidfd, lambda: self._died(made))
        self.fill()

    def _limit(self, name: str) -> Limits | None:
        if self.usual is not None:
            try:
                self._cgroups.limit(name, self.usual)
            except OSError:  # the boot that asks for them is refused, with the reason
                return None
        return self.usual

    def _fork(self, name: str, limits: Limits | None) -> Embryo:
        """Fork a child that is PID 1 of a new pid namespace; our own later children go to ours again."""
        ours, theirs = packets.pair()
        k.unshare(k.CLONE_NEWPID)
        pid = -1
        try:
            pid = os.fork()
            if pid == 0:
                embryo(theirs, self._cgroups.doors(name), self._base)
        finally:
            if pid != 0:
                k.setns(self._own_pid_namespace, k.CLONE_NEWPID)
                theirs.close()
        return Embryo(name, pid, os.pidfd_open(pid), start_time(pid), ours, limits)

    def _hear(self, one: Embryo) -> None:
        try:
            said, _ = packets.receive(one.door)
        except packets.Hung:
            self._loop.forget(one.door.fileno())  # its pidfd tells the rest
            return
        if "error" in said:
            say(f"cannot prepare an embryo: {said['error']}")
            self._on_failed(said["error"])
        elif self._growing.pop(one.name, None):
            self._ready.append(one)
            self._on_ready()
            self.fill()

    def _died(self, one: Embryo) -> None:
        self._unwatch(one)
        os.waitpid(one.pid, 0)
        self._growing.pop(one.name, None)
        if one in self._ready:
            self._ready.remove(one)
        self._bury(one)
        self._loop.after(BACK_OFF, self.fill)

    def _fail(self, name: str, why: str) -> None:
        say(f"{why}")
        self._discard(name)
        self._on_failed(why)
        self._loop.after(BACK_OFF, self.fill)

    def _unwatch(self, one: Embryo) -> None:
        for fd in (one.door.fileno(), one.pidfd):
            with contextlib.suppress(KeyError):  # it hung up before
                self._loop.forget(fd)

    def _bury(self, one: Embryo) -> None:
        one.door.close()
        os.close(one.pidfd)
        self._discard(one.name)
