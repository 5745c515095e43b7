"""PID 1 of a dyno: forward signals to every process, reap, end with the main command's status. One page, as tini.

It runs as the dyno's uid with no capability and cannot be read or traced from inside (non-dumpable). All signals are
blocked and taken one by one, so nothing is lost between two looks. When it ends, the kernel ends the rest of the dyno.
"""

import contextlib
import os
import signal
from typing import NoReturn

SIGNALLED = 128  # as shells say: 128 + the signal's number


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
