"""From a fork of the dyno host to an app: the straight story of one embryo, to be read from `embryo` downwards.

Ahead of time, when nobody waits: own namespaces, own cgroup, a small root with own /proc and /dev, no_new_privs. Then it
waits for a plan. With the plan: the overlay and binds from the mounts handed over, the network namespace, the uid in a
user namespace of its own, no capability, the filter of system calls, the start of the app. It ends as the dyno's PID 1 (init.py).
Until it has a plan it dies with its host; from then on it does not.
"""

import contextlib
import errno
import fcntl
import functools
import gc
import os
import resource
import signal
import socket
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import prctl

from dynod.jail import mounts, packets, seccomp
from dynod.jail import syscalls as k
from dynod.jail.init import hand_over, init
from dynod.jail.title import set_title
from dynod.model.jail import JailPlan, JoinPlan, Limits, Stdio

OOM_SCORE = "200"  # of all that runs here, dynos go first
# At one byte the kernel leaves out a handler of the machine's (core_pattern's |) too; at none it does not.
NO_CORE = (
    1,
    1,
)
NOT_FOUND, NOT_RUNNABLE = 127, 126  # as shells say
# Of a command that could not be started: the machine's, so the dyno is refused.
NO_FAULT_OF_ITS_OWN = (
    errno.EAGAIN,
    errno.ENOMEM,
)
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


@dataclass(frozen=True, slots=True)
class Handed:
    """The descriptors that come with a plan. `stdio`: log: write end, read end; pipe: stdin's read end, stdout's write end."""

    trees: mounts.Trees
    status: int
    netns: int | None
    stdio: tuple[int, ...]

    def flat(self) -> list[int]:
        network = [] if self.netns is None else [self.netns]
        return [*self.trees.lower, self.trees.scratch, *self.trees.binds, self.status, *network, *self.stdio]

    @classmethod
    def of(cls, plan: JailPlan, fds: Sequence[int]) -> "Handed":
        """Undo `flat`."""
        rest = iter(fds)
        lower = tuple(next(rest) for _ in plan.lower)
        scratch = next(rest)
        trees = mounts.Trees(lower, scratch, tuple(next(rest) for _ in plan.binds))
        return cls(trees, next(rest), next(rest) if plan.netns else None, tuple(rest))


def embryo(door: socket.socket, doors: Sequence[str], cradle: int, program: int | None) -> NoReturn:
    """Prepare, tell the host, wait for a plan, become a dyno. `doors`: see Cgroups; `cradle`: see mounts; `program`: see
    init.compiled.
    """
    try:
        prepare(door, doors, cradle, program)
        packets.send(door, {"ready": True})
        plan = JailPlan.from_json(packets.receive(door)[0])
        _, fds = packets.receive(door)
        prctl.set_pdeathsig(0)
        become(plan, Handed.of(plan, fds), door, program)
    except packets.Hung:
        os._exit(1)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the host hears of it
        packets.send(door, {"error": _say(error)})
        os._exit(1)


def prepare(door: socket.socket, doors: Sequence[str], cradle: int, program: int | None) -> None:
    """All that needs no plan."""
    prctl.set_pdeathsig(signal.SIGKILL)
    only([door.fileno(), cradle, *([] if program is None else [program])])
    gc.disable()
    os.setsid()
    signal.set_wakeup_fd(-1)
    default_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    set_title("dyno-init")
    prctl.set_name("dyno-init")
    os.umask(0o022)
    _write("/proc/self/oom_score_adj", OOM_SCORE)
    for path in doors:
        _write(path, "0")
    k.unshare(k.CLONE_NEWUTS | k.CLONE_NEWIPC | k.CLONE_NEWCGROUP)
    k.join_new_session_keyring()
    mounts.base(cradle)
    resource.setrlimit(resource.RLIMIT_CORE, NO_CORE)
    os.setgroups([])
    prctl.set_no_new_privs(1)
    rehearse()


