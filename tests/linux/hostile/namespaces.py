"""Doors out of the dyno's namespaces and its root: making new ones, joining others', mounting, other roots."""

import errno
import os
import signal
import struct

from door import COLUMN, CONFIG, LIBC, NUMBERS, call, door

KINDS = {
    "user": 0x10000000, "mnt": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000, "uts": 0x4000000,
    "cgroup": 0x2000000, "time": 0x80,
}  # fmt: skip
FILE_SYSTEMS = ("tmpfs", "proc", "sysfs", "devpts", "cgroup2", "mqueue", "overlay", "debugfs")
BIND, REC, REMOUNT, MOVE, PRIVATE = 0x1000, 0x4000, 0x20, 0x2000, 0x40000
PASSED = (errno.EINVAL, errno.ENOENT, errno.EBUSY, errno.EBADF)

for one, flag in KINDS.items():
    door(f"unshare.{one}", flag)(lambda flag: call("unshare", flag))


def reap(pid):
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


@door("clone.user")
def clone():
    pid = LIBC.syscall(NUMBERS["clone"][COLUMN], KINDS["user"] | signal.SIGCHLD, 0, 0, 0, 0)
    return pid >= 0 and reap(pid)


@door("clone3.user")
def clone3():
    """Its flags lie in memory, where no filter looks."""
    said = struct.pack("QQQQQ", KINDS["user"], 0, 0, 0, signal.SIGCHLD) + bytes(24)
    pid = LIBC.syscall(NUMBERS["clone3"][COLUMN], said, 64)
    return pid >= 0 and reap(pid)


def join(kind):
    """Join a namespace of init's, by the file of it."""
    fd = os.open(f"/proc/{CONFIG['pid']}/ns/{kind}", os.O_RDONLY)
    return call("setns", fd, KINDS[kind], passes=(errno.EINVAL,))


for one in KINDS:
    if one != "time":
        door(f"setns.{one}", one)(join)


@door("setns.pidfd")
def join_by_pidfd():
    return call("setns", os.pidfd_open(CONFIG["pid"]), KINDS["mnt"] | KINDS["net"])


@door("setns.parent")
def parent_namespace():
    """The user namespace above, by ioctl (NS_GET_PARENT), and the one that owns the network (NS_GET_USERNS)."""
    for kind, request in (("pid", 0xB702), ("net", 0xB701)):
        above = LIBC.ioctl(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY), request)
        if above >= 0 and call("setns", above, 0, passes=(errno.EINVAL,)):
            return True
    return False


def place():
    path = f"{CONFIG['home']}/mount-{os.getpid()}"
    os.makedirs(path, exist_ok=True)
    return path.encode()


def mount(kind):
    data = b"lowerdir=/usr,upperdir=/tmp,workdir=/tmp" if kind == "overlay" else None
    return call("mount", b"door", place(), kind.encode(), 0, data, passes=PASSED)


for one in FILE_SYSTEMS:
    door(f"mount.{one}", one)(mount)


@door("mount.bind")
def bind():
    return call("mount", b"/usr", place(), None, BIND | REC, None)


@door("mount.move")
def move():
    return call("mount", b"/usr", place(), None, MOVE, None, passes=PASSED)


@door("mount.writable")
def writable():
    """Make /proc/sys writable again (outside: just any mount, to itself)."""
    if CONFIG["pid"] == 1:
        return call("mount", None, b"/proc/sys", None, REMOUNT | BIND, None)
    at = place()
    return call("mount", at, at, None, BIND, None) and call("mount", None, at, None, REMOUNT | BIND, None)


@door("mount.propagation")
def propagation():
    return call("mount", None, b"/", None, PRIVATE | REC, None)


@door("umount.proc-mask")
def umount():
    """Take away what hides /proc/kcore (outside: what is no mount)."""
    return call("umount2", b"/proc/kcore" if CONFIG["pid"] == 1 else place(), 2, passes=PASSED)


GATES = {
    "mount.open_tree": ("open_tree", -100, b"/usr", 1),
    "mount.move_mount": ("move_mount", -1, b"", -100, b"/tmp", 4),
    "mount.fsopen": ("fsopen", b"tmpfs", 0),
    "mount.fspick": ("fspick", -100, b"/", 0),
    "mount.setattr": ("mount_setattr", -100, b"/", 0, bytes(32), 32),
    "root.pivot": (
        "pivot_root",
        b"/",
        b"/",
    ),  # busy at best: /tmp may be a mount, and would become everybody else's root
    "root.chroot": ("chroot", b"/tmp"),
}

for name, arguments in GATES.items():
    door(name, *arguments)(lambda *words: call(*words, passes=PASSED))


@door("root.chroot-escape")
def chroot_escape():
    """The classic: a root below the working directory, then up."""
    top = os.open("/", os.O_RDONLY)
    os.mkdir(at := f"{CONFIG['home']}/jail-{os.getpid()}")
    os.chroot(at)
    os.fchdir(top)
    for _ in range(40):
        os.chdir("..")
    return True
