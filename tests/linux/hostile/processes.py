"""Doors into other processes, and what was left open for this one."""

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import struct
import termios

from door import CONFIG, LIBC, call, door

SEIZE, ATTACH, DETACH = 0x4206, 16, 17


@door("ptrace.seize")
def seize():
    return call("ptrace", SEIZE, CONFIG["pid"], 0, 0)


@door("ptrace.attach")
def attach():
    return call("ptrace", ATTACH, CONFIG["pid"], 0, 0)


@door("process_vm_readv")
def vm_read():
    """Memory of init's: where its own code lies would do, but to be asked is enough."""
    ours = ctypes.create_string_buffer(8)
    local = struct.pack("QQ", ctypes.addressof(ours), 8)
    remote = struct.pack("QQ", 0x1000, 8)
    return call("process_vm_readv", CONFIG["pid"], local, 1, remote, 1, 0, passes=(errno.EFAULT,))


@door("pidfd_getfd")
def steal():
    """A descriptor of init's: the pipe that its logs go through, its status file."""
    return call("pidfd_getfd", os.pidfd_open(CONFIG["pid"]), 0, 0)


@door("process_madvise")
def advise():
    vector = struct.pack("QQ", 0x1000, 4096)
    return call(
        "process_madvise",
        os.pidfd_open(CONFIG["pid"]),
        vector,
        1,
        20,
        0,
        passes=(errno.EINVAL, errno.ENOMEM, errno.EFAULT),
    )


@door("kcmp")
def compare():
    return call("kcmp", CONFIG["pid"], os.getpid(), 1, 0, 0)


@door("prlimit.init-raise")
def raise_inits_limit():
    """Give init more than it has: what it starts would have it too. (Less, an app may give its own init.)"""
    held = ctypes.create_string_buffer(16)
    if LIBC.prlimit(CONFIG["pid"], resource.RLIMIT_NOFILE, None, held) < 0:
        raise OSError(ctypes.get_errno(), "prlimit")
    more = struct.unpack("QQ", held.raw)[1] + 1
    return LIBC.prlimit(CONFIG["pid"], resource.RLIMIT_NOFILE, struct.pack("QQ", more, more), None) == 0


@door("signal.host")
def signal_host():
    """A process of the host, by its number there."""
    os.kill(CONFIG["host"], 0)
    return True


@door("sysv.memory")
def shared_memory():
    """A segment that the host made, by its key."""
    return LIBC.shmget(CONFIG["shm"], 0, 0) >= 0


@door("uts.name")
def host_name():
    return socket.gethostname() == CONFIG["hostname"]


@door("leak.descriptors")
def descriptors():
    """Whatever was open besides 0, 1 and 2 (a door has no descriptor of its own)."""
    return bool([name for name in os.listdir("/proc/self/fd") if int(name) > 3])


@door("leak.sockets")
def sockets():
    return any(stat.S_ISSOCK(os.stat(f"/proc/self/fd/{fd}").st_mode) for fd in (0, 1, 2))


@door("leak.directories")
def directories():
    """A directory among the open files, or a working directory that is none of ours."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISDIR(os.stat(f"/proc/self/fd/{name}").st_mode):
                return True
        except OSError:
            continue  # the listing's own
    return not os.getcwd().startswith("/app")


@door("leak.environment")
def environment():
    return bool(set(os.environ) - {"PATH", "HOME", "LC_CTYPE", "PWD", "SHLVL", "_"})


@door("tty.inject")
def inject():
    """TIOCSTI: type a command into a terminal that is not one's own session's."""
    _, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
    return True


@door("tty.session")
def take_terminal():
    """Take a terminal away from the session that it controls."""
    _, terminal = os.openpty()
    has, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        os.write(tell, b"x")
        signal.pause()
    try:
        os.read(has, 1)
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 1)
    finally:
        os.kill(pid, signal.SIGKILL)
    return True
