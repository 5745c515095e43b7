"""One more command in a dyno that runs: the story of one joiner, to be read from `joiner` downwards. sessions.py asks for it.

A fork of the nursery joins the dyno's cgroup and namespaces, becomes its uid, and starts the command. It stays outside the
dyno's pid namespace (only children enter one), waits there as the command's parent, and ends with it. What a hostile dyno
might do meanwhile, and why it cannot:

- Find it, signal it, read it: the joiner has no pid in there, so nothing in the dyno can name it. All that needs root happens
  before the namespaces are joined; what comes after opens no file of the dyno's until the uid is the dyno's.
- Look into the child between fork and exec (its descriptors, its memory, /proc/PID/exe: CVE-2016-9962): it shares our
  non-dumpable memory, so ptrace, pidfd_getfd and those links are refused to a uid without capabilities; the kernel closes
  what is close-on-exec, which is everything, before the new program becomes dumpable.
- Overwrite the host's program through /proc/self/exe (CVE-2019-5736): a command `#!/proc/self/exe` gets it as its interpreter,
  which is then one more process of the dyno's uid. Writing it takes a root that no dyno is or is mapped onto.
- Leave through a descriptor as working directory (cwd /proc/self/fd/7, CVE-2024-21626): at chdir we are the dyno's uid, a
  socket, /dev/null and the streams are open and no directory, and /proc/self is nobody in the dyno's /proc.
- Have us run its code: after joining, an import would look in the dyno's file system, so nothing can be imported any more.

Rejected: nsenter (a program more, that stays privileged until exec); joining as the dyno's init's child (init is one page).
"""

import fcntl
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
from collections.abc import Sequence
from typing import Any, NoReturn

import prctl

from dynod.jail import packets
from dynod.jail import syscalls as k
from dynod.jail.enter import NO_CORE, OOM_SCORE, default_signals, drop, only, start
from dynod.jail.init import SIGNALLED
from dynod.jail.title import set_title
from dynod.model.jail import JoinPlan, Stdio

EVERYTHING = (
    k.CLONE_NEWNS | k.CLONE_NEWPID | k.CLONE_NEWNET | k.CLONE_NEWIPC | k.CLONE_NEWUTS | k.CLONE_NEWCGROUP
)
TIOCGPTN = 0x80045430  # which number a terminal has below /dev/pts
GRACE = 5.0  # seconds from SIGHUP to SIGKILL for a command whose client has gone


def joiner(door: socket.socket) -> NoReturn:
    """Wait for what is to be joined, join, start the command, tell, and be there until it has ended. Runs in a fresh child."""
    try:
        seclude(door)
        asked, fds = packets.receive(door)
        plan = JoinPlan.from_json(asked["plan"])
        join(fds[0], asked["init"], asked["uid"], asked["doors"])
        command, master = begin(plan, fds[1:])
        packets.send(door, {"up": command}, [] if master is None else [master])
        only([door.fileno()])
        attend(door, command)
    except packets.Hung:
        os._exit(1)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the host hears of it
        packets.send(door, {"error": _say(error)})
        os._exit(1)


def seclude(door: socket.socket) -> None:
    """Hold nothing but the door, show nothing, and inherit nobody's ways with signals."""
    prctl.set_dumpable(0)
    only([door.fileno()])
    gc.disable()
    os.setsid()
    signal.set_wakeup_fd(-1)
    default_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    set_title("dyno-join")
    prctl.set_name("dyno-join")
    os.umask(0o022)
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    k.join_new_session_keyring()


def join(pidfd: int, init: int, uid: int, doors: Sequence[str]) -> None:
    """Go under the dyno's limits, into its namespaces, and be its uid for good. `init`: its PID 1, which `pidfd` is."""
    if uid <= 0:
        raise PermissionError(1, "a dyno is never root")
    files = _files_of(init)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, NO_CORE)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(OOM_SCORE)
    for path in doors:
        with open(path, "w") as file:
            file.write("0")
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    os.setgroups([])
    own, theirs = (os.readlink(f"/proc/{pid}/ns/user") for pid in ("self", init))
    users = 0 if own == theirs else k.CLONE_NEWUSER  # a dyno of an older host may have none of its own
    sys.meta_path.clear()
    sys.path.clear()
    # Fails when the dyno has ended, so that a pid used again was read for nothing.
    k.setns(pidfd, EVERYTHING | users)
    os.close(pidfd)
    for capability in range(last + 1):
        prctl.capbset_drop(capability)
    prctl.set_no_new_privs(1)
    drop(uid)


def _files_of(pid: int) -> int:
    """How many open files a process may have; read as text, as prlimit(2) asks for a capability that a container's root lacks."""
    with open(f"/proc/{pid}/limits") as file:
        return next(int(line.split()[3]) for line in file if line.startswith("Max open files"))


def begin(plan: JoinPlan, stdio: Sequence[int]) -> tuple[int, int | None]:
    """Start the command in a session of its own; give its pid as the host counts, and its terminal's master if it has one."""
    dup = os.POSIX_SPAWN_DUP2
    if plan.stdio is Stdio.PTY:
        master, slave = os.openpty()
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", plan.lines, plan.columns, 0, 0))
        (number,) = struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))
        new: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, f"/dev/pts/{number}", os.O_RDWR, 0)]
        # Opened by the leader of a new session, it becomes the session's controlling terminal.
        return start(plan, [*new, (dup, 0, 1), (dup, 0, 2)], slave), master
    given, taken = stdio
    return start(plan, [(dup, given, 0), (dup, taken, 1), (dup, taken, 2)], taken), None


def attend(door: socket.socket, command: int) -> NoReturn:
    """Pass signals on until the command has ended, and tell its status. A host that hangs up has ended the session."""
    ended = os.pidfd_open(command)
    listening, patience, closing = [door.fileno()], None, False
    while ended not in (ready := select.select([*listening, ended], [], [], patience)[0]):
        asked: dict[str, Any] = {"close": True}
        if not ready:
            asked, patience = {"signal": signal.SIGKILL}, None
        else:
            try:
                asked, _ = packets.receive(door)
            except packets.Hung:
                listening = []
        if "signal" in asked:
            _signal(command, asked["signal"])
        elif not closing:
            _signal(command, signal.SIGHUP)
            closing, patience = True, GRACE
    _, code = os.waitpid(command, 0)
    status = os.waitstatus_to_exitcode(code)
    if listening:
        packets.send(door, {"status": status if status >= 0 else SIGNALLED - status})
    os._exit(0)


def _signal(command: int, signum: int) -> None:
    """To the command and what it started: we have not buried it, so the group's number is its own. Sent as the dyno's uid."""
    os.killpg(command, signum)


def _say(error: BaseException) -> str:
    match error:
        case ProcessLookupError():
            return "it has ended"
        case OSError():
            return f"{error.filename or 'dyno'}: {error.strerror}"
        case _:
            return f"{type(error).__name__}: {error}"
