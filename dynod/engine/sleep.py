"""Sleep, as far as it is done and not decided (core/sleeping.py): what routers know is asked for, dynos are frozen and thawed."""

import logging
from typing import TYPE_CHECKING

from dynod.core.lifecycle import Dyno, Phase
from dynod.engine.app_loop import Active, Quiet
from dynod.model.app import AppId
from dynod.model.refused import Refused

if TYPE_CHECKING:
    from dynod.engine.house import House

_log = logging.getLogger(__name__)


async def ask(house: "House", app: AppId) -> None:
    """Have the routers say which apps had requests, then tell the app's loop that all is said."""
    loop = house.loop(app)
    await house.router.report()
    if any(held == app for held, _ in house.joined):
        loop.post(Active())
    loop.post(Quiet())


async def freeze(house: "House", app: AppId, dyno: Dyno) -> None:
    """Freeze a dyno once no router sends it requests. One that is to be thawed again meanwhile is let be."""
    loop = house.loop(app)
    await house.routed()
    newest = loop.fleet.dynos.get(dyno.id)
    if newest is None or newest.phase is not Phase.FROZEN:
        return
    try:
        await house.machine.freeze(dyno.id)
    except (ConnectionError, Refused, RuntimeError) as error:
        # Nothing is amiss but its memory and its processes' time: the request that wakes it finds it awake.
        _log.warning("app %s: %s runs on while it sleeps: %s", app, dyno.name, error)
        house.say(app, str(dyno.name), f"cannot freeze {dyno.name}, it runs on: {error}")
