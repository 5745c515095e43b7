"""Work that many ask for and that costs as much as there is of everything: done at once for the first, then once for all who ask meanwhile.

After each time it rests a multiple of what it took, so that it has a bounded share of the control plane however many dynos come and go.
Rejected: a fixed interval, which is too long for ten dynos (a woken app waits for it) or too short for a thousand.
"""

import asyncio
import time
from collections.abc import Callable

REST = 9.0  # times what it took: a tenth of the time at most
LONGEST = 0.1  # seconds


class Pace:
    """`due` whenever something changed; `done` waits until nothing that was due before is left to do."""

    def __init__(self, work: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self._clock = work, clock
        self._rested = 0.0  # when it may be done again
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()

    def due(self) -> None:
        """Do it now, or as soon as it has rested."""
        if self._timer is not None:
            return
        left = self._rested - self._clock()
        if left > 0:
            self._over.clear()
            self._timer = asyncio.get_running_loop().call_later(left, self._do)
        else:
            self._do()

    async def done(self) -> None:
        """Wait for what is due."""
        if self._timer is not None:
            await self._over.wait()

    def close(self) -> None:
        """Do what is due now; nothing comes later."""
        if self._timer is not None:
            self._timer.cancel()
            self._do()

    def _do(self) -> None:
        self._timer = None
        begun = self._clock()
        try:
            self._work()
        finally:
            ended = self._clock()
            self._rested = ended + min(REST * (ended - begun), LONGEST)
            self._over.set()
