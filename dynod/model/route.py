"""The routing table: one immutable value with a generation, made whole at each change (core/routes.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Standing(StrEnum):
    """Why an app's requests go where they go; the router turns all but SERVING into an H-code (HEROKU.md 4.5)."""

    SERVING = "serving"  # at least one backend
    BOOTING = "booting"  # no backend yet, a web dyno is starting: hold the request up to 75 s, then H20
    CRASHED = "crashed"  # H10
    NO_WEB = "no_web"  # H14
    IDLE = "idle"  # asleep: ask for a wake and hold the request
    SPENT = "spent"  # H82, asleep till the end of the month
    BLANK = "blank"  # H81, nothing was ever deployed
    MAINTENANCE = "maintenance"  # H80


@dataclass(frozen=True, slots=True)
class Backend:
    """A web dyno whose $PORT accepts. `id` is the dyno's uuid, `dyno` its name as the log shows it."""

    id: str
    dyno: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class AppRoute:
    """`app` is the app's id (the log's key). `error_page`, `maintenance_page`: URLs from config vars or ''."""

    app: str
    name: str
    standing: Standing
    backends: tuple[Backend, ...] = ()
    error_page: str = ""
    maintenance_page: str = ""
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one router does for clients and dynos at most; 0 is no limit, None the router's own number (router/timers.py).

    The control plane writes those of model.settings; a table that says nothing limits nothing.
    """

    in_flight: int = 0  # requests per dyno; WebSockets do not count
    backlog: int = 0  # requests that wait per dyno, else H11; of no meaning where `in_flight` is 0
    tunnels: int = 0  # WebSockets per dyno and worker, else H22
    per_address: int = 0  # connections per client address and worker
    head: float | None = None  # seconds for a request's head
    idle: float | None = None  # seconds without a byte of either side
    keep_alive: float | None = None  # seconds between two requests


@dataclass(frozen=True, slots=True)
class RouteTable:
    """`hosts`: lower-case host name without port -> app id; `*.example.com` for a wildcard, one label deep."""

    generation: int = 0
    apps: Mapping[str, AppRoute] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
