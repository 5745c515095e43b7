"""All that is counted of the platform, gathered when somebody asks for it."""

from collections import Counter
from typing import TYPE_CHECKING

from dynod.engine.platform import Readings
from dynod.model.app import AppId

if TYPE_CHECKING:
    from dynod.engine.house import House


async def readings(house: "House") -> Readings:
    """Ask the routers and logplex; who does not answer counts as it last did, or not at all."""
    await house.router.measure()
    counts = house.router.counts
    names = {app: str(state.app.name) for app, state in house.ledger.apps.items()}
    return Readings(
        traffic={names[AppId(app)]: one for app, one in counts.apps().items() if app in names},
        in_flight={names[AppId(app)]: one for app, one in counts.in_flight().items() if app in names},
        dynos=Counter(str(dyno.shown) for loop in house.loops() for dyno in loop.fleet.dynos.values()),
        happened=dict(house.deeds.happened),
        lines=await house.log.kept(),
        lines_dropped=house.log.lost,
        router_lines=counts.lines,
        router_lines_dropped=counts.dropped,
        workers=house.router.workers,
    )