def rehearse() -> None:
    """Go through the motions once, with nothing to act on: pages shared with the nursery are copied at the first touch,
    better now than when somebody waits.
    """
    nothing = JailPlan(
        "-", "-", 1, (("/", False),), (), "/", "", Limits(1, 1, 1), ("-",), {}, "/", Stdio.LOG, {}
    )
    ours, theirs = packets.pair()
    packets.send(ours, nothing.to_json(), [ours.fileno()])
    value, fds = packets.receive(theirs)
    Handed.of(JailPlan.from_json(value), [0] * 5).flat()
    packets.close(fds)
    ours.close()
    theirs.close()
    unbound()
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _write("/dev/null", "")
    for motion in (
        lambda: mounts.share(1 << 20, 0),
        lambda: mounts.assemble(mounts.Trees((), -1, ()), ()),
        lambda: k.openat2(-1, "-", os.O_PATH, 0),
        lambda: k.setns(-1, k.CLONE_NEWNET),
        lambda: k.unshare(-1),
        lambda: k.capset(0xFFFFFFFF),
        lambda: k.Filter(b"").install(),
    ):
        with contextlib.suppress(OSError):
            motion()


def become(plan: JailPlan, handed: Handed, door: socket.socket, program: int | None) -> NoReturn:
    """Build what the plan says around this process, start the app in it, and be its init."""
    mounts.share(plan.limits.shm, plan.limits.inodes)
    mounts.assemble(handed.trees, plan.binds)
    mounts.enter()
    _network(handed.netns)
    socket.sethostname(plan.hostname)
    _name(plan)
    resource.setrlimit(resource.RLIMIT_NOFILE, (plan.limits.files, plan.limits.files))
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    master, actions, complaints = _stdio(plan, handed.stdio)
    own_users(plan.uid)
    drop(plan.uid)
    app = start(plan, actions, complaints)
    packets.send(door, {"up": True}, [] if master is None else [master])
    keep = _kept(plan, handed.stdio)
    if program is not None:
        only([program, handed.status, *keep])
        hand_over(program, app, handed.status, keep)
    only([handed.status, *keep])
    init(app, handed.status)


def _name(plan: JailPlan) -> None:
    """Add the dyno's own name to its /etc/hosts, as at Heroku: at its addresses, where its asker labelled it with them."""
    own = [plan.labels[name] for name in ("address", "address6") if plan.labels.get(name)] or ["127.0.1.1"]
    lines = "".join(f"{address}\t{plan.hostname}\n" for address in own if not any(map(str.isspace, address)))
    with contextlib.suppress(OSError):  # a stack without one, or a slug that has made something else of it
        fd = os.open("/etc/hosts", os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, lines.encode())
        finally:
            os.close(fd)


def own_users(uid: int) -> None:
    """Go into a new user namespace that knows `uid` alone. All else around this process belongs to the machine's, so that
    even a capability that a hole in the kernel gave would be one over nothing.

    It is made as the dyno's uid, though by a privilege (a machine may refuse it to others): what is counted per user, as
    inotify's instances, is counted for a namespace's maker too, and must not add up over all dynos to root's share.
    Rejected: one made ahead by the host, for that reason. Rejected: mapping a root as well; the machine's own files would need
    idmapped mounts then, which not all its file systems know. They are seen as nobody's.
    """
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, 0)
    k.capset(k.CAP_SYS_ADMIN)
    k.unshare(k.CLONE_NEWUSER)
    prctl.set_dumpable(1)  # a change of uid made /proc/self root's; nobody else is in here yet
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{uid} {uid} 1")):
        _write(f"/proc/self/{name}", text)
    unbound()


def unbound() -> None:
    """Empty the bounding set (a new user namespace comes with a full one)."""
    for capability in range(_last_capability() + 1):
        prctl.capbset_drop(capability)


def drop(uid: int) -> None:
    """Become `uid` for good: no capability in any set (the bounding and ambient ones went before), not traceable, and
    only the system calls of calls.py from here on.
    """
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    k.capset(0)
    prctl.set_dumpable(0)
    seccomp.install()


