"""`dynod host`: the dyno host, a single-threaded fork server. It boots, signals and reaps dynos from plans (door.py says
what may be asked) and is exec'd, so that a fork copies little. SIGTERM ends the host and leaves the dynos running, to be
adopted by the next one; with --end-dynos it ends them too and leaves nothing behind.
"""

import argparse
import fcntl
import grp
import os
import pwd
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from dynod.lean import blank, settle, without

with blank("ast"):  # half a MiB, which inspect has for source texts; dataclasses begin with inspect
    import inspect  # noqa: F401

from dataclasses import dataclass

from dynod.jail import cgroups, seccomp, title
from dynod.jail.check import Rules
from dynod.jail.diary import say
from dynod.jail.disks import Disks
from dynod.jail.door import READER, Door, Peers
from dynod.jail.dynos import Dynos
from dynod.jail.idmap import Maps
from dynod.jail.init import compiled
from dynod.jail.looks import Looks
from dynod.jail.loop import Loop
from dynod.jail.nursery import Nursery
from dynod.jail.pool import Pool
from dynod.jail.sessions import Sessions
from dynod.jail.slots import Slots
from dynod.jail.sweep import Sweeping
from dynod.model.jail import Limits
from dynod.unit import unit

with without("_hashlib"):  # OpenSSL would be 2 MiB in each process, for one digest
    import hashlib


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("dynod host", description="Boot, signal and reap dynos from plans.")
    parser.add_argument(
        "--run", required=True, metavar="DIR", help="sockets and records; does not outlive the machine"
    )
    parser.add_argument("--state", required=True, metavar="DIR", help="slugs, stacks and scratch directories")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="DIR", help="dynos may see what is below"
    )
    parser.add_argument("--warm", type=int, default=4, metavar="N", help="embryos kept ready (4)")
    parser.add_argument("--uid-first", type=int, default=200_000, metavar="U")
    parser.add_argument("--uid-count", type=int, default=4_000, metavar="N")
    parser.add_argument(
        "--cgroup", default="", metavar="DIR", help="a delegated cgroup directory (version 2)"
    )
    parser.add_argument(
        "--socket-group",
        default="",
        metavar="GROUP",
        help="who may ask besides root, all of it unless the next two are named",
    )
    parser.add_argument(
        "--operator", default="", metavar="USER", help="who may ask for everything: the control plane's user"
    )
    parser.add_argument(
        "--reader", default="", metavar="USER", help="who may ask for log pipes alone: logplex's user"
    )
    parser.add_argument(
        "--init",
        default=f"{os.path.dirname(sys.executable)}/dyno-init",
        metavar="FILE",
        help="what a dyno's PID 1 becomes, if it is there (init.c, compiled)",
    )
    parser.add_argument(
        "--look",
        type=float,
        default=20.0,
        metavar="S",
        help="seconds between looks whether a disk is full (20)",
    )
    parser.add_argument("--end-dynos", action="store_true", help="on SIGTERM end the dynos too")
    return parser.parse_args(argv)


ANY = Limits(memory=1, tasks=1, cpu=1, disk=1)  # for which only the disk counts
FIRST = -10  # nice: dynos that take every processor hold up neither a boot nor a stop


