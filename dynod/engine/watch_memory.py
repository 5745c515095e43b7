"""The watch over all dynos' memory: alarms of the kernel's, one timer, R14 lines and R15 events. What they mean: core/quota.py.

A dyno under its quota costs nothing: the kernel rings when that changes (host/alarms.py). One above it is looked at every 20 s, and
so is every dyno of an app that has log-runtime-metrics on, or whose cgroup gives no alarms. One timer serves them all; what is due
within SLACK of it is done with it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dynod.core.quota import CADENCE, Finding, Load, Reading, Watched, load_after, look, samples
from dynod.engine.tasks import Tasks
from dynod.host.alarms import Alarms
from dynod.host.meter import Meter, meter
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, DynoName

SLACK = 0.25
NEVER = float("inf")


@dataclass(slots=True)
class _Held:
    """One dyno that runs. `look` and `sample`: mono times when that is due, None for never."""

    app: AppId
    id: DynoId
    name: DynoName
    meter: Meter
    watched: Watched
    alarmed: bool = False
    look: float | None = None
    sample: float | None = None
    sampled: float = 0.0
    load: Load = field(default_factory=Load)

    def due(self) -> float:
        return min(each for each in (self.look, self.sample, NEVER) if each is not None)


class MemoryWatch:
    """`say(app, process, text)` logs a platform line; `on_vast(app, dyno, used)` hears of R15, once per look that finds it."""

    def __init__(
        self,
        now: Callable[[], float],
        say: Callable[[AppId, str, str], None],
        on_vast: Callable[[AppId, DynoId, int], None],
        metrics: Callable[[AppId], bool],
    ) -> None:
        """`now`: the mono clock; `metrics`: whether an app has log-runtime-metrics on. Make it inside a running loop."""
        self._now, self._say, self._on_vast, self._metrics = now, say, on_vast, metrics
        self._held: dict[str, _Held] = {}
        self._restless: dict[str, _Held] = {}  # those of them that have a look or a sample before them
        self._alarms = Alarms(self._rang)
        self._timer: asyncio.TimerHandle | None = None
        self._at = NEVER
        self._tasks = Tasks()

    def begin(self, app: AppId, dyno: DynoId, name: DynoName, quota: int, cgroups: Sequence[str]) -> None:
        """Watch a dyno that runs, from a moment later on; where its memory is not counted, do nothing."""
        found = meter(cgroups)
        known = self._held.get(dyno)
        if known is not None and known.meter == found:
            return
        self.end(dyno)
        if found is None:
            return
        held = self._held[dyno] = _Held(app, dyno, name, found, Watched(quota))
        self._set_sample(held)
        self._expect(held)
        self._tasks.spawn(self._arm(held))

    async def _arm(self, held: _Held) -> None:
        """Set its alarms, then look: what was crossed before that rings no bell."""
        held.alarmed = await self._alarms.set(held.id, held.meter, held.watched.quota)
        if self._held.get(held.id) is held:
            held.look = self._now()
            self._expect(held)

    def end(self, dyno: DynoId) -> None:
        """Watch a dyno no more, known or not."""
        if self._held.pop(dyno, None) is not None:
            self._restless.pop(dyno, None)
            self._alarms.clear(dyno)

    def refresh(self, app: AppId) -> None:
        """Begin or end to sample an app's dynos, as its features are now."""
        for held in self._held.values():
            if held.app == app:
                self._set_sample(held)
                self._expect(held)

    async def close(self) -> None:
        """Let go of everything; dynos run on."""
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()
        self._restless.clear()
        await self._tasks.close()
        self._alarms.close()

    def _set_sample(self, held: _Held) -> None:
        if not self._metrics(held.app):
            held.sample = None
        elif held.sample is None:
            held.sampled = self._now()
            held.sample, held.load = held.sampled + CADENCE, Load()

    # -- when ----------------------------------------------------------------------------------------------------

    def _expect(self, held: _Held) -> None:
        """Have the timer ring for a dyno; one at rest is left alone, however many of them there are."""
        due = held.due()
        if due < NEVER:
            self._restless[held.id] = held
            self._wake_at(due)
        else:
            self._restless.pop(held.id, None)

    def _wake_at(self, at: float) -> None:
        """Let the timer ring at `at`, or earlier if it does so anyway."""
        if at < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._at = at
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self._now()), self._tick)

    def _tick(self) -> None:
        self._timer, self._at = None, NEVER
        soon = self._now() + SLACK
        for held in tuple(self._restless.values()):
            if held.look is not None and held.look <= soon:
                self._look(held)
            if held.sample is not None and held.sample <= soon:
                held.sample += CADENCE
                self._tasks.spawn(self._sample(held))
        self._restless = {held.id: held for held in self._restless.values() if held.due() < NEVER}
        self._wake_at(min((held.due() for held in self._restless.values()), default=NEVER))

    def _rang(self, id: str) -> None:
        held = self._held[id]
        self._look(held)
        self._expect(held)

    # -- what ----------------------------------------------------------------------------------------------------

    def _look(self, held: _Held) -> None:
        now = self._now()
        try:
            reading = held.meter.read()
        except OSError:  # it has just ended, which is told in another way
            held.look = None
            return
        held.watched, found = look(held.watched, reading, now)
        held.look = self._next(held, found, now)
        self._alarms.rest(held.id, reading.used)
        for line in found.lines:
            self._say(held.app, str(held.name), line)
        if found.vast:
            self._on_vast(held.app, held.id, found.vast)

    @staticmethod
    def _next(held: _Held, found: Finding, now: float) -> float | None:
        if held.alarmed or found.vast:
            return found.again
        return min(now + CADENCE, now + CADENCE if found.again is None else found.again)

    async def _sample(self, held: _Held) -> None:
        try:
            reading, runnable = await asyncio.to_thread(_measure, held.meter)
        except OSError:  # as above
            held.sample = None
            return
        if held.id not in self._held:
            return
        now = self._now()
        held.load = load_after(held.load, runnable, now - held.sampled)
        held.sampled = now
        for line in samples(str(held.name), held.app, held.id, held.load, reading, held.watched.quota):
            self._say(held.app, str(held.name), line)


def _measure(from_: Meter) -> tuple[Reading, int]:
    return from_.read(), from_.runnable()
