"""PID 1 of a dyno: forward signals to every process, reap, end with the main command's status. One page, as tini.

It runs as the dyno's uid with no capability and cannot be read or traced from inside (non-dumpable). All signals are
blocked and taken one by one, so nothing is lost between two looks. When it ends, the kernel ends the rest of the dyno.

Where init.c was compiled (`make setup`), init becomes that program, by exec: the same page in C, which has 50 KB of its own where a
fork of the nursery has 2.7 MB. Signals that come meanwhile wait, as they are blocked.
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

SIGNALLED = 128  # as shells say: 128 + the signal's number


def compiled(path: str) -> int | None:
    """Give a descriptor of a copy of the compiled init, None if there is none at `path`.

    A sealed copy in memory, all dynos' alike: no dyno keeps a file of the machine's open, and none can be written to. Readable by
    root alone, it makes a process that cannot be looked into.
    """
    try:
        with open(path, "rb") as file:
            program = file.read()
        fd = os.memfd_create("dyno-init", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return None
    with open(fd, "wb", closefd=False) as copy:
        copy.write(program)
    os.fchmod(fd, 0o711)
    fcntl.fcntl(
        fd,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW,
    )
    return fd


def hand_over(program: int, main: int, status_fd: int, keep: Sequence[int]) -> None:
    """Become the compiled init; come back if the kernel runs nothing from memory (vm.memfd_noexec)."""
    for fd in (status_fd, *keep):
        os.set_inheritable(fd, True)
    with contextlib.suppress(OSError):
        os.execve(program, ["dyno-init", str(main), str(status_fd)], {})


def wait(program: int, door: int) -> None:
    """Become the compiled one that waits until somebody hangs up; come back as above."""
    os.set_inheritable(door, True)
    with contextlib.suppress(OSError):
        os.execve(program, ["dynod-holder", str(door)], {})


def init(main: int, status_fd: int) -> NoReturn:
    """Serve until `main` has ended; then write its status and end with it."""
    everything = signal.valid_signals()
    while True:
        got = signal.sigwaitinfo(everything).si_signo
        if got == signal.SIGCHLD:
            status = _reap(main)
            if status is not None:
                os.write(status_fd, b"%d\n" % status)
                os._exit(status)
        else:
            _forward(got)


def _forward(signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signum)  # every process of this pid namespace but ourselves


def _reap(main: int) -> int | None:
    """Bury whoever has ended, orphans too; give the status of `main` if it is among them."""
    status = None
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == main:
            ended = os.waitstatus_to_exitcode(code)
            status = ended if ended >= 0 else SIGNALLED - ended
