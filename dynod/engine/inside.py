"""Into a dyno that runs: one more command (`heroku run:inside`, `ps:exec`), or a connection to one of its ports."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from dynod.core import activity
from dynod.core.environ import argv, inside
from dynod.core.lifecycle import Dyno, Phase
from dynod.engine import launches
from dynod.engine.attach import Session
from dynod.engine.one_offs import command_line, window
from dynod.engine.platform import Attached, RunAsk
from dynod.model.app import Account, App
from dynod.model.dyno import DynoView
from dynod.model.jail import JoinPlan, Stdio
from dynod.model.refused import Refusal, Refused

if TYPE_CHECKING:
    from dynod.engine.house import House

CONNECT = 10.0  # seconds
_CHUNK = 64 * 1024


def _running(house: "House", app: App, which: str) -> Dyno:
    """Find a dyno by name or id; raise Refused unless there are processes in it."""
    for dyno in house.loop(app.id).fleet.shown():
        if which in {str(dyno.name), dyno.id}:
            if dyno.phase not in {Phase.STARTING, Phase.UP}:
                raise Refused(
                    Refusal.CONFLICT,
                    f"cannot enter {dyno.name} of {app.name}: it does not run; see `dyno ps -a {app.name}`",
                )
            return dyno
    raise Refused(Refusal.NOT_FOUND, "Couldn't find that dyno.")


async def run(house: "House", actor: Account, app: App, which: str, ask: RunAsk) -> Attached:
    """Start a command in a dyno, with the environment it was launched with; raise Refused."""
    dyno = _running(house, app, which)
    state = house.state(app)
    release = next((each for each in state.releases if each.id == dyno.release), None)
    command = command_line(state, release, ask.command)
    launched = house.plans.get(dyno.id)
    if launched is None:
        raise Refused(
            Refusal.GONE,
            f"cannot enter {dyno.name} of {app.name}: what it was launched with is not known any more; restart it",
        )
    columns, lines = window(ask.env)
    stdio = Stdio.PIPE if ask.force_no_tty else Stdio.PTY
    session = str(uuid.uuid4())
    env = inside(launched.env, ask.env)
    plan = JoinPlan(dyno.id, session, argv(command), env, launched.cwd, stdio, columns, lines)
    house.log.write(app.id, "app", "api", activity.inside(str(dyno.name), ask.command, actor.email))
    joined = await house.machine.exec(plan)
    let_go = _hold(house, app, session)
    joined.ended.add_done_callback(lambda _: let_go())

    def hang_up() -> None:
        house.tasks.spawn(house.machine.hang_up(session))

    return Session(launches.view(dyno), stdio, joined.fds, joined.ended, hang_up)


def _hold(house: "House", app: App, session: str) -> Callable[[], None]:
    """An app does not fall asleep under somebody's hands, until these let go."""
    held = (app.id, session)
    house.joined.add(held)
    return partial(house.joined.discard, held)


async def dial(house: "House", app: App, which: str, port: int) -> Attached:
    """Connect to a port of this dyno and of no other place: the address is the one it was launched with; raise Refused."""
    dyno = _running(house, app, which)
    if not 1 <= port <= 65_535 or not dyno.address:
        raise Refused(Refusal.INVALID, f"cannot reach port {port} of {dyno.name}")
    try:
        async with asyncio.timeout(CONNECT):
            reader, writer = await asyncio.open_connection(dyno.address, port, limit=_CHUNK)
    except (OSError, TimeoutError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it did not answer"
        raise Refused(
            Refusal.UNAVAILABLE,
            f"cannot reach port {port} of {dyno.name}: {why.lower()}; is something listening there on 0.0.0.0?",
        ) from None
    return Dialed(launches.view(dyno), reader, writer, _hold(house, app, str(uuid.uuid4())))


class Dialed:
    """`Attached` of engine/platform.py: a connection's two directions. `let_go` is called when it is closed."""

    def __init__(
        self,
        dyno: DynoView,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        let_go: Callable[[], None],
    ) -> None:
        self.dyno = dyno
        self._reader, self._writer, self._let_go = reader, writer, let_go

    async def output(self) -> AsyncIterator[bytes]:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(_CHUNK):
                yield data

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def write_eof(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def resize(self, columns: int, lines: int) -> None:
        """A connection has no window."""

    async def status(self) -> int:
        return 0

    def close(self) -> None:
        self._let_go()
        self._writer.transport.abort()

    def unclaimed(self) -> None:
        self.close()
