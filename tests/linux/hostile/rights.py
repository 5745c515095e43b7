"""Doors to more rights and more than one's share: uids, capabilities, setuid programs, limits, priorities."""

import contextlib
import ctypes
import os
import resource
import signal
import struct

from door import CONFIG, LIBC, call, door, status

PR = {"securebits": (28, 1 << 0), "mm": (35, 8, 0, 0, 0)}
SETUID = ("su", "mount", "umount", "passwd", "newgrp", "chsh", "gpasswd", "sudo")

door("uid.setuid")(lambda: os.setuid(0) is None)
door("uid.setresuid")(lambda: os.setresuid(-1, 0, -1) is None)
door("uid.other-dyno")(lambda: os.setuid(CONFIG["other_uid"]) is None)
door("uid.setgid")(lambda: os.setgid(0) is None)
door("uid.setgroups")(lambda: os.setgroups([0]) is None)
door("uid.is-root")(lambda: 0 in os.getresuid() + os.getresgid() or bool(os.getgroups()))


@door("uid.map")
def user_map():
    """Other uids than one's own that the user namespace knows."""
    with open("/proc/self/uid_map") as file:
        return [line.split()[2] for line in file] != ["1"]


@door("uid.fsuid")
def fsuid():
    LIBC.setfsuid(0)
    return LIBC.setfsuid(-1) == 0


@door("uid.chown")
def chown():
    path = f"{CONFIG['home']}/owned-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    try:
        os.chown(path, 0, 0)
        return True
    finally:
        os.unlink(path)


def gains(path):
    """Start a program and look whose it is; posix_spawn returns once it has been exec'd."""
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, read, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    pid = os.posix_spawn(path, [path], {}, file_actions=actions)
    try:
        said = status(pid)
        return said["Uid"].split()[1] == "0" or int(said["CapEff"], 16) != 0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(write)


for one in SETUID:
    door(f"setuid.{one}", f"/usr/bin/{one}")(gains)


@door("setuid.own-copy")
def own_copy():
    """A copy with the bit set, given to nobody."""
    path = f"{CONFIG['home']}/setuid-{os.getpid()}"
    with open("/usr/bin/cat", "rb") as source, open(path, "wb") as copy:
        copy.write(source.read())
    os.chmod(path, 0o6755)
    try:
        return gains(path)
    finally:
        os.unlink(path)


@door("setuid.memfd")
def in_memory():
    fd = os.memfd_create("door", 0)
    with open("/usr/bin/cat", "rb") as source:
        os.write(fd, source.read())
    os.fchmod(fd, 0o6755)
    return gains(f"/proc/{os.getpid()}/fd/{fd}")


@door("setuid.file-capability")
def file_capability():
    """Give a program a capability of its own."""
    path = f"{CONFIG['home']}/capable-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o755))
    try:
        os.setxattr(path, "security.capability", struct.pack("IIIII", 0x2000001, 1 << 21, 0, 0, 0))
        return True
    finally:
        os.unlink(path)


@door("caps.have")
def capable():
    return any(int(value, 16) for name, value in status().items() if name.startswith("Cap"))


@door("caps.new-privileges")
def new_privileges():
    return status()["NoNewPrivs"] != "1"


@door("caps.unfiltered")
def unfiltered():
    return status()["Seccomp"] != "2"


def capset(number, inheritable=0):
    """Have one capability, and no other."""
    one = 1 << number
    return call(
        "capset", struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", one, one, inheritable, 0, 0, 0)
    )


door("caps.capset", 21)(capset)  # CAP_SYS_ADMIN


@door("caps.ambient")
def ambient():
    """One that survives an exec: CAP_NET_ADMIN."""
    capset(12, inheritable=1 << 12)
    return prctl(47, 2, 12, 0, 0)


def prctl(*arguments):
    if LIBC.prctl(*(ctypes.c_long(one) for one in arguments)) < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return True


for one, arguments in PR.items():
    door(f"prctl.{one}", *arguments)(prctl)


def raised(which):
    """One more than the hard limit, if there is one; locked memory counts as memory all the same."""
    _, hard = resource.getrlimit(which)
    if hard == resource.RLIM_INFINITY:
        return which != resource.RLIMIT_MEMLOCK
    with contextlib.suppress(ValueError):  # Python's word for EPERM
        resource.setrlimit(which, (hard + 1, hard + 1))
    return resource.getrlimit(which)[1] > hard


door("limit.files", resource.RLIMIT_NOFILE)(raised)
door("limit.core", resource.RLIMIT_CORE)(raised)
door("limit.locked", resource.RLIMIT_MEMLOCK)(raised)
door("limit.priority", resource.RLIMIT_RTPRIO)(raised)


@door("limit.open-files")
def open_files():
    """More descriptors than the plan says."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    return all(os.open("/dev/null", os.O_RDONLY) >= 0 for _ in range(CONFIG["files"] + 1))


@door("limit.inotify")
def inotify():
    """More of the kernel's watchers than descriptors."""
    return all(LIBC.inotify_init() >= 0 for _ in range(CONFIG["files"] + 1))


@door("limit.processes")
def fork_bomb():
    """As many as the plan allows and one."""
    born = []
    try:
        for _ in range(CONFIG["tasks"] + 1):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            born.append(pid)
        return True
    finally:
        for pid in born:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def more_memory(path):
    """Write more than the plan's memory where it costs memory; the kernel's OOM killer is to take the writer."""
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        fd = os.open(path, os.O_CREAT | os.O_RDWR) if path else os.memfd_create("door")
        if path:
            os.unlink(path)  # it goes with this child
        chunk = bytes(1 << 20)
        for _ in range(CONFIG["memory"] * 5 // 4 >> 20):
            os.write(fd, chunk)
        os._exit(7)
    _, code = os.waitpid(pid, 0)
    return os.WIFEXITED(code) and os.WEXITSTATUS(code) == 7


door("limit.shm", "/dev/shm/fill")(more_memory)
door("limit.memfd", "")(more_memory)


@door("priority.nice")
def nice():
    return os.nice(-1) is not None


@door("priority.oom-score")
def oom_score():
    """Let the kernel take others first when memory is short."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(CONFIG["oom_score"]))
    return True


@door("priority.real-time")
def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


@door("priority.deadline")
def deadline():
    return call("sched_setattr", 0, struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**6, 10**7, 10**7), 0)


@door("priority.disk")
def disk_first():
    return call("ioprio_set", 1, 0, 1 << 13 | 4)  # the real-time class


@door("core.dump")
def core_dump():
    """Crash where one may write, with whatever limit there is to have."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    at = f"{CONFIG['home']}/crash-{os.getpid()}"
    os.mkdir(at)
    pid = os.fork()
    if pid == 0:
        os.chdir(at)
        os.abort()
    _, code = os.waitpid(pid, 0)
    left = os.listdir(at)
    for name in left:
        os.unlink(f"{at}/{name}")
    os.rmdir(at)
    return bool(left) or os.WCOREDUMP(code)
