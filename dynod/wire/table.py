"""The routing table as bytes: what goes over RUN/routes.sock and lies in STATE/router/table."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import astuple
from typing import Any

import msgpack

from dynod.model.route import AppRoute, Backend, Limits, RouteTable, Standing

STEP = 100  # rows that are read at once


class BadTable(Exception):
    """These bytes are no routing table."""


class Encoder:
    """Packs anew only the apps that have changed since its last table: most changes are one app's."""

    def __init__(self) -> None:
        self._apps: dict[str, tuple[AppRoute, bytes]] = {}
        self._packer = msgpack.Packer()

    def encode(self, table: RouteTable) -> bytes:
        """Write a table; `decode` reads it back equal."""
        self._apps = {key: self._kept(self._apps.get(key), app) for key, app in table.apps.items()}
        pack = self._packer.pack
        return b"".join(
            (
                self._packer.pack_array_header(5),
                *(pack(1), pack(table.generation), self._packer.pack_array_header(len(self._apps))),
                *(packed for _, packed in self._apps.values()),
                *(pack(dict(table.hosts)), pack(astuple(table.limits))),
            )
        )

    def _kept(self, known: tuple[AppRoute, bytes] | None, app: AppRoute) -> tuple[AppRoute, bytes]:
        if known is not None and known[0] is app:
            return known
        return app, self._packer.pack(_row(app))


def encode(table: RouteTable) -> bytes:
    """Write one table; `decode` reads it back equal."""
    return Encoder().encode(table)


def _row(app: AppRoute) -> list[Any]:
    return [
        app.app,
        app.name,
        app.standing.value,
        [[back.id, back.dyno, back.address, back.port] for back in app.backends],
        app.error_page,
        app.maintenance_page,
        sorted(app.features),
    ]


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


def change(before: RouteTable, after: RouteTable) -> bytes:
    """Write what is different; `changed` makes the one table of the other."""
    apps = [_row(app) for id, app in after.apps.items() if before.apps.get(id) is not app]
    hosts = {host: app for host, app in after.hosts.items() if before.hosts.get(host) != app}
    gone = [id for id in before.apps if id not in after.apps]
    unnamed = [host for host in before.hosts if host not in after.hosts]
    limited = astuple(after.limits)
    return bytes(msgpack.packb([1, before.generation, after.generation, apps, gone, hosts, unnamed, limited]))


def changed(before: RouteTable, data: bytes) -> RouteTable:
    """Make the next table of the one before; apps that did not change are the same values. Raise BadTable."""
    try:
        version, old, new, apps, gone, hosts, unnamed, limited = msgpack.unpackb(data)
        if version != 1 or old != before.generation or not isinstance(new, int):
            raise BadTable(f"not a change of the routing table {before.generation}")
        routes = {**before.apps, **{route.app: route for route in map(_app, apps)}}
        names = {**before.hosts, **hosts}
        for id in gone:
            del routes[id]
        for host in unnamed:
            del names[host]
        return RouteTable(new, routes, names, _limits(limited))
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise BadTable(f"not a change of a routing table: {error}") from error


class Decoder:
    """Reads anew only the apps whose bytes have changed since its last table; the others are the same values as before."""

    def __init__(self) -> None:
        self._apps: dict[bytes, AppRoute] = {}

    def decode(self, data: bytes) -> RouteTable:
        """Read a table; raise BadTable."""
        reading = self.decoding(data)
        while True:
            try:
                next(reading)
            except StopIteration as end:
                table: RouteTable = end.value
                return table

    def decoding(self, data: bytes) -> Generator[None, None, RouteTable]:
        """Read a table a few rows at a time, so that who reads it may do something else in between; raise BadTable."""
        apps: dict[bytes, AppRoute] = {}
        routes: dict[str, AppRoute] = {}
        hosts: dict[str, str] = {}
        try:
            parts = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
            parts.feed(data)
            rest = parts.read_array_header() - 4
            version, generation = parts.unpack(), parts.unpack()
            if version != 1:
                raise BadTable(f"a routing table of version {version}, this program reads 1")
            for count, row in enumerate(_rows(parts, data), 1):
                apps[row] = route = self._apps.get(row) or _app(msgpack.unpackb(row))
                routes[route.app] = route
                if count % STEP == 0:
                    yield
            for count in range(1, parts.read_map_header() + 1):
                host = parts.unpack()
                hosts[host] = parts.unpack()
                if count % STEP == 0:
                    yield
            limited = _limits(*[parts.unpack() for _ in range(rest)])
            if parts.tell() != len(data) or not isinstance(generation, int):
                raise BadTable("not a routing table: no generation, or more than a table")
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadTable(f"not a routing table: {error}") from error
        self._apps = apps
        return RouteTable(generation, routes, hosts, limited)


def _rows(parts: msgpack.Unpacker, data: bytes) -> Iterator[bytes]:
    for _ in range(parts.read_array_header()):
        start = parts.tell()
        parts.skip()
        yield data[start : parts.tell()]


def decode(data: bytes) -> RouteTable:
    """Read one table; raise BadTable."""
    return Decoder().decode(data)
