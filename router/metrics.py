"""What requests came to, counted for the control plane: a few plain numbers per app, told now and then, and whenever it asks.

A request costs nothing here while it is under way. `count` takes those that have ended, many at once: most of them are alike (same app,
same status, same millisecond), so that they are counted by kind first, in C, and added by kind (0.25 us for each on the machine of
docs/benchmarks.md). What was told is forgotten: an app without requests takes no memory, and a worker that dies takes ten seconds of counts
with it at most.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from dynod.model.traffic import Traffic
from dynod.wire.traffic import row
from router.exchange import Exchange

AT_ONCE = 50  # apps told per turn of the loop: the requests of others wait a fraction of a millisecond
TUNNEL = 101


class Metrics:
    """`under_way` says how many requests each app has now; `send` takes a message's parameters, False when nobody listens."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        every: float,
        under_way: Callable[[], Mapping[str, int]],
        send: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self.apps: dict[str, Traffic] = {}
        self.lines = 0  # access lines since the last telling
        self.dropped = 0
        self._loop, self._every = loop, every
        self._under_way, self._send = under_way, send
        self._timer: asyncio.Handle | None = None
        self._asked: list[int] = []
        self._busy = False

    def count(self, batch: Sequence[Exchange]) -> None:
        """Take requests that have ended."""
        self.lines += len(batch)
        kinds = Counter(
            [
                (
                    exchange.site.route.app,
                    exchange.status,
                    exchange.failure,
                    exchange.connect_ms,
                    exchange.service_ms,
                    exchange.from_client_size,
                    exchange.to_client,
                )
                for exchange in batch
            ]
        )
        apps = self.apps
        for (app, status, failure, connect, service, came, went), times in kinds.items():
            traffic = apps.get(app)
            if traffic is None:
                traffic = apps[app] = Traffic()
            traffic.statuses[status] = traffic.statuses.get(status, 0) + times
            traffic.bytes_in += times * came
            if service is not None:
                traffic.bytes_out += times * went
            if failure is not None:
                code = failure.value.code or "none"
                traffic.codes[code] = traffic.codes.get(code, 0) + times
            if status != TUNNEL:
                if connect is not None:
                    traffic.connect.note(connect, times)
                if service is not None:
                    traffic.service.note(service, times)
        if self._timer is None:
            self._timer = self._loop.call_later(self._every, self._tell)

    def asked(self, number: int) -> None:
        """Tell all there is, and then this number."""
        self._asked.append(number)
        self.flush()

    def flush(self) -> None:
        """Tell now, a few apps per turn of the loop. What nobody listens to is kept until somebody does."""
        self.stop()
        self._tell()

    def _tell(self) -> None:
        self._timer = None
        heard = self._told()
        if heard and self.apps:
            self._timer = self._loop.call_soon(self._tell)
        elif self._busy or not heard:
            self._asked = []  # who asked and went away asks again
            self._timer = self._loop.call_later(self._every, self._tell)

    def _told(self) -> bool:
        """Tell of some apps, with the last of them all the rest; False when nobody listens."""
        names = list(islice(self.apps, AT_ONCE))
        message: dict[str, Any] = {"apps": [row(name, self.apps[name]) for name in names]}
        last = len(names) == len(self.apps)
        if last:
            in_flight = self._under_way()
            self._busy = bool(in_flight)  # told of again, for as long as something is under way
            message["rest"] = [in_flight, self.lines, self.dropped, self._asked]
        if not self._send(message):
            return False
        for name in names:
            del self.apps[name]
        if last:
            self.lines = self.dropped = 0
            self._asked = []
        return True

    def keep(self, apps: Iterable[str]) -> None:
        """Forget what is not among these."""
        for gone in self.apps.keys() - apps:
            del self.apps[gone]

    def close(self) -> None:
        """Tell all, and no more."""
        self.stop()
        while self._told() and self.apps:
            pass

    def stop(self) -> None:
        """Start no timer until the next request."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