def _network(netns: int | None) -> None:
    if netns is not None:
        k.setns(netns, k.CLONE_NEWNET)
        return
    k.unshare(k.CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def _stdio(plan: JailPlan, fds: Sequence[int]) -> tuple[int | None, list[tuple[Any, ...]], int]:
    """Give the terminal's master, if there is one, what makes the app's 0, 1 and 2, and where a complaint goes."""
    dup, new = os.POSIX_SPAWN_DUP2, os.POSIX_SPAWN_OPEN
    match plan.stdio:
        case Stdio.PTY:
            master, slave = os.openpty()
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", plan.lines, plan.columns, 0, 0))
            os.fchown(slave, plan.uid, plan.uid)
            # Opened by the leader of a new session, it becomes the session's controlling terminal.
            return master, [(new, 0, os.ttyname(slave), os.O_RDWR, 0), (dup, 0, 1), (dup, 0, 2)], slave
        case Stdio.PIPE:
            return None, [(dup, fds[0], 0), (dup, fds[1], 1), (dup, fds[1], 2)], fds[1]
        case Stdio.LOG:
            return None, [(new, 0, "/dev/null", os.O_RDONLY, 0), (dup, fds[0], 1), (dup, fds[0], 2)], fds[0]


def _kept(plan: JailPlan, fds: Sequence[int]) -> Sequence[int]:
    """Init keeps a log pipe's ends: no write fails while logplex is away, and a new host finds the pipe (dynos.py)."""
    return fds if plan.stdio is Stdio.LOG else ()


def start(plan: JailPlan | JoinPlan, actions: list[tuple[Any, ...]], complaints: int) -> int:
    """Start the main command in a session of its own; give its pid, or end as a shell does when it cannot be run.

    posix_spawn, because it shares this process's memory until the exec: a fork would copy page tables and then pages,
    which was most of a boot. Every descriptor is close-on-exec, so the app gets its three and no other.
    """
    try:
        os.chdir(plan.cwd)
    except OSError as error:
        return _give_up(complaints, f"cannot enter {plan.cwd}: {error.strerror}", NOT_RUNNABLE)
    status, reason = NOT_FOUND, "not found"
    for path in candidates(plan.argv[0], plan.env):
        try:
            return os.posix_spawn(path, plan.argv, plan.env, file_actions=actions, setsid=True, setsigmask=[])
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno in NO_FAULT_OF_ITS_OWN:
                raise OSError(error.errno, error.strerror, f"cannot fork to run {plan.argv[0]}") from error
            status, reason = NOT_RUNNABLE, str(error.strerror).lower()
    return _give_up(complaints, f"cannot run {plan.argv[0]}: {reason}", status)


def _give_up(complaints: int, text: str, status: int) -> int:
    """Say why on the dyno's own standard error, and be a main command that ends with `status`."""
    os.write(complaints, f"dynod: {text}\n".encode())
    app = os.fork()
    if app == 0:
        os._exit(status)
    return app


def candidates(name: str, env: Mapping[str, str]) -> list[str]:
    """Where a command may be: itself if it has a slash, else along PATH."""
    if "/" in name:
        return [name]
    return [f"{directory or '.'}/{name}" for directory in env.get("PATH", os.defpath).split(":")]


def only(keep: Sequence[int]) -> None:
    """Close every descriptor but those; 0, 1 and 2 become /dev/null unless they are kept."""
    kept = sorted(keep)
    low = 3
    for fd in kept:
        os.closerange(low, max(low, fd))
        low = max(low, fd + 1)
    os.closerange(low, 1 << 30)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        if number not in keep:
            os.dup2(null, number)
    if null > 2 and null not in keep:
        os.close(null)


def default_signals() -> None:
    """Python ignores some, a parent's shell others; an app begins with none of that."""
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signum, signal.SIG_DFL)


@functools.cache
def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # open() decides much more, and somebody waits
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _say(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'dyno'}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
