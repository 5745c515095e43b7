"""What the router is told of one app: its standing and the web dynos that accept (HEROKU.md 4.5)."""

from collections.abc import Iterable, Mapping

from dynod.core.fleet import Fleet
from dynod.core.lifecycle import Dyno, Phase, asleep
from dynod.model.app import App, AppId
from dynod.model.domain import Hostname, own_hostname
from dynod.model.formation import WEB, Formation
from dynod.model.route import AppRoute, Backend, Limits, RouteTable, Standing
from dynod.model.settings import Settings

NO_LIMITS = Limits()


def _standing(
    app: App, rows: Iterable[Formation], *, deployed: bool, spent: bool, webs: list[Dyno]
) -> Standing:
    if app.maintenance:
        return Standing.MAINTENANCE
    if not deployed:
        return Standing.BLANK
    if spent and any(row.type == WEB and row.quantity > 0 for row in rows):
        return Standing.SPENT
    if any(dyno.phase is Phase.UP for dyno in webs):
        return Standing.SERVING
    if not any(row.type == WEB and row.quantity > 0 for row in rows):
        return Standing.NO_WEB
    if webs and all(asleep(dyno) for dyno in webs):
        return Standing.IDLE
    crashed = webs and all(dyno.phase is Phase.ENDED for dyno in webs)
    return Standing.CRASHED if crashed else Standing.BOOTING


def app_route(
    app: App,
    rows: Iterable[Formation],
    fleet: Fleet,
    config: Mapping[str, str],
    features: Mapping[str, bool],
    *,
    deployed: bool,
    spent: bool = False,
) -> AppRoute:
    """Say how one app stands. A dyno that was told to stop is no backend any more, even before it gets its SIGTERM."""
    webs = [fleet.dynos[slot.dyno] for name, slot in sorted(fleet.slots.items()) if name.type == WEB]
    standing = _standing(app, rows, deployed=deployed, spent=spent, webs=webs)
    backends = tuple(
        Backend(dyno.id, str(dyno.name), dyno.address, dyno.port) for dyno in webs if dyno.phase is Phase.UP
    )
    return AppRoute(
        app=app.id,
        name=app.name,
        standing=standing,
        backends=backends if standing is Standing.SERVING else (),
        error_page=config.get("ERROR_PAGE_URL", ""),
        maintenance_page=config.get("MAINTENANCE_PAGE_URL", ""),
        features=frozenset(name for name, on in features.items() if on),
    )


def limits(settings: Settings) -> Limits:
    """Pass on what was set for routers."""
    return Limits(
        in_flight=settings.router_in_flight,
        backlog=settings.router_backlog,
        tunnels=settings.router_websockets,
        per_address=settings.router_connections_per_address,
        head=settings.router_head_timeout,
        idle=settings.router_idle_timeout,
        keep_alive=settings.router_keep_alive,
    )


def table(
    generation: int,
    routes: Iterable[AppRoute],
    domain: str,
    custom: Mapping[Hostname, AppId],
    limits: Limits = NO_LIMITS,
) -> RouteTable:
    """Make the whole table anew; every app answers at NAME.domain and at its custom domains."""
    apps = {route.app: route for route in routes}
    own = {own_hostname(route.name, domain): route.app for route in apps.values()}
    hosts: dict[str, str] = {name: app for name, app in custom.items() if app in apps}
    return RouteTable(generation, apps, hosts | own, limits)
