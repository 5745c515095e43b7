"""Carrying out effects: whatever core/ asks for (core/effects.py has the values) is done here, and nowhere else.

Way in: `Deeds.perform`, which an app's loop calls once the fleet's new record is on the disk. It never waits: what takes time is a
task, and its completion goes back to that loop as a message.
"""

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from dynod.core.effects import (
    SIGTERM,
    AskActivity,
    Boot,
    Died,
    Effect,
    Ended,
    Freeze,
    Note,
    Reap,
    Say,
    Signal,
    Thaw,
    WatchPort,
)
from dynod.core.events import Launched, LaunchFailed, PortBound
from dynod.core.fleet import Fleet
from dynod.core.lifecycle import Dyno
from dynod.engine import clock, launches, portwatch, sleep
from dynod.engine.app_loop import Happened
from dynod.host.jail_link import Ended as HostEnded
from dynod.model.app import AppId
from dynod.model.dyno import DynoId
from dynod.model.observation import Observation
from dynod.model.refused import Refused

if TYPE_CHECKING:
    from dynod.engine.house import House

_log = logging.getLogger(__name__)


class Deeds:
    """What is being done about dynos, and what was heard of them before it could be told."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._watches: dict[DynoId, asyncio.Task[None]] = {}
        self.early: dict[DynoId, HostEnded] = {}  # over before their launch could be told
        self.endings: dict[DynoId, asyncio.Future[int]] = {}  # who waits for a one-off
        self.reaping: set[DynoId] = set()
        self.happened: Counter[str] = Counter()  # boots, and how dynos ended, since we began

    def perform(self, app: AppId, fleet: Fleet, effect: Effect) -> None:
        """Begin one effect of a step that led to this fleet."""
        house, spawn = self._house, self._house.tasks.spawn
        match effect:
            case Boot(dyno):
                self.happened["boot"] += 1
                house.launching.add(dyno)
                spawn(self._boot(app, fleet.dynos[dyno]))
            case WatchPort(dyno):
                self._unwatch(dyno)  # it is asked for again when the dyno host comes back
                self._watches[dyno] = spawn(self._watch(app, fleet.dynos[dyno]))
            case Signal(dyno, signal):
                spawn(self._signal(dyno, signal))
            case Freeze(dyno):
                spawn(sleep.freeze(house, app, fleet.dynos[dyno]))
            case Thaw(dyno):
                spawn(house.machine.thaw(dyno))
            case AskActivity():
                spawn(sleep.ask(house, app))
            case Reap(dyno):
                self._unwatch(dyno)
                self.reaping.add(dyno)
                spawn(self.reap(app, dyno))
            case Say(name, text):
                house.say(app, str(name), text)
            case Ended(dyno, status):
                ending = self.endings.pop(dyno, None)
                if ending is not None and not ending.done():
                    ending.set_result(status)
            case Died():
                self.happened[str(effect.state)] += 1
                house.autopsies.expect(effect)
            case Note(dyno, name, what, detail):
                note = Observation(dyno, str(name), app, what, clock.now().wall, detail)
                spawn(house.unwritten.write(note, partial(house.observations.note, [note])))

    async def _boot(self, app: AppId, dyno: Dyno) -> None:
        house = self._house
        try:
            address = await launches.launch(house, app, dyno)
        except (Refused, ConnectionError, RuntimeError, OSError) as error:
            event: Launched | LaunchFailed = LaunchFailed(launches.reason(dyno, error))
        except Exception:  # noqa: BLE001  # a bug must not leave a dyno on its way for ever
            _log.exception("app %s: cannot boot %s", app, dyno.name)
            event = LaunchFailed(f"cannot start {dyno.name}: dynod itself has failed, its log says how")
        else:
            event = Launched(address)
        finally:
            house.launching.discard(dyno.id)
        house.loop(app).post(Happened(dyno.id, event))
        if (early := self.early.pop(dyno.id, None)) is not None:
            house.on_exit(early)

    def _unwatch(self, dyno: DynoId) -> None:
        if (watch := self._watches.pop(dyno, None)) is not None:
            watch.cancel()

    async def _watch(self, app: AppId, dyno: Dyno) -> None:
        await portwatch.accepts(dyno.address, dyno.port)
        self._house.loop(app).post(Happened(dyno.id, PortBound()))

    async def _signal(self, dyno: DynoId, signal: int) -> None:
        if signal == SIGTERM:
            await self._house.routed()
        await self._house.machine.signal(dyno, signal)

    async def reap(self, app: AppId, dyno: DynoId) -> None:
        """Write down how it ended, and let go of all that it had."""
        self.reaping.add(dyno)
        try:
            await self._reap(app, dyno)
        finally:
            self.reaping.discard(dyno)

    async def _reap(self, app: AppId, dyno: DynoId) -> None:
        house = self._house
        house.memory.end(dyno)
        house.plans.pop(dyno, None)
        house.sessions.pop(dyno, None)
        opened = await house.autopsies.open(app, dyno, await house.machine.leavings(dyno))
        await house.machine.give_back(dyno)
        if opened is not None and app in house.ledger.apps:
            await house.autopsies.close(opened)
        await house.forget(app)
