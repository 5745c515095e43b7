"""The release phase: the `release` command of a new release runs in a one-off before the formation sees it (HEROKU.md 2.1).

The old release keeps running until the command has ended with 0; anything else fails the new one and leaves the old alone.
"""

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dynod.core import changes
from dynod.core.effects import SIGTERM
from dynod.core.ledger import Ledger
from dynod.engine.app_loop import StopDyno
from dynod.engine.attach import read_all
from dynod.engine.one_offs import Asked, start
from dynod.model.app import Account, App, AppId
from dynod.model.entry import Payload
from dynod.model.formation import DEFAULT_SIZE, RELEASE
from dynod.model.jail import Stdio
from dynod.model.refused import Refused
from dynod.model.release import Release, ReleaseId, ReleaseStatus

if TYPE_CHECKING:
    from dynod.engine.house import House


async def settle(house: "House", app: AppId, release: ReleaseId, status: ReleaseStatus) -> None:
    """Write down how the phase ended, where the disk is full as soon as there is room; a release that succeeded takes effect with this."""

    def rule(ledger: Ledger) -> Sequence[Payload]:
        state = ledger.apps.get(app)
        if state is None or state.pending is None or state.pending.id != release:
            return ()
        return changes.settle_release(state, release, status, house.draw.new_id)

    async def write() -> None:
        await house.books.commit(house.owner(), app, rule)

    await house.unwritten.write(("release", release), write)


async def _output(house: "House", app: App, name: str, release: Release, asked: Asked) -> None:
    fds = await asked.fds
    if not fds:
        return
    stdin, stdout = fds
    os.close(stdin)
    rest = b""
    try:
        async for data in read_all(stdout):
            if (output := house.outputs.current(release.id)) is not None:
                output.write(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                house.log.write(app.id, "app", name, line.decode(errors="replace").rstrip("\r"))
    finally:
        os.close(stdout)
    if rest:
        house.log.write(app.id, "app", name, rest.decode(errors="replace"))


async def run(house: "House", actor: Account, app: App, release: Release) -> None:
    """Run the command, then settle the release; whatever happens here, it is settled."""
    status = ReleaseStatus.FAILED
    try:
        state = house.state(app)
        assert release.slug is not None
        command = state.slugs[release.slug].process_types[RELEASE]
        row = next((row for row in state.formation if row.type == RELEASE), None)
        size = DEFAULT_SIZE if row is None else row.size
        asked = Asked({}, Stdio.PIPE)
        dyno, ending = await start(
            house,
            app,
            release,
            RELEASE,
            command,
            size,
            asked,
            attached=False,
            why=f"release v{release.version} by {actor.email}",
        )
        reading = asyncio.ensure_future(_output(house, app, str(dyno.name), release, asked))
        try:
            async with asyncio.timeout(house.settings.release_timeout):
                code = await asyncio.shield(ending)
        except TimeoutError:
            house.loop(app.id).post(StopDyno(dyno.id, "its release phase took too long", SIGTERM))
            code = await ending or 1
        await reading
        status = ReleaseStatus.SUCCEEDED if code == 0 else ReleaseStatus.FAILED
    except Refused as refused:  # its app was destroyed meanwhile, say
        if (output := house.outputs.current(release.id)) is not None:
            output.line(f" !     {refused}")
    finally:
        await settle(house, app.id, release.id, status)
        house.outputs.close(release.id)
