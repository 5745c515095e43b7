"""What a dyno sees as its file system. Host side: `tree` opens a source as a detached mount, under the rules of check.py.
Dyno side: `base` makes, ahead of time, the small root that an embryo waits in (own /proc and /dev); `assemble` puts the
overlay and the binds on top of what the host handed over, and `enter` makes it the root. The machine's root is let go for
good in `base`, for a namespace that the nursery made empty before (`cradle`), by pivot_root and a detaching umount.

Sources travel as mount descriptors, not as paths: the embryo has let go of the machine's root long before it gets a
plan, sees mounts that were made since, needs no quoting of ':' and ',' for overlay, and no link in an app's tree can lead
anywhere. Rejected: paths opened by the embryo (a mount namespace copied before the mount was made does not have it).
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from dynod.jail import syscalls as k
from dynod.jail.check import Rules, place
from dynod.model.jail import Bind

LOWER, SCRATCH, NEW, EMPTY = "/lower", "/scratch", "/new", "/empty"
SMALL = "/small"
_OWN = "/proc/self/ns/mnt"
SAFE = k.MS_NOSUID | k.MS_NODEV
# As container engines do (moby's profile): what tells a dyno about the machine, or lets it change it. Those that exist.
MASKED = [
    "acpi",
    "asound",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "sched_debug",
    "scsi",
    "slabinfo",
    "timer_list",
    "timer_stats",
    "vmallocinfo",
]  # a list to be read as one
READ_ONLY = "bus driver fs irq mtrr sys sysrq-trigger".split()  # noqa: SIM905  # as above
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


@dataclass(frozen=True, slots=True)
class Trees:
    """Mount descriptors of one dyno, in the plan's order."""

    lower: tuple[int, ...]
    scratch: int
    binds: tuple[int, ...]


def source(path: str, rules: Rules) -> int:
    """Open a plan's source for naming only (O_PATH). Below STATE and RUN no link is followed, so it lies where it says."""
    root, rest = place(path, rules)
    if root == "/":  # the machine's own stack, where /lib is a link into /usr
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return k.openat2(
            top, rest, os.O_PATH, k.RESOLVE_BENEATH | k.RESOLVE_NO_SYMLINKS | k.RESOLVE_NO_MAGICLINKS
        )
    finally:
        os.close(top)


def tree(fd: int, path: str, *, writable: bool, userns: int = 0) -> int:
    """Give a detached mount of an opened source: private, nosuid, nodev, read-only unless writable, mapped by `userns`."""
    kind = os.fstat(fd).st_mode
    if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
        raise OSError(22, "neither a directory nor a file", path)
    deep = 0 if userns else k.AT_RECURSIVE
    mounted = k.open_tree(fd, "", k.OPEN_TREE_CLONE | k.OPEN_TREE_CLOEXEC | k.AT_EMPTY_PATH | deep)
    attributes = k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV
    attributes |= (0 if writable else k.MOUNT_ATTR_RDONLY) | (k.MOUNT_ATTR_IDMAP if userns else 0)
    try:
        k.mount_setattr(mounted, deep, attributes, k.MS_PRIVATE, userns)
    except OSError as error:
        os.close(mounted)
        why = "; its file system may not know idmapped mounts" if userns else ""
        raise OSError(error.errno, f"{error.strerror} (mount_setattr){why}", path) from error
    return mounted


