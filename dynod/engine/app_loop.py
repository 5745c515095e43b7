"""One app's loop: a mailbox, one step at a time, kept before it is acted upon.

messages -> core (fleet, effects) -> the fleet's record is written -> routes change -> effects are performed -> their completions
come back as messages. There is one timer per loop, for the fleet's next deadline. A bug in one app's loop is logged and that
app is read anew from its record; the other apps do not notice.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dynod.core import reconcile as fleets
from dynod.core import sleeping
from dynod.core.effects import Effect
from dynod.core.events import Event
from dynod.core.fleet import Desired, Draw, Fleet, Outcome
from dynod.core.lifecycle import Dyno, Now
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, DynoName
from dynod.model.formation import ProcessType

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reconcile:
    why: str


@dataclass(frozen=True, slots=True)
class Rescaled:
    """Somebody scaled these types."""

    types: frozenset[ProcessType]
    why: str


@dataclass(frozen=True, slots=True)
class Happened:
    dyno: DynoId
    event: Event


@dataclass(frozen=True, slots=True)
class Restart:
    names: tuple[DynoName, ...]
    why: str


@dataclass(frozen=True, slots=True)
class StartOneOff:
    dyno: Dyno
    why: str


@dataclass(frozen=True, slots=True)
class StopDyno:
    dyno: DynoId
    why: str
    signal: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """What the dyno host knows: ids that live, and those it has never heard of are lost."""

    effects: tuple[Effect, ...] = ()
    lost: tuple[DynoId, ...] = ()


@dataclass(frozen=True, slots=True)
class Wake:
    """A request waits at a router."""

    why: str


@dataclass(frozen=True, slots=True)
class Active:
    """Requests came since it was last said."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """The routers were asked, and have told all they know."""


Message = Reconcile | Rescaled | Happened | Restart | StartOneOff | StopDyno | Adopt | Wake | Active | Quiet

_Letter = tuple[Message | None, asyncio.Future[None] | None]  # None: a deadline has passed


class Surroundings(Protocol):
    """What a loop needs of the house; nothing else of it is in reach."""

    draw: Draw

    def now(self) -> Now: ...

    def desired(self, app: AppId) -> Desired: ...

    async def keep(self, app: AppId, fleet: Fleet) -> None: ...

    async def recall(self, app: AppId) -> Fleet: ...

    def route_changed(self, app: AppId, fleet: Fleet) -> None: ...

    def perform(self, app: AppId, fleet: Fleet, effect: Effect) -> None: ...


@dataclass(slots=True)
class AppLoop:
    """`post` from anywhere; `fleet` is the newest kept value."""

    app: AppId
    house: Surroundings
    fleet: Fleet
    _mailbox: asyncio.Queue[_Letter] = field(default_factory=asyncio.Queue)
    _ending: bool = False

    def post(self, message: Message) -> None:
        """Leave a message; it is taken in order."""
        self._mailbox.put_nowait((message, None))

    async def ask(self, message: Message) -> None:
        """Leave a message and wait until what it led to is kept and under way."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._mailbox.put_nowait((message, done))
        await done

    def end(self) -> None:
        """Take what was left so far, then no more: the app is no more."""
        self._ending = True
        self._mailbox.put_nowait((Quiet(), None))

    async def run(self) -> None:
        """Take messages until the end; those that came while a record was written share the next."""
        while not (self._ending and self._mailbox.empty()):
            batch = await self._next()
            try:
                await self._take([message for message, _ in batch])
            except Exception:  # noqa: BLE001  # the guard that CONTRIBUTING.md names: one app's bug stays that app's
                _log.exception("app %s: a step failed, reading its dynos anew", self.app)
                await self._recall()
            for _, done in batch:
                if done is not None and not done.done():
                    done.set_result(None)

    async def _recall(self) -> None:
        try:
            self.fleet = await self.house.recall(self.app)
        except Exception:  # noqa: BLE001  # on a disk that errs, say: what is in memory is the best there is, and the loop must go on
            _log.exception("app %s: cannot read its dynos, going on with those it had", self.app)

    async def _next(self) -> list[_Letter]:
        habit = self.house.desired(self.app).habit
        times = (fleets.next_deadline(self.fleet), sleeping.next_deadline(self.fleet, habit))
        deadline = min((each for each in times if each is not None), default=None)
        try:
            async with asyncio.timeout(
                None if deadline is None else max(0.0, deadline - self.house.now().mono)
            ):
                batch: list[_Letter] = [await self._mailbox.get()]
        except TimeoutError:
            return [(None, None)]
        while not self._mailbox.empty():
            batch.append(self._mailbox.get_nowait())
        return batch

    def _decide(self, fleet: Fleet, message: Message | None) -> Outcome:
        fleet, effects = self._follow(fleet, message)
        desired, now = self.house.desired(self.app), self.house.now()
        fleet, more = sleeping.together(fleet, desired, now, self.house.draw)
        return fleet, (*effects, *more)

    def _tick(self, fleet: Fleet, desired: Desired, now: Now) -> Outcome:
        fleet, effects = fleets.tick(fleet, desired, now, self.house.draw)
        fleet, more = sleeping.tick(fleet, desired.habit, now)
        return fleet, (*effects, *more)

    def _follow(self, fleet: Fleet, message: Message | None) -> Outcome:
        now, desired, draw = self.house.now(), self.house.desired(self.app), self.house.draw
        match message:
            case None:
                return self._tick(fleet, desired, now)
            case Reconcile(why):
                return fleets.reconcile(fleet, desired, why, now, draw)
            case Rescaled(types, why):
                return fleets.rescaled(fleet, desired, types, why, now, draw)
            case Happened(dyno, event):
                return fleets.happened(fleet, desired, dyno, event, now, draw)
            case Restart(names, why):
                return fleets.restart(fleet, desired, names, why, now, draw)
            case StartOneOff(dyno, why):
                return fleets.start_one_off(fleet, desired, dyno, why)
            case StopDyno(dyno_id, why, signal):
                found = fleet.dynos.get(dyno_id)
                return (fleet, ()) if found is None else fleets.stop_dyno(fleet, found, why, now, signal)
            case Adopt(effects, lost):
                return self._adopt(fleet, effects, lost, now)
            case Wake(why):
                return sleeping.wake(fleet, desired, why, now, draw)
            case Active():
                return sleeping.active(fleet, desired, now, draw)
            case Quiet():
                return sleeping.quiet(fleet, desired.habit, now)

    def _adopt(
        self, fleet: Fleet, effects: tuple[Effect, ...], lost: tuple[DynoId, ...], now: Now
    ) -> Outcome:
        more = list(effects)
        for dyno in lost:
            fleet, each = fleets.lost(fleet, self.house.desired(self.app), dyno, now, self.house.draw)
            more += each
        return fleet, tuple(more)

    async def _take(self, messages: Sequence[Message | None]) -> None:
        fleet, steps = self.fleet, list[Outcome]()
        for message in messages:
            try:
                steps.append(self._decide(fleet, message))
            except Exception:  # noqa: BLE001  # a message that cannot be followed must not take its neighbours along
                _log.exception("app %s: cannot follow %s", self.app, message)
            else:
                fleet = steps[-1][0]
        if fleet is not self.fleet:
            await self.house.keep(self.app, fleet)
            self.fleet = fleet
            self._tell_routers(fleet)
        # Each with the fleet that it was decided for: a later step may have let a dyno go.
        for then, effects in steps:
            for effect in effects:
                self._perform(then, effect)

    def _tell_routers(self, fleet: Fleet) -> None:
        try:
            self.house.route_changed(self.app, fleet)
        except Exception:  # noqa: BLE001  # no descriptor is left for the table, say: what was kept as begun must be begun
            _log.exception("app %s: cannot tell the routers, they go by what they know", self.app)

    def _perform(self, fleet: Fleet, effect: Effect) -> None:
        try:
            self.house.perform(self.app, fleet, effect)
        except Exception:  # noqa: BLE001  # one effect that cannot be begun must not take the others of its step along
            _log.exception("app %s: cannot perform %s", self.app, effect)
