"""What a person can set, with its defaults (docs/settings.md). host/config.py reads dynod.toml and flags into this."""

from dataclasses import dataclass

from dynod.model.formation import DynoSize

ROUTER_USER = "dynod-router"  # whom routers run as under systemd


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """`state` outlives reboots, `run` does not. Seconds and bytes throughout."""

    state: str = "/var/lib/dynod"
    run: str = "/run/dynod"
    api: Endpoint = Endpoint("127.0.0.1", 5000)
    # Of the API's host, for attached sessions of the official CLI; 0: see api/server.py.
    rendezvous_port: int = 0
    router: Endpoint = Endpoint("127.0.0.1", 8080)
    router_tls: Endpoint | None = None  # host/config.py puts it beside `router` if nobody says otherwise
    metrics: Endpoint | None = None  # where Prometheus reads, on this machine only; nowhere without it
    domain: str = "localhost"
    owner_email: str = "admin@localhost"
    router_workers: int = 2
    # Requests per dyno under way at once, then they wait; 0 for no limit (HEROKU.md 4.1).
    router_in_flight: int = 50
    router_backlog: int = 50  # requests per dyno that wait, then H11
    router_websockets: int = 10_000  # per dyno and worker, then H22; 0 for no limit
    router_connections_per_address: int = 0  # of one client address, per worker; 0 for no limit
    router_head_timeout: float = 30.0  # a client within the head of a request
    router_idle_timeout: float = 55.0  # without a byte of either side: H15, H28
    router_keep_alive: float = 90.0  # a client between two requests
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_email: str = ""
    acme_trusted: str = ""  # PEM file of who signed the ACME server's own certificate; else the system's
    # Dynos run as uids uid_first .. uid_first + uid_count - 1; uid_first - 1 owns slugs.
    uid_first: int = 200_000
    uid_count: int = 4_000
    uids: str = ""  # FIRST:COUNT or subuid, which sets the two above (host/uid_range.py)
    warm: int = 4  # embryos, namespaces and the like kept ready
    boot_timeout: float = 60.0  # R10
    stop_grace: float = 30.0  # R12
    idle_after: float = 30 * 60.0  # without a request until eco dynos sleep (HEROKU.md 1.9)
    eco_hours: float = 1000.0  # a month, of an account
    build_timeout: float = 25 * 60.0
    release_timeout: float = 3600.0
    slug_bytes: int = 1024**3  # compressed, HEROKU.md 3.1
    unpacked_bytes: int = 4 * 1024**3
    slug_entries: int = 500_000
    checkout_bytes: int = 1024**3
    build_memory: int = 2 * 1024**3
    build_disk: int = 4 * 1024**3  # for all that a build writes, its app's cache included
    cache_bytes: int = 1024**3  # what an app's build cache may hold from one build to the next
    disk_ceiling: str = "auto"  # how dynos are kept to their size's disk: a word of model.jail.Ceiling
    # Lines, or kibibytes, a second that each dyno may log; 0 for no limit (logplex/flood.py).
    log_rate: int = 2_000
    sizes: tuple[DynoSize, ...] = ()  # [sizes.NAME] in dynod.toml, beside Heroku's own
    lab_time: bool = False  # whether `dyno lab:advance` may let time pass: for tests, never where apps count


def control_socket(run: str) -> str:
    """MessagePack-RPC for people and tools: RUN/control.sock."""
    return f"{run}/control.sock"


def host_socket(run: str) -> str:
    """The dyno host's: RUN/host.sock (SOCK_SEQPACKET, JSON, descriptors beside)."""
    return f"{run}/host.sock"


def net_socket(run: str) -> str:
    """The network helper's MessagePack-RPC: RUN/net.sock."""
    return f"{run}/net.sock"


def log_socket(run: str) -> str:
    """Logplex's MessagePack-RPC: RUN/logplex.sock."""
    return f"{run}/logplex.sock"


def routes_socket(run: str) -> str:
    """Where the control plane hands tables to router workers: RUN/routes.sock."""
    return f"{run}/routes.sock"


def routes_file(state: str) -> str:
    """The last table, for a router that starts while the control plane is away: STATE/router/table."""
    return f"{state}/router/table"


def certs_file(state: str) -> str:
    """The last certificates, for the router's start: STATE/router/certs, for its user's eyes only."""
    return f"{state}/router/certs"
