"""The parent of the workers: binds once, forks them, starts those that die again, passes SIGTERM on. It never touches a request.

It holds one listening socket per worker (SO_REUSEPORT, so that the kernel spreads the connections): a worker that is killed loses
the connections it had accepted, those still in its queue wait for its successor. On SIGUSR2 the program that is installed now takes
over (takeover.py). A worker whose loop no longer turns is killed (pulse.py); whether the master does is systemd's to watch.
"""

import contextlib
import ctypes
import fcntl
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from dynod.unit import unit
from router import takeover, tickets, worker
from router.pulse import ROUND, Pulse
from router.takeover import Legacy
from router.tls import new_context

BACKLOG = 1024
PR_SET_PDEATHSIG = 1
STOP_LIMIT = 35.0  # a little over the workers' own drain limit
WATCHED = 60.0  # seconds without a word, then systemd takes the master for stuck
SOON = 1.0  # a worker that lives shorter than this is started again after this, not at once

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2, signal.SIGIO}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. `fds`: listening sockets that came by inheritance, in place of `host` and `port`.

    `supervised`: systemd knows pids and port, so that there is no router.json, whose place only root may write to.
    """

    run: str
    state: str
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    fds: tuple[int, ...] = ()
    supervised: bool = False
    tls: tuple[str, int] | None = None  # where TLS is listened for
    tls_fds: tuple[int, ...] = ()
    look: float = ROUND  # seconds between two looks whether the workers turn


def listen(options: Options) -> list[socket.socket]:
    """Bind one socket per worker to one port; the first settles which, if it is 0."""
    if options.fds:
        return [socket.socket(fileno=fd) for fd in options.fds]
    return _bound(options.host, options.port, options.workers)


def listen_tls(options: Options) -> list[socket.socket]:
    """Bind, likewise, for TLS; nothing, where there is none."""
    if options.tls_fds:
        return [socket.socket(fileno=fd) for fd in options.tls_fds]
    return [] if options.tls is None else _bound(*options.tls, options.workers)


def _bound(host: str, port: int, workers: int) -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners = []
    for _ in range(workers):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        port = listener.getsockname()[1]
        listeners.append(listener)
    for listener in listeners:
        listener.listen(BACKLOG)
    return listeners


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce(run: str, address: str, pids: Sequence[int], tls: str | None = None) -> None:
    """Write RUN/router.json whole or not at all."""
    path = f"{run}/router.json"
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump({"listen": address, "tls": tls, "pids": list(pids)}, file)
    os.rename(f"{path}.new", path)


def _say_ready() -> None:
    """Tell systemd, and ask it to watch us: said by who keeps it, since a version before us in the same process may not."""
    unit().say(f"READY=1\nWATCHDOG_USEC={WATCHED * 1e6:.0f}")


class Master:
    """Keeps one process per listener. `run` returns when all of them have ended after SIGTERM."""

    def __init__(
        self,
        options: Options,
        listeners: Sequence[socket.socket],
        tls: Sequence[socket.socket] = (),
        legacy: Legacy | None = None,
    ) -> None:
        self._options = options
        self._listeners = listeners
        self._tls = tls
        self._count = max(options.workers, len(listeners))
        self._context = new_context()  # made before the forks: a session's ticket is good at every worker
        self._chain = (
            tickets.Chain.read(legacy.tickets)
            if legacy is not None and legacy.tickets
            else tickets.Chain.begun(os.urandom(32), time.time())
        )
        self._tickets = tickets.Tickets(self._chain)
        self._keyed = bool(tls) and self._tickets.key(self._context)
        self._workers: dict[int, tuple[int, float]] = {}  # pid -> (which, since)
        self._starting: dict[int, int] = {}  # those that do not serve yet: pid -> where they say that they do
        self._taken: set[int] = set(legacy.workers) if legacy is not None else set()  # the old program's
        self._old = set(self._taken)  # all that are to go, told or not
        self._due: dict[int, float] = {}  # which -> when to start it
        self._pulse = Pulse()
        self._look = time.monotonic() + options.look
        self._stopping = False
        self._address = _address(listeners[0])
        self._tls_address = _address(tls[0]) if tls else None

    def run(self) -> None:
        """Start all, then live on signals alone."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two descriptors per request under way
        gc.disable()  # we make no garbage, and a collection would write to pages that all share
        gc.collect()
        gc.freeze()
        for which in range(self._count):
            self._start(which)
        if not self._taken:
            self._announce()
            _say_ready()
        limit = float("inf")
        while self._workers or self._old or not self._stopping:
            now = time.monotonic()
            until = min([limit, self._look, *self._due.values()])
            info = signal.sigtimedwait(_SIGNALS, max(0.0, min(until - now, 3600.0)))
            if info is not None and info.si_signo in {signal.SIGTERM, signal.SIGINT} and not self._stopping:
                self._stopping = True
                unit().say("STOPPING=1")
                self._due.clear()
                for listener in (*self._listeners, *self._tls):
                    listener.close()  # the workers take what waits there, and nobody waits longer
                limit = time.monotonic() + STOP_LIMIT
                self._signal(signal.SIGTERM)
            if info is not None and info.si_signo == signal.SIGUSR2 and not self._stopping:
                self._hand_over()
            if time.monotonic() >= limit:
                self._signal(signal.SIGKILL)
                limit = float("inf")
            self._look_after()
            changed = self._reap() | self._start_due()
            if self._took_over() or (changed and not self._taken):
                self._announce()

    def _start(self, which: int) -> None:
        master = os.getpid()
        self._chain.written(time.time())  # a key that is too old to be used is not passed on
        ready, says = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._be_worker(which, master, says)
        os.close(says)
        fcntl.fcntl(ready, fcntl.F_SETOWN, master)
        fcntl.fcntl(ready, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)  # SIGIO when there is news
        self._starting[pid] = ready
        self._workers[pid] = (which, time.monotonic())
        self._pulse.born(pid)

    def _look_after(self) -> None:
        """Tell systemd that we turn, and kill a worker that does not: it holds connections that nobody serves."""
        if time.monotonic() < self._look:
            return
        self._look = time.monotonic() + self._options.look
        unit().say("WATCHDOG=1")
        for pid in self._pulse.stuck() if not self._stopping else ():
            _log.warning("worker %d does not turn any more, it is killed", pid)
            os.kill(pid, signal.SIGKILL)

    def _served(self) -> bool:
        """Whether every worker serves by now."""
        for pid, ready in list(self._starting.items()):
            with contextlib.suppress(BlockingIOError):
                said = os.read(ready, 1)
                if pid not in self._workers:
                    os.close(self._starting.pop(pid))
                elif said:
                    fcntl.fcntl(ready, fcntl.F_SETFL, os.O_NONBLOCK)  # no SIGIO for the next ones
                    self._pulse.watch(pid, self._starting.pop(pid))
        return len(self._workers) == self._count and not self._starting

    def _took_over(self) -> bool:
        """Send the old program's workers away, once, when ours serve."""
        served = self._served()
        if not self._taken or not served or self._stopping:
            return False
        for pid in self._taken & self._old:
            os.kill(pid, signal.SIGUSR1)
        self._taken.clear()
        _say_ready()
        _log.warning("took over, %d workers of before are leaving", len(self._old))
        return True

    def _hand_over(self) -> None:
        """Become the program that is installed now, if it starts; else go on."""
        if self._taken or (why := takeover.refusal()):
            _log.warning(
                "cannot hand over: %s", "one who took over is not done with it" if self._taken else why
            )
            return
        unit().say("RELOADING=1\nWATCHDOG_USEC=0")  # another version may know no watchdog
        for ready in self._starting.values():
            os.close(ready)
        takeover.become(
            Legacy(
                tuple(each.fileno() for each in self._listeners),
                tuple(each.fileno() for each in self._tls),
                (*self._workers, *self._old),
                self._chain.written(time.time()),
            ),
            {"NOTIFY_SOCKET": unit().notify} if unit().notify else {},
        )

    def _be_worker(self, which: int, master: int, says: int) -> None:
        status = 1
        try:
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != master:
                os._exit(1)  # it died before we asked to follow it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            mine = self._listeners[which % len(self._listeners)]
            secure = self._secure(which)
            self._pulse.close()
            for listener in (*self._listeners, *self._tls):
                if listener is not mine and (secure is None or listener is not secure.listener):
                    listener.close()
            place = (which, self._count)
            every = self._options.look / 2
            worker.serve(self._options.run, self._options.state, mine, secure, place, says, every)
            status = 0
        except BaseException:  # noqa: BLE001  # a child of fork must never return into the parent's code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _secure(self, which: int) -> worker.Secure | None:
        if not self._tls:
            return None
        keyed = self._tickets.key if self._keyed else None
        return worker.Secure(self._tls[which % len(self._tls)], self._context, keyed)

    def _reap(self) -> bool:
        changed = False
        while self._workers or self._old:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            self._old.discard(pid)
            self._pulse.forget(pid)
            which, since = self._workers.pop(pid, (None, 0.0))
            if which is None or self._stopping:
                continue
            changed = True
            now = time.monotonic()
            _log.warning("worker %d ended with %d, starting another", pid, os.waitstatus_to_exitcode(status))
            self._due[which] = now if now - since > SOON else now + SOON
        return changed

    def _start_due(self) -> bool:
        now = time.monotonic()
        ready = [which for which, at in self._due.items() if at <= now]
        for which in ready:
            del self._due[which]
            self._start(which)
        return bool(ready)

    def _signal(self, number: signal.Signals) -> None:
        for pid in (*self._workers, *self._old):
            os.kill(pid, number)

    def _announce(self) -> None:
        if self._options.supervised:
            return
        announce(self._options.run, self._address, list(self._workers), self._tls_address)
