"""Doors that are files: the kernel's in /proc and /sys, devices, the host's, other dynos'."""

import ctypes
import errno
import os
import stat

from door import CONFIG, call, door, openable, passes, read

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
]
SETTINGS = [
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/hotplug",
    "kernel/sysrq",
    "kernel/kptr_restrict",
    "kernel/dmesg_restrict",
    "kernel/randomize_va_space",
    "kernel/unprivileged_bpf_disabled",
    "kernel/ns_last_pid",
    "kernel/hostname",
    "kernel/shmmax",
    "vm/overcommit_memory",
    "vm/drop_caches",
    "vm/nr_hugepages",
    "fs/file-max",
    "fs/protected_hardlinks",
    "net/ipv4/ip_forward",
    "user/max_user_namespaces",
]
OTHERS = ("sysrq-trigger", "irq/default_smp_affinity", "mtrr", "bus/pci/devices")
OF_INIT = [
    "environ",
    "mem",
    "root",
    "cwd",
    "exe",
    "fd",
    "maps",
    "auxv",
    "io",
    "stack",
    "syscall",
    "pagemap",
    "personality",
    "ns",
]
DEVICES = {  # type, major, minor
    "mem": (stat.S_IFCHR, 1, 1),
    "kmsg": (stat.S_IFCHR, 1, 11),
    "port": (stat.S_IFCHR, 1, 4),
    "fuse": (stat.S_IFCHR, 10, 229),
    "tun": (stat.S_IFCHR, 10, 200),
    "loop": (stat.S_IFBLK, 7, 0),
    "sda": (stat.S_IFBLK, 8, 0),
    "vda": (stat.S_IFBLK, 254, 0),
}


def shows(path):
    """A file that gives bytes; a directory that has entries."""
    if os.path.isdir(path):
        return bool(os.listdir(path))
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if path == "/proc/kmsg":  # what is read there is gone for everybody
        return stat.S_ISREG(os.fstat(fd).st_mode)
    return bool(os.read(fd, 64))


for one in MASKED:
    door(f"proc.{one}", f"/proc/{one}")(shows)
for one in SETTINGS:
    door(f"proc.sys.{one.replace('/', '.')}", f"/proc/sys/{one}", os.O_WRONLY)(openable)
for one in OTHERS:
    door(f"proc.write.{one.partition('/')[0]}", f"/proc/{one}", os.O_RDWR)(openable)


def of_init(name):
    """Look into init: the only process here that was not started by the app."""
    path = f"/proc/{CONFIG['pid']}/{name}"
    if name in ("fd", "ns"):
        return bool([os.readlink(f"{path}/{entry}") for entry in os.listdir(path)])
    if name in ("root", "cwd", "exe"):
        return bool(os.readlink(path))
    if name == "mem":
        return openable(path, os.O_RDONLY)
    return bool(read(path, 8))


for one in OF_INIT:
    door(f"init.{one}", one)(of_init)


@door("init.mem-write")
def write_init():
    return openable(f"/proc/{CONFIG['pid']}/mem", os.O_RDWR)


@door("init.exe-overwrite")
def overwrite_exe():
    """CVE-2019-5736: write to the program of the host through a link in /proc."""
    return passes(lambda: openable(f"/proc/{CONFIG['pid']}/exe", os.O_RDWR), errno.ETXTBSY)


@door("init.oom-score")
def init_oom():
    return openable(f"/proc/{CONFIG['pid']}/oom_score_adj", os.O_WRONLY)


@door("proc.others")
def others():
    """A process of another uid, or one that is not of this dyno."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/status") as file:
            if f"Uid:\t{os.getuid()}\t" not in file.read():
                return True
    return os.path.exists(f"/proc/{CONFIG['host']}")


@door("proc.cgroup")
def cgroup():
    """It tells where in the host's tree the dyno lives."""
    return any(line.split(":")[2] != "/" for line in read("/proc/self/cgroup").decode().splitlines())


@door("proc.mountinfo")
def mountinfo():
    """It tells the host's paths."""
    return CONFIG["top"] in read("/proc/self/mountinfo", 1 << 20).decode()


@door("sys")
def sys_files():
    return bool(os.listdir("/sys"))


@door("sys.cgroup")
def sys_cgroup():
    return bool(os.listdir("/sys/fs/cgroup"))


