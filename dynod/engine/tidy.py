"""Keeping the disk: what nothing needs any more is removed at the start and after each release, so that it never fills in silence.

Slugs that no release stands on, transcripts that are too old, what interrupted builds left, skeletons of older stacks. Which these
are is said by core/retention.py; nothing that is running is ever among them.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dynod.core import retention
from dynod.core.ledger import Ledger
from dynod.host.stack import remove_unused
from dynod.model.app import AppId
from dynod.model.entry import ReleaseSettled
from dynod.model.refused import Refused
from dynod.model.release import BuildStatus
from dynod.removal import remove_tree

if TYPE_CHECKING:
    from dynod.engine.house import House

STORING = 3600.0  # seconds in which a slug on the disk may be new to the ledger
_log = logging.getLogger(__name__)


def _expired(app: AppId, wall: float, ledger: Ledger) -> Sequence[ReleaseSettled]:
    state = ledger.apps.get(app)
    return () if state is None else retention.expired(state, wall)


def _age(path: str, wall: float) -> float:
    return wall - os.stat(path).st_mtime


async def tidy(house: "House") -> None:
    """Expire what is old, then remove what is not needed; a failure is logged and tried again the next time."""
    wall = house.now().wall
    with contextlib.suppress(Refused):
        for app, state in house.ledger.apps.items():
            if retention.expired(state, wall):
                await house.books.commit(house.owner(), app, partial(_expired, app, wall))
    states = tuple(house.ledger.apps.values())
    builds = {each.id for state in states for each in state.builds if each.status is BuildStatus.PENDING}
    slugs = house.slugs.stored() - retention.needed_slugs(states, wall)
    outputs = set(os.listdir(house.outputs.directory)) - retention.needed_outputs(states, wall)
    skeletons = {house.machine.ground.skeleton}
    skeletons |= {plan.lower[-1][0] for plan in house.plans.values()}
    try:
        for sha256 in slugs:
            if sha256 not in house.incoming and _age(house.slugs.archive(sha256), wall) > STORING:
                await asyncio.to_thread(house.slugs.remove, sha256)
        for name in outputs:
            house.outputs.remove(name)
        for name in set(os.listdir(f"{house.settings.state}/builds")) - builds:
            await asyncio.to_thread(remove_tree, f"{house.settings.state}/builds/{name}")
        await asyncio.to_thread(remove_unused, house.settings.state, skeletons)
    except OSError as error:
        _log.warning("cannot tidy up: %s", error)
    if slugs or outputs:
        _log.info("removed %d slugs and %d transcripts that nothing needs any more", len(slugs), len(outputs))
