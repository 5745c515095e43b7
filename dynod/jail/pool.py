"""Embryos: processes forked ahead, each PID 1 of a new pid namespace and inside a cgroup of its own, waiting for a plan.

The pool keeps `size` of them, filled some moments after a boot, so that the app that was just started goes first. A boot
that finds the pool empty waits for the next embryo: there is no second, slower way to boot.
"""

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dynod.jail import packets
from dynod.jail.cgroups import Cgroups
from dynod.jail.diary import say
from dynod.jail.loop import Loop
from dynod.jail.nursery import Nursery
from dynod.jail.records import start_time
from dynod.jail.rest import BACK_OFF, Rest
from dynod.model.jail import Limits

SETTLE = 0.02  # seconds after a boot until the pool is filled
AT_ONCE = 4  # embryos being made


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
        nursery: Nursery,
        size: int,
        discard: Callable[[str], None],
        on_ready: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`discard(name)`: remove a group that is not needed any more."""
        self._loop, self._cgroups, self._nursery, self._size = loop, cgroups, nursery, size
        self._discard, self._on_ready, self._on_failed = discard, on_ready, on_failed
        self._ready: deque[Embryo] = deque()
        self._growing: dict[str, Embryo | None] = {}
        self._told: set[str] = set()  # of which it was said already why they fail
        self._rest = Rest(loop, self.fill)
        self._made = 0
        self._closed = False
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
        if self._ready:
            self._loop.after(SETTLE, self.fill)
        else:
            self.fill()
        return taken

    def fill(self) -> None:
        """Have as many made as are lacking, a few at a time."""
        lacking = max(self._size, self.wanted) - len(self._ready) - len(self._growing)
        for _ in range(min(lacking, AT_ONCE - len(self._growing))):
            if self._closed or not self._make():
                return

    def close(self) -> None:
        """End every embryo that has no plan; those that are still being forked remain `growing`, and end when born."""
        self._closed = True
        for one in [*self._ready, *(one for one in self._growing.values() if one)]:
            self._unwatch(one)
            self._growing.pop(one.name, None)
            self._bury(one)
        self._ready.clear()

    def _make(self) -> bool:
        self._made += 1
        name = f"embryo-{os.getpid()}-{self._made}"
        try:
            self._cgroups.make(name)
            limits = self._limit(name)
        except OSError as error:
            self._discard(name)
            self._fail(f"cannot make a cgroup for an embryo: {error}")
            return False
        ours, theirs = packets.pair()
        self._growing[name] = None
        self._nursery.embryo(
            name,
            theirs,
            self._cgroups.doors(name),
            lambda pid, pidfd, why: self._born(name, pid, pidfd, ours, limits, why),
        )
        theirs.close()
        return True

    def _limit(self, name: str) -> Limits | None:
        if self.usual is not None:
            try:
                self._cgroups.limit(name, self.usual)
            except OSError:  # the boot that asks for them is refused, with the reason
                return None
        return self.usual

    def _born(
        self, name: str, pid: int, pidfd: int, door: socket.socket, limits: Limits | None, why: str
    ) -> None:
        try:
            started = start_time(pid) if pidfd >= 0 else 0
        except (FileNotFoundError, ProcessLookupError):
            started = 0
        one = Embryo(name, pid, pidfd, started, door, limits)
        if started and not self._closed:
            self._growing[name] = one
            self._loop.read(door.fileno(), lambda: self._hear(one))
            self._loop.read(pidfd, lambda: self._died(one))
            return
        del self._growing[name]
        self._bury(one)
        if not self._closed:  # the nursery died, or the embryo did at once
            self._fail(f"cannot fork an embryo: {why or 'it ended before it was ready'}")

    def _hear(self, one: Embryo) -> None:
        try:
            said, _ = packets.receive(one.door)
        except packets.Hung:
            self._loop.forget(one.door.fileno())  # its pidfd tells the rest
            return
        if "error" in said:
            self._told.add(one.name)
            say(f"cannot prepare an embryo: {said['error']}")
            self._on_failed(said["error"])
        elif self._growing.pop(one.name, None):
            self._ready.append(one)
            self._on_ready()
            self.fill()

    def _died(self, one: Embryo) -> None:
        self._unwatch(one)
        unready = self._growing.pop(one.name, None) is not None
        told = one.name in self._told
        self._told.discard(one.name)
        if one in self._ready:
            self._ready.remove(one)
        self._bury(one)
        if unready and not told:  # killed: by the kernel, for want of memory in its cgroup
            self._fail("cannot prepare an embryo: it was killed before it was ready")
        else:
            self._loop.after(BACK_OFF, self.fill)

    def _fail(self, why: str) -> None:
        self._rest.because(why)
        self._on_failed(why)

    def _unwatch(self, one: Embryo) -> None:
        for fd in (one.door.fileno(), one.pidfd):
            with contextlib.suppress(KeyError):  # it hung up before
                self._loop.forget(fd)

    def _bury(self, one: Embryo) -> None:
        one.door.close()
        if one.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(one.pidfd, signal.SIGKILL)
            os.close(one.pidfd)
        self._discard(one.name)
