"""Whether the workers' loops turn: a worker that serves sends a byte now and then, and of whom nothing is heard for long is said by `stuck`.

Counted in rounds, not in seconds: a machine that stood still is one round older, whatever the clock says, and nobody is taken for stuck.
Owns the pipes from the first byte on; who is killed, and started again, is the master's.
"""

import asyncio
import contextlib
import os

ROUND = 20.0  # seconds between two looks; a third of what systemd waits for a program
SILENT = 3  # rounds
STARTING = 9  # rounds until one that was started serves


class Pulse:
    """The master's side."""

    def __init__(self) -> None:
        self._pipes: dict[int, int] = {}  # pid -> where it is heard
        self._silent: dict[int, int] = {}

    def born(self, pid: int) -> None:
        """Expect it to serve some time."""
        self._silent[pid] = SILENT - STARTING

    def watch(self, pid: int, pipe: int) -> None:
        """It serves: expect a byte in each round from now on."""
        self._pipes[pid], self._silent[pid] = pipe, 0

    def forget(self, pid: int) -> None:
        """It ended."""
        self._silent.pop(pid, None)
        if pid in self._pipes:
            os.close(self._pipes.pop(pid))

    def close(self) -> None:
        """Let all pipes go, as a child does whose they are not."""
        for pid in list(self._silent):
            self.forget(pid)

    def stuck(self) -> list[int]:
        """End a round; return who was silent for too many."""
        for pid, rounds in self._silent.items():
            self._silent[pid] = 0 if self._heard(pid) else rounds + 1
        return [pid for pid, rounds in self._silent.items() if rounds >= SILENT]

    def _heard(self, pid: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            return pid in self._pipes and bool(os.read(self._pipes[pid], 4096))
        return False


def beat(loop: asyncio.AbstractEventLoop, pipe: int, every: float) -> None:
    """Be heard for as long as the loop turns; the worker's side."""
    # It fails when full, while the master is stopped; and when that went over to a new version, which hears others.
    with contextlib.suppress(OSError):
        os.write(pipe, b"1")
    loop.call_later(every, beat, loop, pipe, every)
