"""The dyno host's one loop: readers, writers, deadlines and what can wait until nothing else is ready. No polling."""

import heapq
import itertools
import selectors
import time
from collections import deque
from collections.abc import Callable

Call = Callable[[], None]


class Loop:
    """Single-threaded; a callback that raises ends the program (systemd starts it again and it adopts its dynos)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Call]] = []
        self._idle: deque[Call] = deque()
        self._order = itertools.count()
        self._done: Callable[[], bool] = lambda: False

    def read(self, fd: int, call: Call) -> None:
        """Call whenever `fd` is readable, until `forget`."""
        self._selector.register(fd, selectors.EVENT_READ, [call, None])

    def write(self, fd: int, call: Call | None) -> None:
        """Call whenever `fd`, already read, is writable; None stops that."""
        calls = self._selector.get_key(fd).data
        calls[1] = call
        self._selector.modify(fd, selectors.EVENT_READ | (selectors.EVENT_WRITE if call else 0), calls)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`; to be called before it is closed."""
        self._selector.unregister(fd)

    def after(self, seconds: float, call: Call) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def idle(self, call: Call) -> None:
        """Call once, when no descriptor is ready: work that nobody waits for."""
        self._idle.append(call)

    def until(self, done: Callable[[], bool]) -> None:
        """Run on until `done()`, asked after each round."""
        self._done = done

    def run(self) -> None:
        """Run until what was said with `until`."""
        while not self._done():
            ready = self._selector.select(self._patience())
            for key, events in ready:
                if events & selectors.EVENT_READ and self._still(key):
                    key.data[0]()
                if events & selectors.EVENT_WRITE and self._still(key) and key.data[1] is not None:
                    key.data[1]()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
            if not ready and self._idle:
                self._idle.popleft()()

    def _still(self, key: selectors.SelectorKey) -> bool:
        """An earlier callback of the round may have closed this descriptor, and another may have its number by now."""
        now = self._selector.get_map().get(key.fd)
        return now is not None and now.data is key.data

    def _patience(self) -> float | None:
        if self._idle:
            return 0
        if self._timers:
            return max(0.0, self._timers[0][0] - time.monotonic())
        return None