def lock(run: str) -> int:
    """One host per RUN. A lock of the process, not of the descriptor: embryos and inits must not inherit it."""
    fd = os.open(f"{run}/host.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"dynod host: cannot start: another dyno host serves {run}") from None
    return fd


def uid_of(name: str) -> int:
    """Find a user by name or number; root if none is named. Raise KeyError."""
    return 0 if not name else int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit status is 0 then, 1 with a line when it cannot start."""
    options = arguments(argv)
    if os.geteuid() != 0:
        raise SystemExit(
            "dynod host: cannot start: it must be root to make namespaces; the rest of dynod need not be"
        )
    for directory in (options.run, options.state):
        os.makedirs(directory, exist_ok=True)
    run, state = os.path.realpath(options.run), os.path.realpath(options.state)
    lock(run)
    try:
        group = grp.getgrnam(options.socket_group).gr_gid if options.socket_group else None
        operator, reader = (uid_of(name) for name in (options.operator, options.reader))
        groups = cgroups.choose(hashlib.sha256(run.encode()).hexdigest()[:8], options.cgroup, operator)
        groups.prepare()
        seccomp.here()  # once, before anything is forked
        title.place()
    except (OSError, KeyError) as error:
        raise SystemExit(f"dynod host: cannot start: {error}") from error
    unit()  # before anything is forked that could speak in our name
    os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    allowed = tuple(os.path.realpath(path) for path in options.allow)
    rules = Rules(state, run, allowed, options.uid_first, options.uid_count, operator)
    peers: Peers = {uid: may for uid, may in ((reader, READER), (operator, None)) if uid}
    serve(rules, groups, group, peers, options)
    return 0


@dataclass(frozen=True, slots=True)
class Host:
    """All that serves, wired together; `end_dynos`: whether they end with it."""

    loop: Loop
    groups: cgroups.Cgroups
    nursery: Nursery
    sweeping: Sweeping
    maps: Maps
    slots: Slots
    dynos: Dynos
    sessions: Sessions
    warm: int
    end_dynos: bool

    def facts(self) -> dict[str, Any]:
        dynos, live = self.dynos, sum(not dyno.ended for dyno in self.dynos.all.values())
        return {
            "live": live,
            "ended": len(dynos.all) - live,
            "ready": dynos.pool.ready,
            "growing": dynos.pool.growing,
            "warm": self.warm,
            "cgroup": self.groups.version,
            "disk": str(dynos.disks.way(ANY)),
            "slots": self.slots.ready,
            "pid": os.getpid(),
        }

    def stop(self) -> None:
        """Begin nothing more, and let the loop end once nothing is under way."""
        self.dynos.pool.close()
        self.maps.close()
        self.slots.close()
        if self.end_dynos:
            self.dynos.end_all()
        self.loop.until(lambda: not (self._busy() or (self.end_dynos and self._lives())))

    def _busy(self) -> bool:
        return bool(self.dynos.pool.growing or self.sweeping.busy or self.slots.busy)

    def _lives(self) -> bool:
        return bool(self.dynos.all or self.sessions.all)


def wired(rules: Rules, groups: cgroups.Cgroups, base: str, options: argparse.Namespace) -> Host:
    """Make the parts and tell them of each other. `base`: an empty directory, for the roots of dynos that are being made."""
    loop = Loop()
    settle()  # before the forks: a collection afterwards would write to pages that all share
    nursery = Nursery(loop, base, compiled(options.init))
    sweeping = Sweeping(loop, groups)
    maps = Maps(nursery.holder)
    dynos = Dynos(loop, groups, rules, f"{rules.run}/host", maps, sweeping.sweep, sweeping.freeze)

    def discard(name: str) -> None:
        sweeping.sweep([], name, "", lambda error: None)  # noqa: ARG005  # the next start removes it

    def no_slot(why: str) -> None:
        dynos.refuse_next(why)
        dynos.serve()

    slots = Slots(loop, f"{rules.state}/dynos/.slots", options.warm, dynos.serve, no_slot)
    dynos.pool = Pool(loop, groups, nursery, options.warm, discard, dynos.serve, dynos.refuse_next)
    dynos.disks = Disks(rules, sweeping.sweep, slots, maps)
    dynos.looks = Looks(loop, dynos.disks, dynos.all, options.look)
    sessions = Sessions(loop, nursery, groups)
    return Host(
        loop, groups, nursery, sweeping, maps, slots, dynos, sessions, options.warm, options.end_dynos
    )


def serve(
    rules: Rules, groups: cgroups.Cgroups, group: int | None, peers: Peers, options: argparse.Namespace
) -> None:
    """Wire all together, adopt, open the door, run, and clear up."""
    directory, base = f"{rules.run}/host", f"{rules.run}/host.root"
    for made in (directory, base):
        os.makedirs(made, mode=0o700, exist_ok=True)
    host = wired(rules, groups, base, options)
    loop, dynos = host.loop, host.dynos
    door = Door(loop, dynos, host.sessions, host.facts)

    def stop() -> None:
        door.close()
        host.stop()

    signals = _signals(loop, stop)
    dynos.adopt()
    host.maps.fill()
    dynos.pool.fill()
    door.open(f"{rules.run}/host.sock", group, peers)
    unit().beat(loop.after)
    unit().say("READY=1")
    say(f"serves {rules.run}/host.sock, cgroups version {groups.version}")
    loop.run()
    host.slots.end()
    host.nursery.close()  # so late, because it reaps the dynos
    signals.close()
    os.rmdir(base)
    if options.end_dynos:
        os.rmdir(directory)
        host.slots.remove()
        os.unlink(f"{rules.run}/host.lock")
        groups.remove()


def _signals(loop: Loop, stop: Callable[[], None]) -> socket.socket:
    """Turn SIGTERM and SIGINT into a call of the loop, once; the kernel's end of the pair is the caller's to close."""
    ours, kernels = socket.socketpair()
    kernels.setblocking(False)

    def hear() -> None:
        loop.forget(ours.fileno())
        ours.close()
        stop()

    signal.set_wakeup_fd(kernels.fileno(), warn_on_full_buffer=False)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: None)
    loop.read(ours.fileno(), hear)
    return kernels


if __name__ == "__main__":
    raise SystemExit(main())
