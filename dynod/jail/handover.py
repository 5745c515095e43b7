"""What a dyno is handed with its plan, opened by the host in the machine's own mounts: trees, network namespace, pipes.

Each function adds what it opened to `opened`, so that a boot that fails half-way closes it all.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from dynod.jail import mounts
from dynod.jail.check import Rules
from dynod.jail.idmap import Maps
from dynod.model.jail import JailPlan, Stdio

PIPE_SIZE = 1024 * 1024  # what a log pipe holds while logplex is away


@dataclass(frozen=True, slots=True)
class Pipes:
    """The dyno's ends, and those that its asker or logplex gets."""

    theirs: tuple[int, ...]
    ours: tuple[int, ...]


def trees(plan: JailPlan, rules: Rules, maps: Maps, scratch: int, opened: list[int]) -> mounts.Trees:
    """Open every source as a detached mount; `scratch` is one already."""

    def one(path: str, *, writable: bool, idmap: bool) -> int:
        fd = mounts.source(path, rules)
        try:
            userns = _map(fd, path, plan.uid, maps) if idmap else 0
            opened.append(mounts.tree(fd, path, writable=writable, userns=userns))
        finally:
            os.close(fd)
        return opened[-1]

    lower = tuple(one(path, writable=False, idmap=idmap) for path, idmap in plan.lower)
    binds = tuple(one(bind.source, writable=bind.writable, idmap=bind.idmap) for bind in plan.binds)
    return mounts.Trees(lower, scratch, binds)


def _map(fd: int, path: str, uid: int, maps: Maps) -> int:
    owner = os.fstat(fd)
    try:
        return maps.fd(owner.st_uid, owner.st_gid, uid)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def make_scratch(scratch: str) -> None:
    try:
        os.mkdir(scratch, 0o700)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(scratch), 0o711, exist_ok=True)
        os.mkdir(scratch, 0o700)


def make_layers(scratch: str) -> None:
    """Make what overlay needs, once a quota is on the directory around it."""
    for name in ("upper", "work", "upper/tmp"):
        os.mkdir(f"{scratch}/{name}", 0o755)
    os.chmod(f"{scratch}/upper/tmp", 0o1777)  # noqa: S103  # as every /tmp


def netns(plan: JailPlan, opened: list[int]) -> int | None:
    """Opened here, in the machine's own mounts: an embryo's may be older than the namespace."""
    if not plan.netns:
        return None
    fd = os.open(plan.netns, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    opened.append(fd)
    if os.major(os.fstat(fd).st_dev) != 0 or not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(22, "no network namespace", plan.netns)
    return fd


def pipes(plan: JailPlan, opened: list[int]) -> Pipes:
    """Make the dyno's pipes; give its ends and ours. They are the dyno's own files: it may open /dev/stdout."""
    if plan.stdio is Stdio.PTY:
        return Pipes((), ())
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    opened += (out_read, out_write)
    os.fchown(out_write, plan.uid, plan.uid)
    if plan.stdio is Stdio.LOG:
        with contextlib.suppress(PermissionError):  # the machine's soft limit for pipes: it holds less then
            fcntl.fcntl(out_write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        return Pipes((out_write, out_read), (out_read,))
    in_read, in_write = os.pipe2(os.O_CLOEXEC)
    opened += (in_read, in_write)
    os.fchown(in_read, plan.uid, plan.uid)
    return Pipes((in_read, out_write), (in_write, out_read))


def given(plan: JailPlan, stdio: Sequence[int]) -> Pipes:
    """Take the ends of the asker's own pipes as the dyno's; none are ours."""
    for fd in stdio:
        # A FIFO of the machine's has a name, and would be the dyno's from then on.
        if not stat.S_ISFIFO(os.fstat(fd).st_mode) or not os.readlink(f"/proc/self/fd/{fd}").startswith(
            "pipe:"
        ):
            raise OSError(22, "a descriptor that came with the plan is no pipe")
        os.fchown(fd, plan.uid, plan.uid)
    return Pipes(tuple(stdio), ())


def log_of(pid: int) -> int | None:
    """Find the log pipe of an adopted dyno: its init holds the read end."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            if stat.S_ISFIFO(os.stat(path).st_mode):
                return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return None
