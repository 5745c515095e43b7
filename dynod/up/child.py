"""One child process: started in a group of its own, watched by its pidfd, ended with everything it started.

A child gets SIGTERM when this process dies, however it dies (PR_SET_PDEATHSIG, prctl(2)): after a kill -9 of `dynod up` the
host still ends its dynos and the network helper takes its wires down, each by its own orderly stop. Rejected: a pipe that
children watch for its end, because each program would have to know about it; a cgroup to kill, because the dyno host
itself would be in it. The signal is bound to the thread that forked, hence preexec_fn in a process without threads.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> bool:
    """Ask the kernel for SIGTERM when the parent dies; False if it is dead already."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


class Child:
    """A running child. `ended` holds its status (negative: killed by that signal), `ready` is done once it serves."""

    def __init__(self, popen: "subprocess.Popen[bytes]", ready_fd: int) -> None:
        loop = asyncio.get_running_loop()
        self.pid = popen.pid
        self.started = loop.time()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.ready: asyncio.Future[bool] = loop.create_future()
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)
        self._ready_fd = ready_fd
        loop.add_reader(self._pidfd, self._end)
        if ready_fd >= 0:
            loop.add_reader(ready_fd, self._told)

    def serves(self, yes: bool) -> None:
        """Note that it serves, or never will."""
        if not self.ready.done():
            self.ready.set_result(yes)

    def _told(self) -> None:
        told = os.read(self._ready_fd, 1)
        self._drop_ready()
        self.serves(bool(told))

    def _drop_ready(self) -> None:
        if self._ready_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._ready_fd)
            os.close(self._ready_fd)
            self._ready_fd = -1

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        status = self._popen.wait()
        self._drop_ready()
        self.serves(False)
        self.ended.set_result(status)

    def signal_group(self, number: int) -> None:
        """Send a signal to what it started and left behind: a group outlives its leader."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def signal(self, number: int) -> None:
        """Send a signal to the child itself; a dead child does not mind."""
        if not self.ended.done():
            self._popen.send_signal(number)

    async def stop(self, grace: float) -> bool:
        """Ask it to end, and after `grace` seconds end it; return whether asking was enough."""
        self.signal(signal.SIGTERM)
        done, _ = await asyncio.wait([self.ended], timeout=grace)
        if not done:
            self.signal(signal.SIGKILL)
            await self.ended
        self.signal_group(signal.SIGKILL)
        return bool(done)


def start(argv: Sequence[str], pass_fds: Sequence[int], output: int, ready_fd: int) -> Child:
    """Start `argv`; `ready_fd` is the read end of a pipe that gets a byte once the child serves, or -1."""
    parent = os.getpid()

    def die_with_parent() -> None:
        if not die_with(parent):
            os._exit(1)

    popen = subprocess.Popen(  # argv is the table's
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
        cwd="/",
        process_group=0,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # no threads here; see the module's docstring
    )
    return Child(popen, ready_fd)
