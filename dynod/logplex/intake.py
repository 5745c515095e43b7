"""One dyno's output: pipe -> spool -> lines. It belongs to the dyno's id and outlives this process, not the dyno.

A dyno that floods its log (flood.py) is read all the same, REST apart, and what is read is counted and thrown away: it waits for nobody up
to some 9 MB/s, and costs little. A dropped line is dropped whole.
"""

import asyncio
import logging
import os
import time
from typing import Protocol

from dynod.logplex.flood import Allowance
from dynod.logplex.lines import Splitter
from dynod.logplex.spool import Spool, disk_refused

_log = logging.getLogger(__name__)
# Bytes per dyno and turn of the loop: a flood waits in its own pipe and not in front of the others.
TURN = 32 * 1024
CATCH_UP = 256 * 1024
GULP = 64 * 1024  # bytes of a flood that are thrown away at once: a whole pipe of the usual size
REST = 0.005  # seconds between two gulps of one dyno
TELL = 5.0  # seconds from the first dropped line to the line that counts them
MOST_TURNS = 64  # of one pipe once its writers are dead: more than any pipe holds (pipe-max-size is 1 MiB)

Lines = list[tuple[str, int]]


class Owner(Protocol):
    """Who gets the lines: Plex, and a list in tests. `rate` is what each dyno may log (flood.py)."""

    rate: int

    def now_us(self) -> int:
        """The wall's clock."""

    def lost(self, intake: "Intake", dropped: int, since: int) -> None:
        """Tell of lines that were dropped since a time in microseconds."""

    def emit(self, intake: "Intake", lines: Lines) -> bool:
        """Put lines, each with the offset behind it, into the app's ring; return whether they are on the disk."""

    def ended(self, intake: "Intake") -> None:
        """All writers closed the pipe."""


class Intake:
    """One dyno's; see Owner for what it tells."""

    def __init__(self, id: str, app: str, process: str, spool: Spool, offset: int, owner: Owner) -> None:
        self.id = id
        self.app = app
        self.process = process
        self.muted = False  # the app was forgotten: its output is read and thrown away
        self.unkept = 0  # bytes that never were in the spool
        self._spool = spool
        self._owner = owner
        self._pipe = -1
        self.ended = False
        self._allowance = Allowance(owner.rate, time.monotonic())
        self._amid = False  # a line whose beginning was dropped
        self._resting: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._splitter = Splitter(max(offset, spool.start))
        if offset > spool.end:
            spool.skip(offset - spool.end)  # lines that are in the ring and never were in the spool
        self._catch_up()

    @property
    def reading(self) -> bool:
        """Whether its pipe is open here."""
        return self._pipe >= 0

    def attach(self, pipe: int) -> None:
        """Read this pipe from now on; a second end of the same pipe is closed at once."""
        if self._pipe >= 0 or self.ended:
            os.close(pipe)
            return
        self._pipe = pipe
        asyncio.get_running_loop().add_reader(pipe, self._take)

    def limit(self, rate: int) -> None:
        """Let it log so much from now on."""
        self._allowance.limit(rate)

    def finish(self) -> None:
        """The dyno is no more: take what still lies in the pipe, let the last line end, delete the spool."""
        for _ in range(MOST_TURNS):
            if self._pipe < 0 or not self._take():
                break
        self._end()
        self._tell()
        self._spool.remove()

    def close(self) -> None:
        """Let go of pipe and file; the spool stays for the next process."""
        self._let_go()
        self._tell()
        self._spool.close()

    def _take(self) -> bool:
        """Move one turn's bytes; return whether there may be more."""
        if not self.muted and not self._allowance.allows(time.monotonic()):
            return self._drop()
        try:
            data = self._spool.take(self._pipe, TURN)
        except OSError as error:
            if not disk_refused(error):
                raise
            data = self._take_unkept(error)
        if not data:
            return self._nothing(data)
        if self._amid:
            data = self._from_next_line(data)
        self._feed(data)
        return True

    def _nothing(self, data: bytes | None) -> bool:
        """There is no more for now, or (an empty read) for good."""
        if data is not None:
            self._end()
            self._owner.ended(self)
        return False

    def _drop(self) -> bool:
        """Throw away what is in the pipe, and the beginning of a line that waits for its end."""
        data = self._read(GULP)
        if not data:
            return self._nothing(data)
        self._spool.skip(len(data))
        self._splitter = Splitter(self._spool.end)
        self._spool.release(self._spool.end)
        began = not self._amid  # the first of these lines is not counted yet
        self._amid = not data.endswith(b"\n")
        self._count(data.count(b"\n") + self._amid - (not began))
        if self._resting is None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._pipe)
            self._resting = loop.call_later(REST, self._wake)
        return True

    def _wake(self) -> None:
        self._resting = None
        asyncio.get_running_loop().add_reader(self._pipe, self._take)

    def _count(self, lines: int) -> None:
        if self._allowance.drop(lines, self._owner.now_us()) and self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        dropped, since = self._allowance.told()
        if dropped:
            self._owner.lost(self, dropped, since)

    def _from_next_line(self, data: bytes) -> bytes:
        """Leave out the rest of a line whose beginning was dropped."""
        _, end, rest = data.partition(b"\n")
        self._amid = not end
        self._splitter = Splitter(self._spool.end - len(rest))
        return rest

    def _take_unkept(self, error: OSError) -> bytes | None:
        """The disk takes nothing: an app that waits for its log is worse than a line that dies with this process."""
        data = self._read(TURN)
        if data is None:
            return None
        if not self.unkept:
            _log.error(
                "cannot spool the output of %s, it goes through memory: %s", self.process, error.strerror
            )
        self.unkept += len(data)
        self._spool.skip(len(data))
        return data

    def _read(self, limit: int) -> bytes | None:
        """Return what is in the pipe; b'' at its end, None when it is empty."""
        try:
            os.set_blocking(self._pipe, False)  # this end only: the dyno's has its own flags
            return os.read(self._pipe, limit)
        except BlockingIOError:
            return None

    def _feed(self, data: bytes) -> None:
        lines = self._splitter.feed(data)
        self._allowance.spend(len(lines), len(data))
        self._give(lines)

    def _give(self, lines: Lines) -> None:
        if self.muted or not lines or self._owner.emit(self, lines):
            self._spool.release(self._splitter.offset)

    def _end(self) -> None:
        self._give(self._splitter.end())
        if self._pipe >= 0:
            self.ended = True
            self._let_go()

    def _let_go(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._pipe >= 0:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _catch_up(self) -> None:
        """Cut what the process before us had spooled and not cut."""
        while True:
            offset, data = self._spool.read(self._splitter.read, CATCH_UP)
            if not data:
                return
            if offset != self._splitter.read:  # a hole: bytes that went through memory
                self._give(self._splitter.end())
                self._splitter = Splitter(offset)
            self._feed(data)
