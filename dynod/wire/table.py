"""The routing table as bytes: what goes over RUN/routes.sock and lies in STATE/router/table."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import msgpack

from dynod.model.route import AppRoute, Backend, Limits, RouteTable, Standing


class BadTable(Exception):
    """These bytes are no routing table."""


def encode(table: RouteTable) -> bytes:
    """Write a table; `decode` reads it back equal."""
    apps = [
        [
            app.app,
            app.name,
            app.standing.value,
            [[back.id, back.dyno, back.address, back.port] for back in app.backends],
            app.error_page,
            app.maintenance_page,
            sorted(app.features),
        ]
        for app in table.apps.values()
    ]
    return bytes(msgpack.packb([1, table.generation, apps, dict(table.hosts), astuple(table.limits)]))


def _app(row: Any) -> AppRoute:
    app, name, standing, backends, error_page, maintenance_page, features = row
    return AppRoute(
        app=app,
        name=name,
        standing=Standing(standing),
        backends=tuple(Backend(*back) for back in backends),
        error_page=error_page,
        maintenance_page=maintenance_page,
        features=frozenset(features),
    )


def _limits(row: Sequence[Any] = ()) -> Limits:
    """A table of an older control plane has none."""
    limits = Limits(*row)
    counts = (limits.in_flight, limits.backlog, limits.tunnels, limits.per_address)
    spans = (limits.head, limits.idle, limits.keep_alive)
    if not all(isinstance(count, int) for count in counts):
        raise BadTable("not a routing table: a limit that is no number")
    if not all(span is None or isinstance(span, float) for span in spans):
        raise BadTable("not a routing table: a time that is no number")
    return limits


def decode(data: bytes) -> RouteTable:
    """Read a table; raise BadTable."""
    try:
        version, generation, apps, hosts, *limits = msgpack.unpackb(data)
        if version != 1:
            raise BadTable(f"a routing table of version {version}, this program reads 1")
        routes = {route.app: route for route in map(_app, apps)}
        if not isinstance(generation, int) or not isinstance(hosts, dict):
            raise BadTable("not a routing table: no generation or no hosts")
        limited = _limits(*limits)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadTable(f"not a routing table: {error}") from error
    return RouteTable(generation, routes, hosts, limited)
