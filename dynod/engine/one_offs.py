"""One-off dynos: `heroku run` attached and detached, and the release phase's. Never restarted, gone when they end."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynod.core import activity, one_offs
from dynod.core.cycling import cycle_at
from dynod.core.environ import expanded, one_off_command
from dynod.core.events import HungUp
from dynod.core.ledger import AppState
from dynod.core.lifecycle import Dyno, Kind
from dynod.engine import clock, launches
from dynod.engine.app_loop import Happened, StartOneOff
from dynod.engine.attach import Session
from dynod.engine.platform import Attached, RunAsk
from dynod.model.app import Account, App
from dynod.model.dyno import DynoId, DynoName, DynoView
from dynod.model.formation import DEFAULT_SIZE, ECO, DynoSize, ProcessType, process_type
from dynod.model.jail import Stdio
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Release

if TYPE_CHECKING:
    from dynod.engine.house import House


def _future() -> "asyncio.Future[tuple[int, ...]]":
    return asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants of one dyno's launch; `fds` is set once it runs, to () if it could not."""

    env: Mapping[str, str]
    stdio: Stdio
    window: tuple[int, int] = (80, 24)
    fds: "asyncio.Future[tuple[int, ...]]" = field(default_factory=_future)


def _number(house: "House", app: App, type_: ProcessType) -> DynoName:
    taken = {dyno.name for dyno in house.loop(app.id).fleet.dynos.values()}
    while (name := DynoName(type_, house.draw.number())) in taken:
        pass
    return name


async def start(
    house: "House",
    app: App,
    release: Release,
    type_: ProcessType,
    command: str,
    size: DynoSize,
    asked: Asked,
    *,
    attached: bool,
    why: str,
    ttl: float | None = None,
) -> tuple[Dyno, "asyncio.Future[int]"]:
    """Put a one-off on its way; return it with the future of its exit status. Raise Refused if its app is destroyed meanwhile."""
    now, loop = clock.now(), house.loop(app.id)
    port = house.draw.port()
    dyno = Dyno(
        id=DynoId(house.draw.new_id()),
        app=app.id,
        name=_number(house, app, type_),
        kind=Kind.ONE_OFF,
        release=release.id,
        version=release.version,
        size=size.name,
        command=command,
        said=expanded(command, {**release.config, "PORT": str(port)}),
        port=port,
        created=now.wall,
        entered=now.wall,
        launched=now.mono,
        cycle=cycle_at(now.mono, house.draw.cycle()),
        stop_grace=house.settings.stop_grace,
        ttl=ttl,
        attached=attached,
    )
    ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    house.deeds.endings[dyno.id] = ending
    house.sessions[dyno.id] = asked
    house.coming[dyno.id] = dyno
    try:
        await loop.ask(StartOneOff(dyno, why))
    finally:
        del house.coming[dyno.id]
    if dyno.id not in loop.fleet.dynos:  # nobody would ever tell of its end
        house.deeds.endings.pop(dyno.id, None)
        house.sessions.pop(dyno.id, None)
        house.state(app)  # which says so if that is why
        raise RuntimeError(
            f"cannot start {dyno.name} of {app.name}: dynod itself has failed, its log says how"
        )
    return dyno, ending


def window(env: Mapping[str, str]) -> tuple[int, int]:
    def number(key: str, default: int) -> int:
        text = str(env.get(key, ""))
        return int(text) if text.isdecimal() and 0 < int(text) < 10_000 else default

    return number("COLUMNS", 80), number("LINES", 24)


def command_line(state: AppState, release: Release | None, asked: str) -> str:
    """What a dyno of this release is to run for what was asked; raise Refused for nothing."""
    if not asked.strip():
        raise Refused(Refusal.INVALID, "cannot run an empty command")
    slug = state.slug_of(release)
    return one_off_command(asked, {} if slug is None else slug.process_types)


async def run(house: "House", actor: Account, app: App, ask: RunAsk) -> tuple[DynoView, Attached | None]:
    """`POST /apps/{app}/dynos`; raise Refused."""
    state = house.state(app)
    release = state.current
    assert release is not None
    if ask.ttl is not None and not 1 <= ask.ttl <= 86_400:
        raise Refused(Refusal.INVALID, "cannot use that time_to_live: it must be 1 to 86400 seconds")
    command = command_line(state, release, ask.command)
    streams = Stdio.PIPE if ask.force_no_tty else Stdio.PTY
    stdio = streams if ask.attach else Stdio.LOG
    size = ask.size or DEFAULT_SIZE
    if size == ECO and house.eco.spent:
        raise Refused(
            Refusal.INVALID,
            f"cannot start an Eco one-off dyno of {app.name}: the account's eco dyno hours of this month are used up; "
            "use another size",
        )
    coming = [dyno for dyno in house.coming.values() if dyno.app == app.id]
    one_offs.check_room(app.name, [*house.loop(app.id).fleet.dynos.values(), *coming], size)
    asked = Asked(ask.env, stdio, window(ask.env))
    house.log.write(app.id, "app", "api", activity.one_off(ask.command, actor.email))
    dyno, ending = await start(
        house,
        app,
        release,
        process_type(ask.type),
        command,
        size,
        asked,
        attached=ask.attach,
        why=f"run by {actor.email}",
        ttl=ask.ttl,
    )
    if not ask.attach:
        return launches.view(dyno), None
    loop = house.loop(app.id)
    fds = await asked.fds
    if not fds:
        house.state(app)  # that it is no more says more
        raise Refused(
            Refusal.UNAVAILABLE, f"cannot start {dyno.name} of {app.name}; see `dyno logs -a {app.name}`"
        )

    def hang_up() -> None:
        loop.post(Happened(dyno.id, HungUp()))

    def unclaimed() -> None:
        loop.post(Happened(dyno.id, HungUp(unclaimed=True)))

    return launches.view(dyno), Session(launches.view(dyno), stdio, fds, ending, hang_up, unclaimed)
