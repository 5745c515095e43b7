"""Walls that a program puts around itself without any privilege, before it reads what a stranger sent: Landlock and a filter of system calls.

What is left to it: files in the directory it stands in, what it has open, its own memory. It speaks to nobody, signals nobody and starts
nothing, though other programs are of the same user. Not every kernel has Landlock; the filter is always there.
"""

import contextlib
import ctypes
import errno
import os
import platform
import struct

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many the kernel's version of Landlock knows; 16 since
_LATEST = 16
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
# Name: number on x86_64 and on aarch64, which lacks some. What reaches others: processes, sockets, keys, and by path what Landlock lets pass.
_REFUSED = """
socket=41/198 socketpair=53/199 connect=42/203 bind=49/200 clone=56/220 fork=57/- vfork=58/- clone3=435/435 execve=59/221
execveat=322/281 kill=62/129 tkill=200/130 tgkill=234/131 rt_sigqueueinfo=129/138 rt_tgsigqueueinfo=297/240 ptrace=101/117
process_vm_readv=310/270 process_vm_writev=311/271 pidfd_open=434/434 pidfd_send_signal=424/424 pidfd_getfd=438/438
prlimit64=302/261 setpriority=141/140 sched_setaffinity=203/122 sched_setscheduler=144/119 io_uring_setup=425/425 bpf=321/280
perf_event_open=298/241 userfaultfd=323/282 keyctl=250/219 add_key=248/217 request_key=249/218 shmget=29/194 msgget=68/186
semget=64/190 mq_open=240/180 memfd_create=319/279 chmod=90/- fchmodat=268/53 fchmodat2=452/452 chown=92/- lchown=94/- fchownat=260/54
truncate=76/45 setxattr=188/5 lsetxattr=189/6
"""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def confine() -> None:
    """Go behind the walls for good. Raise OSError where the filter cannot be put in force."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    with contextlib.suppress(OSError):  # a kernel without it, or one that was started without
        _to_here()
    numbers = refused(platform.machine())
    if numbers:
        _filter(_AUDIT[platform.machine()], numbers)


def refused(machine: str) -> list[int]:
    """Numbers of the calls that are answered with EPERM; none for a machine that nobody wrote them down for."""
    if machine not in _AUDIT:
        return []
    at = list(_AUDIT).index(machine)
    found = [entry.partition("=")[2].split("/")[at] for entry in _REFUSED.split()]
    return [int(number) for number in found if number != "-"]


def _to_here() -> None:
    version = _check(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION)))
    rights = (1 << _RIGHTS.get(version, _LATEST)) - 1
    ruleset = struct.pack("Q", rights)
    rules = _check(_libc.syscall(_LANDLOCK_CREATE, ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint(0)))
    try:
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights, here)
            _check(_libc.syscall(_LANDLOCK_ADD, rules, ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0)))
        finally:
            os.close(here)
        _check(_libc.syscall(_LANDLOCK_RESTRICT, rules, ctypes.c_uint(0)))
    finally:
        os.close(rules)


def _filter(audit: int, numbers: list[int]) -> None:
    last = len(numbers)
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, _KILL),  # another architecture's calls have other numbers
        (_LOAD, 0, 0, 0),
        *((_EQUAL, last - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    kept = ctypes.create_string_buffer(code, len(code))
    said = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(kept))
    _check(_libc.prctl(_PR_SET_SECCOMP, _FILTER, said, 0, 0))
