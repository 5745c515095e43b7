"""Which app a Host header means: exact name first, then the wildcard one label up (HEROKU.md 4.6). Owns no table's making."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dynod.model.route import AppRoute, RouteTable, Standing
from router.affinity import FEATURE, tokens
from router.balance import NO_LIMIT, Queue, Target, targets

CLOSE_DYNO = "http-disable-keepalive-to-dyno"
MEMO = 4096  # spellings of Host remembered per table; who sends more of them makes us forget, and never stop to learn
_HOST = re.compile(rb"(?:[^:\[\]]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# What a client may put in a wildcard's place: it goes into the access line.
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")


class Site(NamedTuple):
    """`host` as the access line shows it: as sent, without the port. `targets` is empty unless the app is serving."""

    route: AppRoute
    host: str
    targets: tuple[Target, ...]
    close_dyno: bool = False  # the app wants a connection per request
    # By cookie: the app wants each browser to stay with one dyno.
    sticky: Mapping[bytes, Target] | None = None


class Routes:
    """One table, ready for lookups. A new table is a new Routes: readers see the old one or the new one, whole.

    `most`: requests in flight per dyno, of this worker. `queues`, an app's each, outlive their tables.
    """

    __slots__ = ("_changed", "bounds", "plain", "queues", "seen", "table", "targets_of")

    def __init__(self, table: RouteTable, before: "Routes | None" = None, most: int = NO_LIMIT) -> None:
        self.table = table
        self.seen: dict[bytes, Site] = {}  # answers of `find`, by spelling: a request looks here first
        self.plain: dict[
            bytes, Site
        ] = {}  # of these, the ones that have dynos and want nothing special of us
        self.bounds = (most, table.limits)
        self.queues: dict[str, Queue] = {} if before is None else dict(before.queues)
        self.targets_of: dict[str, tuple[Target, ...]] = {} if before is None else dict(before.targets_of)
        self._changed = self._different(before)
        for id in self._changed:
            app = table.apps.get(id)
            if app is None:
                del self.queues[id], self.targets_of[id]
                continue
            queue = self.queues.setdefault(id, Queue())
            made = self.targets_of[id] = self._made(app, before)
            for target in made:
                target.limit(most, queue, table.limits.tunnels or NO_LIMIT)

    def _different(self, before: "Routes | None") -> list[str]:
        """Name the apps that are not the very same values as before (wire/table.py sees to that): a swap costs next to nothing for others."""
        apps = self.table.apps
        if before is None:
            return list(apps)
        old = before.table.apps
        all_anew = before.bounds != self.bounds
        different = [id for id, app in apps.items() if old.get(id) is not app or all_anew]
        if len(apps) - sum(id not in old for id in different) < len(old):
            different += [id for id in old if id not in apps]
        return different

    @staticmethod
    def _made(app: AppRoute, before: "Routes | None") -> tuple[Target, ...]:
        if app.standing is not Standing.SERVING:
            return ()
        known = before.targets_of.get(app.app, ()) if before is not None else ()
        return targets(app.backends, {target.backend.id: target for target in known})

    def left(self, before: "Routes") -> Iterator[Target]:
        """Yield the targets of `before` that are none any more."""
        for id in self._changed:
            kept = set(self.targets_of.get(id, ()))
            yield from (target for target in before.targets_of.get(id, ()) if target not in kept)

    def idle(self) -> Iterator[Target]:
        """Yield the targets to which connections are kept."""
        for made in self.targets_of.values():
            yield from [target for target in made if target.idle]

    def by_id(self) -> dict[str, Target]:
        """Give every target, by its backend's id."""
        return {target.backend.id: target for app in self.targets_of.values() for target in app}

    def find(self, host: bytes) -> Site | None:
        """Look up a Host header as the client sent it; None for a name nobody has."""
        site = self._search(host) if is_plain(host) else None
        if site is not None:
            if len(self.seen) >= MEMO:
                self.seen.clear()
                self.plain.clear()
            self.seen[host] = site
            if site.targets and site.sticky is None and not site.close_dyno:
                self.plain[host] = site
        return site

    def _search(self, host: bytes) -> Site | None:
        name = without_port(host).decode("ascii", "replace")
        key = name.lower().removesuffix(".")
        hosts = self.table.hosts
        app = hosts.get(key)
        if app is None:
            label, dot, rest = key.partition(".")
            app = hosts.get(f"*.{rest}") if dot and _LABEL.fullmatch(label) else None
        route = None if app is None else self.table.apps.get(app)
        if route is None:
            return None
        found = self.targets_of[route.app]
        sticky = tokens(route.app, found) if FEATURE in route.features else None
        return Site(route, name, found, CLOSE_DYNO in route.features, sticky)


def is_plain(host: bytes) -> bool:
    """Whether it is a name and a port (RFC 9110 7.2): of `a.example:80@b.example` an app may make another name than we do."""
    return _HOST.fullmatch(host) is not None


def without_port(host: bytes) -> bytes:
    """`a.example:80` -> `a.example`; an IPv6 literal keeps its brackets."""
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0]
