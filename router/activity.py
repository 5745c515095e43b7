"""Which apps had requests, told to the control plane now and then so that it knows who may sleep; an idle worker never wakes up for it.

A request costs one look into a set. The first of an app since the last telling is noted, and the first of all starts the timer. Apps
with a request or a WebSocket under way are active for as long as that lasts.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from dynod.model.route import AppRoute, Standing


class Activity:
    """`apps` are those to be told of; `open_apps` gives those with something under way; `send` is False when nobody listens."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        every: float,
        open_apps: Callable[[], Iterable[str]],
        send: Callable[[list[str]], bool],
    ) -> None:
        self.apps: set[str] = set()
        self._loop, self._every = loop, every
        self._open_apps, self._send = open_apps, send
        self._timer: asyncio.TimerHandle | None = None

    def note(self, app: str) -> None:
        """Take note of an app that is not among `apps`."""
        self.apps.add(app)
        if self._timer is None:
            self._timer = self._loop.call_later(self._every, self.flush)

    def flush(self) -> None:
        """Tell now. What nobody listened to is kept until somebody does."""
        self.stop()
        if not self.apps or not self._send(sorted(self.apps)):
            return
        self.apps.clear()
        for app in self._open_apps():
            if app not in self.apps:
                self.note(app)

    def swapped(self, routes: Mapping[str, AppRoute]) -> None:
        """A new table has come: an app that had requests while it was decided that it sleeps must not wait to be told of."""
        if any(app in routes and routes[app].standing is Standing.IDLE for app in self.apps):
            self.flush()

    def stop(self) -> None:
        """Start no timer until the next note."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
