"""Meeting the dyno host, at the start and whenever it comes back: what lives is adopted, what is lost is started anew.

The fleets' records say what should live, the host's list what does. What nobody recorded (a build whose engine was killed, say) is
ended; networks of dynos that are no more are given back.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dynod.core.effects import SIGKILL, SIGTERM
from dynod.core.events import Launched
from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.core.reconcile import resumed
from dynod.core.unseen import ended_unseen
from dynod.engine import launches
from dynod.engine.app_loop import Adopt, AppLoop, Happened, Reconcile, StopDyno
from dynod.host.jail_link import Live
from dynod.model.app import AppId
from dynod.model.dyno import DynoId
from dynod.model.formation import dyno_size
from dynod.model.refused import Refused

if TYPE_CHECKING:
    from dynod.engine.house import House

HISTORY = 20  # observations of one dyno: it has a handful
_log = logging.getLogger(__name__)


async def adopt(house: "House", live: Sequence[Live]) -> None:
    """Bring every fleet and what the host holds together."""
    alive = {each.id: each for each in live}
    known = {dyno for loop in house.loops() for dyno in loop.fleet.dynos}
    for loop in house.loops():
        try:
            _adopt_app(house, loop, alive)
        except Exception:  # noqa: BLE001  # one app's bug stays that app's, here too
            _log.exception("app %s: cannot adopt its dynos", loop.app)
    for dyno_id, waiting in house.waits.items():
        if dyno_id not in alive and dyno_id not in house.launching and not waiting.done():
            waiting.set_result(128 + SIGKILL)
    known |= house.launching | set(house.waits)
    over = {
        dyno.id: dyno
        for loop in house.loops()
        for dyno in loop.fleet.dynos.values()
        if dyno.phase is Phase.ENDED
    }
    apps = {loop.app for loop in house.loops()}
    for each in live:
        if each.status is not None and DynoId(each.id) in house.deeds.reaping:
            continue
        if each.status is not None and (each.id in over or each.id not in known) and _of_an_app(each, apps):
            house.tasks.spawn(_bury(house, each, over.get(DynoId(each.id))))
        elif each.id not in known:
            house.tasks.spawn(_end_unknown(house, each))
    house.tasks.spawn(house.machine.sweep_networks(known | {DynoId(each) for each in alive}))


def _adopt_app(house: "House", loop: AppLoop, alive: dict[str, Live]) -> None:
    fleet = loop.fleet
    dynos = [each for each in fleet.dynos.values() if each.phase is not Phase.ENDED]
    gone = tuple(dyno.id for dyno in dynos if dyno.id not in alive and dyno.id not in house.launching)
    for dyno in dynos:
        if dyno.id in alive and dyno.id not in house.launching:
            _adopt_dyno(house, loop, dyno, alive[dyno.id])
    there = replace(fleet, dynos={id: dyno for id, dyno in fleet.dynos.items() if id not in gone})
    # What is gone leaves the fleet in that step: nothing is asked of it.
    loop.post(Adopt(resumed(there), gone))
    for dyno in dynos:
        if dyno.kind is Kind.ONE_OFF and dyno.attached and dyno.id not in house.sessions:
            loop.post(StopDyno(dyno.id, "its client's connection was lost", SIGTERM))
    loop.post(Reconcile("the control plane was restarted"))
    if dynos:
        _log.info("app %s: adopted %d dynos, %d are gone", loop.app, len(dynos) - len(gone), len(gone))


def _adopt_dyno(house: "House", loop: AppLoop, dyno: Dyno, live: Live) -> None:
    with contextlib.suppress(Refused):
        house.plans[dyno.id] = launches.recalled_plan(house, dyno, live)
    with contextlib.suppress(Refused):  # of a size that is no more
        if live.status is None:
            house.memory.begin(dyno.app, dyno.id, dyno.name, dyno_size(dyno.size).memory, live.cgroups)
    if live.frozen and dyno.phase is not Phase.FROZEN:
        house.tasks.spawn(house.machine.thaw(dyno.id))  # it was to be woken when its engine was killed
    if dyno.phase is Phase.LAUNCHING:
        loop.post(Happened(dyno.id, Launched(live.labels.get("address", ""))))


def _of_an_app(live: Live, apps: Collection[AppId]) -> bool:
    return live.labels.get("type") != "build" and live.labels.get("app", "") in apps


async def _bury(house: "House", live: Live, dyno: Dyno | None) -> None:
    """See off a dyno whose end was kept, and whose engine was killed before it had written down the rest: its autopsy, its leavings."""
    app, id, name = AppId(live.labels["app"]), DynoId(live.id), live.labels.get("name", "")
    seen = [each for each in await house.observations.history(app, HISTORY, id) if each.dyno == id]
    assert live.status is not None
    died = ended_unseen(id, name, live.status, live.labels, dyno, seen, house.now().wall)
    house.autopsies.expect(replace(died, peak=live.peak, tally=live.tally))
    await house.deeds.reap(app, id)


async def _end_unknown(house: "House", live: Live) -> None:
    dyno = DynoId(live.id)
    if live.status is None:
        ending = house.waits.setdefault(dyno, asyncio.get_running_loop().create_future())
        await house.machine.signal(dyno, SIGKILL)
        await ending
    await house.machine.give_back(dyno)
    house.waits.pop(dyno, None)