@door("sys.firmware")
def firmware():
    return bool(os.listdir("/sys/firmware"))


def device(kind, major, minor):
    """Make one where one may write, and open it."""
    for directory in ("/dev/shm", CONFIG["home"]):
        path = f"{directory}/device-{os.getpid()}"
        try:
            os.mknod(path, kind | 0o600, os.makedev(major, minor))
        except OSError:
            continue
        os.unlink(path)
        return True
    return False


for one, numbers in DEVICES.items():
    door(f"mknod.{one}", *numbers)(device)


@door("mknod.dirfd")
def mknodat():
    """The same by the other call, next to a slug's file."""
    path = f"{CONFIG['home']}/device".encode()
    made = call("mknodat", -100, path, stat.S_IFBLK | 0o600, os.makedev(8, 0))
    os.unlink(path)
    return made


@door("dev.disks")
def disks():
    """A block device anywhere in /dev, or a character device beyond the harmless ones."""
    harmless = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}
    for top, _, names in os.walk("/dev"):
        for name in names:
            about = os.lstat(f"{top}/{name}")
            which = os.major(about.st_rdev), os.minor(about.st_rdev)
            if stat.S_ISBLK(about.st_mode) or (
                stat.S_ISCHR(about.st_mode) and which not in harmless and not 136 <= which[0] <= 143
            ):
                return True
    return False


@door("dev.write")
def dev_write():
    os.mkdir("/dev/made-here")
    os.rmdir("/dev/made-here")
    return True


@door("dev.terminals")
def terminals():
    """The terminals of somebody else."""
    return any(
        os.stat(f"/dev/pts/{name}").st_uid != os.getuid() for name in os.listdir("/dev/pts") if name.isdigit()
    ) or os.path.exists("/dev/console")


def write_system(path):
    made = f"{path}/made-{os.getpid()}"
    os.mkdir(made)
    os.rmdir(made)
    return True


for one in ("/", "/etc", "/usr", "/usr/bin", "/usr/lib"):
    door(f"write.{one.strip('/').replace('/', '-') or 'root'}", one)(write_system)


@door("write.program")
def program():
    return openable("/usr/bin/env", os.O_RDWR)


def host_file(place):
    """Anything of the host's that the test named: STATE, a slug in the store, another dyno's files, secrets."""
    path = CONFIG["paths"][place]
    return bool(os.listdir(path)) if os.path.isdir(path) else bool(read(path, 1))


for one in ("state", "run", "slug-store", "other-app", "secret"):
    door(f"path.{one}", one)(host_file)


@door("path.dotdot")
def dotdot():
    """Out of the root by going up."""
    os.chdir("/")
    for _ in range(40):
        os.chdir("..")
    return bool(read(CONFIG["paths"]["secret"].lstrip("/"), 1))


@door("path.link")
def link():
    """Out by a link that the app made."""
    path = f"{CONFIG['home']}/link-{os.getpid()}"
    os.symlink(CONFIG["paths"]["secret"], path)
    try:
        return bool(read(path, 1))
    finally:
        os.unlink(path)


@door("path.proc-root")
def proc_root():
    return bool(read(f"/proc/{CONFIG['pid']}/root{CONFIG['paths']['secret']}", 1))


@door("path.descriptor")
def by_descriptor():
    """CVE-2024-21626: a directory of the host that somebody left open."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            read(f"/proc/self/fd/{fd}/{'../' * 40}{CONFIG['paths']['secret'].lstrip('/')}", 1)
        except OSError:
            continue
        return True
    return False


@door("path.hardlink")
def hardlink():
    """A second name, in a place of one's own, for a program of root's."""
    path = f"{CONFIG['home']}/su-{os.getpid()}"
    os.link("/usr/bin/su", path)
    os.unlink(path)
    return True


@door("path.handle")
def handle():
    """The shocker: a handle says where a file lies on the disk, whatever root one has."""
    made, mount_id = ctypes.create_string_buffer(b"\x80\0\0\0", 136), ctypes.c_int()
    call("name_to_handle_at", -100, CONFIG["disk"].encode(), made, ctypes.byref(mount_id), 0)
    return call("open_by_handle_at", os.open(CONFIG["disk"], os.O_RDONLY), made, os.O_RDONLY)
