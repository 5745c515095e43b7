"""What systemd gives a service and wants to hear from it: listening sockets in (LISTEN_FDS), readiness and heartbeats out (NOTIFY_SOCKET).

`unit()` reads the environment once and takes the words out of it, so that no child (git, a dyno) speaks in our name. Without
systemd there are no sockets and words go nowhere. sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3) say the rest;
rejected: the systemd package of PyPI, which needs a compiler and libsystemd for these forty lines.
"""

import contextlib
import os
import socket
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Any

FIRST_FD = 3  # SD_LISTEN_FDS_START
BEATS = 3  # heartbeats in the time after which systemd takes a service for dead


@dataclass(frozen=True, slots=True)
class Unit:
    """`sockets`: (FileDescriptorName, descriptor) in systemd's order; `patience`: seconds without a heartbeat, 0 for no watchdog."""

    sockets: tuple[tuple[str, int], ...] = ()
    notify: str = ""
    patience: float = 0.0

    def named(self, name: str) -> tuple[int, ...]:
        """Descriptors of that name."""
        return tuple(fd for known, fd in self.sockets if known == name)

    def listening_at(self, path: str) -> socket.socket | None:
        """Return the unix socket that systemd listens with at `path`, or None where there is none."""
        for _, fd in self.sockets:
            held = socket.socket(fileno=os.dup(fd))
            if held.family == socket.AF_UNIX and held.getsockname() == path:
                return held
            held.close()
        return None

    def say(self, word: str) -> None:
        """Tell systemd: READY=1, STOPPING=1, WATCHDOG=1 or STATUS=..., if it listens at all."""
        if not self.notify:
            return
        address = "\0" + self.notify[1:] if self.notify.startswith("@") else self.notify
        with (
            contextlib.suppress(OSError),  # a service outlives a systemd that does not hear
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door,
        ):
            door.sendto(word.encode(), address)

    def beat(self, later: Callable[..., Any]) -> None:
        """Send heartbeats for as long as a loop turns; `later` is its call_later or the like."""
        if self.patience:
            self.say("WATCHDOG=1")
            later(self.patience / BEATS, lambda: self.beat(later))


def read(environ: MutableMapping[str, str], pid: int) -> Unit:
    """Take what is meant for the process `pid` out of its environment."""
    given = {
        name: environ.pop(name, "")
        for name in (
            *("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"),
            *("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"),
        )
    }
    count = int(given["LISTEN_FDS"] or 0) if given["LISTEN_PID"] == str(pid) else 0
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    names += ["unknown"] * (count - len(names))
    beats = given["WATCHDOG_PID"] in ("", str(pid))
    patience = int(given["WATCHDOG_USEC"] or 0) / 1e6 if beats else 0.0
    sockets = tuple((name, FIRST_FD + place) for place, name in enumerate(names[:count]))
    return Unit(sockets, given["NOTIFY_SOCKET"], patience)


@cache
def unit() -> Unit:
    """Read what systemd gave this process; a process gets it once."""
    found = read(os.environ, os.getpid())
    for _, fd in found.sockets:
        os.set_inheritable(fd, False)
    return found
