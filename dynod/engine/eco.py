"""The month's eco dyno hours of this machine's account: counted as fleets change, kept with the observations, one timer.

What counts stands in core/hours.py; that an app sleeps when they are used up, in core/sleeping.py. Every app here belongs to the one
account there is, so there is one pool.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from dynod.core import hours
from dynod.core.fleet import Fleet
from dynod.core.hours import Hours
from dynod.core.lifecycle import Now
from dynod.engine import records
from dynod.model.app import AppId

_log = logging.getLogger(__name__)
SLEWED = 1.0  # seconds by which the wall clock may be corrected between two looks without having been set
LONGEST = 6 * 3600.0  # seconds until the clock is looked at again, which may be set meanwhile


class Eco:
    """`clock`: both readings, since who sets the wall clock neither uses up hours nor gives them; `keep` writes the record down; `changed` hears that the pool is empty, or full again."""

    def __init__(
        self,
        pool: float,
        clock: Callable[[], Now],
        keep: Callable[[bytes], None],
        changed: Callable[[], None],
    ) -> None:
        self.pool = pool
        self.spent = False
        self._clock, self._keep, self._changed = clock, keep, changed
        self._apart = self._difference()
        self._hours = Hours()
        self._timer: asyncio.TimerHandle | None = None

    def recall(self, record: bytes | None) -> None:
        """Take up where an earlier daemon was."""
        try:
            self._hours = Hours() if record is None else records.decode_hours(record)
        except records.BadRecord as error:
            _log.error("%s; the month's count begins anew", error)
        self._look()

    def seen(self, app: AppId, fleet: Fleet) -> None:
        """Take note of an app's dynos as they are now."""
        now = self._now()
        after = hours.seen(self._hours, app, hours.awake(fleet), now)
        if after is not self._hours:
            self._hours = after
            self._keep(records.encode_hours(after))
            self._look()

    def _difference(self) -> float:
        now = self._clock()
        return now.wall - now.mono

    def _now(self) -> float:
        """Read the wall clock; see whether it was set since it was last read."""
        by = self._difference() - self._apart
        self._apart += by
        if abs(by) > SLEWED:
            self._hours = hours.jumped(self._hours, by)
        return self._clock().wall

    def used(self) -> Mapping[AppId, float]:
        """Seconds of this month, by app."""
        now = self._now()
        return hours.used(self._hours, now)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self.close()
        now = self._now()
        self._hours = hours.turned(self._hours, now)
        at = hours.next_change(self._hours, self.pool, now)
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(min(max(at - now, 0.01), LONGEST), self._look)
        spent = hours.spent(self._hours, self.pool, now)
        if spent is not self.spent:
            self.spent = spent
            self._changed()