def cradle(directory: str) -> int:
    """Give a mount namespace in which there is nothing but an empty read-only directory, made on `directory`: where embryos begin.

    So the machine's root is let go once for all of them. Each embryo by itself would copy all of the machine's mounts, dynos' pinned networks
    too, and pivot_root(2) looks at every process of the machine: 1 ms at a thousand dynos.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        k.unshare(k.CLONE_NEWNS)
        made = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        k.mount(None, "/", None, k.MS_REC | k.MS_PRIVATE)
        k.mount("tmpfs", directory, "tmpfs", SAFE, "mode=755,size=4k,nr_inodes=4")
        os.chdir(directory)
        os.mkdir("." + SMALL)
        k.mount(None, ".", None, k.MS_REMOUNT | k.MS_RDONLY | SAFE)
        k.pivot_root(".", ".")  # the old root lies on top of the new one now
        k.umount2(".", k.MNT_DETACH)
        k.setns(home, k.CLONE_NEWNS)
    finally:
        os.close(home)
    return made


def base(cradle: int) -> None:
    """Leave the machine's root for a copy of the cradle, and make the embryo's small root in it, with /proc and /dev ready."""
    k.setns(cradle, k.CLONE_NEWNS)
    os.close(cradle)
    k.unshare(k.CLONE_NEWNS)
    k.mount("tmpfs", SMALL, "tmpfs", SAFE, "mode=755,size=64k,nr_inodes=64")
    os.chdir(SMALL)
    for name in (SCRATCH, NEW, EMPTY, "/proc", "/dev", LOWER):
        os.mkdir("." + name, 0o755)
    _dev("./dev")
    _proc("./proc")
    _become_root()


def _proc(proc: str) -> None:
    flags = SAFE | k.MS_NOEXEC
    k.mount("proc", proc, "proc", flags)
    for name in READ_ONLY:
        if os.path.exists(f"{proc}/{name}"):
            k.mount(f"{proc}/{name}", f"{proc}/{name}", None, k.MS_BIND | k.MS_REC)
            k.mount(None, f"{proc}/{name}", None, k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY | flags)
    for name in MASKED:
        path = f"{proc}/{name}"
        if os.path.isdir(path):
            k.mount("." + EMPTY, path, None, k.MS_BIND)
            k.mount(None, path, None, k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY | flags)
        elif os.path.exists(path):
            k.mount("./dev/null", path, None, k.MS_BIND)


def _dev(dev: str) -> None:
    k.mount("tmpfs", dev, "tmpfs", k.MS_NOSUID | k.MS_NOEXEC, "mode=755,size=64k,nr_inodes=32")
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"{dev}/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(f"{dev}/{name}", 0o666)  # noqa: S103  # devices are for everybody; umask took it
    for name, target in DEVICE_LINKS.items():
        os.symlink(target, f"{dev}/{name}")
    os.mkdir(f"{dev}/pts", 0o755)
    os.mkdir(f"{dev}/shm", 0o1777)
    k.mount(
        "devpts", f"{dev}/pts", "devpts", k.MS_NOSUID | k.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"
    )
    k.mount("shm", f"{dev}/shm", "tmpfs", SAFE | k.MS_NOEXEC, "mode=1777")
    k.mount(None, dev, None, k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY | k.MS_NOSUID | k.MS_NOEXEC)


def assemble(trees: Trees, binds: Sequence[Bind]) -> None:
    """Put the dyno's file system together below /new: overlay, binds, then /proc and /dev."""
    for number, lower in enumerate(trees.lower):
        os.mkdir(f"{LOWER}/{number}")
        k.move_mount(lower, k.AT_FDCWD, f"{LOWER}/{number}")
    k.move_mount(trees.scratch, k.AT_FDCWD, SCRATCH)
    layers = ":".join(f"{LOWER}/{number}" for number in range(len(trees.lower)))
    # redirect_dir: an app may rename a directory that came with its slug, as on a plain disk.
    options = f"lowerdir={layers},upperdir={SCRATCH}/upper,workdir={SCRATCH}/work,volatile,redirect_dir=on"
    k.mount("overlay", NEW, "overlay", SAFE, options)
    top = os.open(NEW, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for bind, mounted in zip(binds, trees.binds, strict=True):
        k.move_mount(mounted, _target(top, bind.target, mounted), "")
    for own in ("proc", "dev"):
        _target(top, own, top)
        k.mount(f"/{own}", f"{NEW}/{own}", None, k.MS_MOVE)


def share(size: int, inodes: int) -> None:
    """Say how much /dev/shm takes (and with 0 files: as many as fit into memory)."""
    files = f",nr_inodes={inodes}" if inodes else ""
    k.mount(None, "/dev/shm", None, k.MS_REMOUNT | SAFE | k.MS_NOEXEC, f"size={size}{files}")  # a dyno's own


def enter() -> None:
    """Make /new the root, over the small one."""
    os.chdir(NEW)
    _become_root()


def _become_root() -> None:
    """Lay the mount that this process stands in over its root. No pivot: detaching a root waits for an RCU grace period, and what lies
    below is nothing but this dyno's own layers and the empty cradle, out of reach behind a mount that it cannot take away.
    """
    k.mount(".", "/", None, k.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def _target(top: int, path: str, like: int) -> int:
    """Open the mount point `path` inside the dyno, made if it is missing: a directory or a file as `like` is."""
    inside, steps = path.strip("/"), path.strip("/").split("/")
    # Whatever links the slug holds, they are followed as the dyno would: its own root is the top.
    rules = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS
    try:
        return k.openat2(top, inside, os.O_PATH, rules)
    except FileNotFoundError:
        parent = _target(top, "/".join(steps[:-1]), top) if len(steps) > 1 else top
        if stat.S_ISDIR(os.fstat(like).st_mode):
            os.mkdir(steps[-1], 0o755, dir_fd=parent)
        else:
            os.close(
                os.open(steps[-1], os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_WRONLY, 0o644, dir_fd=parent)
            )
        return k.openat2(top, inside, os.O_PATH, rules)
