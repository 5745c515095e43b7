"""The frame of the hostile program: what a door is, how it is tried, and the kernel's bare calls.

A door is a function that is true when it opened. It runs in a forked child of its own, so that it may change, harm or kill itself;
OSError means shut, a signal as well. A door never does lasting harm where it opens: it asks for the permission, mostly
with an argument that the kernel looks at only after it granted it (`passes`).
"""

import ctypes
import errno
import os
import platform
import signal
import sys
import traceback

DOORS = {}
CONFIG = {}  # what the test knows of the world outside: see the test
CAP = 20  # seconds for one door
OPEN, SHUT, BROKEN = 0, 1, 2
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NUMBERS = {  # x86_64, aarch64; from 424 on they are the same
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "kcmp": (312, 272), "clone": (56, 220), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "sethostname": (170, 161),
    "setdomainname": (171, 162), "acct": (163, 89), "syslog": (103, 116), "quotactl": (179, 60), "capset": (126, 91),
    "personality": (135, 92), "ioprio_set": (251, 30), "mbind": (237, 235), "set_mempolicy": (238, 237),
    "move_pages": (279, 239), "migrate_pages": (256, 238), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18),
    "sched_setattr": (314, 274), "mknodat": (259, 33), "shmget": (29, 194), "iopl": (172, None), "ioperm": (173, None),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fspick": (433, 433),
    "io_uring_setup": (425, 425), "clone3": (435, 435), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount_setattr": (442, 442), "quotactl_fd": (443, 443),
}  # fmt: skip
COLUMN = ("x86_64", "aarch64").index(platform.machine())


def door(*name):
    """Register a door under its name, or one function for several: door(name, argument...)."""

    def register(function):
        assert name[0] not in DOORS, name
        DOORS[name[0]] = lambda: function(*name[1:])
        return function

    return register


def call(name, *arguments, passes=()):
    """Make a system call; true if it succeeded or failed with an error that comes after the permission."""
    number = NUMBERS[name][COLUMN]
    if number is None:
        return False
    done = LIBC.syscall(number, *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    if done >= 0:
        return True
    if ctypes.get_errno() in passes:
        return True
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def passes(function, *errors):
    """Call; true if it succeeded or failed in a way that comes after the permission."""
    try:
        function()
    except OSError as error:
        if error.errno in errors:
            return True
        raise
    return True


def attempt(name):
    """Try one door in a child; give OPEN, SHUT or BROKEN."""
    pid = os.fork()
    if pid == 0:
        outcome = SHUT
        try:
            os.setsid()
            signal.alarm(CAP)
            outcome = OPEN if DOORS[name]() else SHUT
        except MemoryError:
            pass
        except OSError as error:
            if error.errno == errno.EFAULT:  # a door that is built wrong would always look shut
                traceback.print_exc()
                outcome = BROKEN
        except BaseException:  # noqa: BLE001  # a child must not go on as its parent
            traceback.print_exc()
            outcome = BROKEN
        os._exit(outcome)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return BROKEN if os.WTERMSIG(status) == signal.SIGALRM else SHUT
    return os.WEXITSTATUS(status)


def read(path, count=4096):
    with open(path, "rb", buffering=0) as file:
        return file.read(count)


def openable(path, flags):
    os.close(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC))
    return True


def status(pid="self"):
    """The lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
