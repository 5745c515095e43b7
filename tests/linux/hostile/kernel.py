"""Doors into the kernel itself: keys, bpf, perf, modules, kexec, clocks, quotas, swap, memory of other nodes."""

import ctypes
import errno
import mmap
import os
import struct

from door import COLUMN, call, door

AFTER = (
    errno.EINVAL,
    errno.ENOENT,
    errno.EFAULT,
    errno.EBADF,
    errno.ENOEXEC,
    errno.ESRCH,
    errno.ENOTBLK,
    errno.ENOKEY,
)
ZEROS = bytes(256)
BAD_FLAGS = 0x7FFF0000
TICK = 0x4000
TIMEX = struct.pack("Iqqqqi4xqqqqqqqqiq", TICK, *[0] * 15) + ZEROS  # a tick that no clock takes

GATES = {
    "keyctl.session": ("keyctl", 1, None),  # join a new one
    "keyctl.read": ("keyctl", 11, -3, None, 0),  # the session's keyring
    "keyctl.get-persistent": ("keyctl", 22, -1, -2),
    "add_key": ("add_key", b"user", b"door", b"x", 1, -2),
    "request_key": ("request_key", b"user", b"no-such", None, 0),
    "bpf.map": ("bpf", 0, struct.pack("IIIII", 2, 4, 4, 1, 0) + ZEROS, 72),
    "bpf.next-id": ("bpf", 11, ZEROS, 72),
    "perf_event_open": ("perf_event_open", struct.pack("IIQ", 1, 112, 0) + ZEROS, 0, -1, -1, 0),
    "userfaultfd": ("userfaultfd", 0),
    "io_uring": ("io_uring_setup", 1, ctypes.create_string_buffer(120)),
    "kexec_load": ("kexec_load", 0, 0, None, BAD_FLAGS),
    "kexec_file_load": ("kexec_file_load", -1, -1, 0, None, BAD_FLAGS),
    "init_module": ("init_module", ZEROS, 1, b""),
    "finit_module": ("finit_module", -1, b"", 0),
    "delete_module": ("delete_module", b"no_such_module", os.O_NONBLOCK),
    "swapon": ("swapon", b"/no/such/swap", 0),
    "swapoff": ("swapoff", b"/no/such/swap"),
    "reboot": ("reboot", 0, 0, 0, None),  # the wrong magic
    "settimeofday": ("settimeofday", None, None),
    "clock_settime": ("clock_settime", 0, struct.pack("qq", -1, -1)),
    "adjtimex": ("adjtimex", TIMEX),
    "sethostname": ("sethostname", None, -1),
    "setdomainname": ("setdomainname", None, -1),
    "acct": ("acct", b"/no/such/file"),
    "syslog.read": ("syslog", 3, ctypes.create_string_buffer(64), 64),
    "syslog.size": ("syslog", 10, None, 0),
    "quotactl": ("quotactl", 0x800004 << 8, b"/no/such/disk", 0, ctypes.create_string_buffer(256)),
    "quotactl_fd": ("quotactl_fd", 0xFFFF, 0x800004 << 8, 0, None),
    "fanotify": ("fanotify_init", 0, os.O_RDONLY),
    "mbind": ("mbind", 0, 0, 0, None, 0, 0),
    "set_mempolicy": ("set_mempolicy", 0, None, 0),
    "move_pages": ("move_pages", 0, 0, None, None, None, 0),
    "migrate_pages": ("migrate_pages", 0, 0, None, None),
    "iopl": ("iopl", 3),
    "ioperm": ("ioperm", 0x70, 1, 1),
    "personality.no-random": ("personality", 0x0040000),
    "personality.read-implies-exec": ("personality", 0x0400000),
}


for name, arguments in GATES.items():
    door(f"kernel.{name}", *arguments)(lambda *words: call(*words, passes=AFTER))


@door("kernel.32-bit")
def other_architecture():
    """getpid by another architecture's door (int 0x80): its numbers mean other calls."""
    if COLUMN != 0:
        return False
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20; int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()


@door("kernel.huge-pages")
def huge_pages():
    """The pages that the machine set aside."""
    page = mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)
    page[0] = 1
    return True
