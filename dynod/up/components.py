"""The table of components: who is started, in which order, with which arguments. Pure."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dynod.host.config import as_argv
from dynod.model.settings import Settings

YOUNG = 10.0  # seconds: who dies earlier than this after its start died young
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0


@dataclass(frozen=True, slots=True)
class Component:
    """One program. `files` under RUN are its own: removed before each start and after the end.

    `sign` is the file under RUN that says it serves (a socket that answers, a .json that reads); where it is empty, the
    program writes a byte to the descriptor that stands for `READY_FD` in its argv. `grace`: seconds it may take to stop.
    """

    name: str
    argv: tuple[str, ...]
    files: tuple[str, ...]
    sign: str
    grace: float
    keeps_api: bool = False  # inherits the API's listening socket
    workers: bool = False  # starts processes of its own that must not serve on without it


READY_FD = "{ready}"
API_FD = "{api}"


def plan(settings: Settings, config: str | None) -> Sequence[Sequence[Component]]:
    """Return the components in stages: those of a stage start side by side, the next stage waits until they serve.

    The endpoints in `settings` must have their real ports by now.
    """
    # -P: what lies in the current directory is not ours to import.
    dynod = (sys.executable, "-P", "-m", "dynod")
    where = ("--state", settings.state, "--run", settings.run)
    uids = ("--uid-first", str(settings.uid_first), "--uid-count", str(settings.uid_count))
    warm = ("--warm", str(settings.warm))
    host = Component(
        "host",
        (*dynod, "host", *where, *uids, *warm, "--end-dynos"),
        files=("host.sock",),
        sign="host.sock",
        grace=settings.stop_grace + 10,
    )
    net = Component(
        "net", (*dynod, "net", *where, *warm, "--end"), files=("net.sock",), sign="net.sock", grace=15.0
    )
    logplex = Component(
        "logplex",
        (*dynod, "logplex", *where, "--rate", str(settings.log_rate)),
        files=("logplex.sock",),
        sign="logplex.sock",
        grace=10.0,
    )
    serve = Component(
        "serve",
        (*dynod, "serve", *as_argv(settings, config), "--api-fd", API_FD, "--ready-fd", READY_FD),
        files=("control.sock", "routes.sock", "serve.json"),
        sign="",
        grace=20.0,
        keeps_api=True,
    )
    workers = ("--workers", str(settings.router_workers))
    listen: tuple[str, ...] = ("--listen", str(settings.router))
    if settings.router_tls is not None:
        listen += ("--tls", str(settings.router_tls))
    router = Component(
        "router",
        (sys.executable, "-P", "-m", "router", *where, *listen, *workers),
        files=("router.json",),
        sign="router.json",
        grace=20.0,
        workers=True,
    )
    return ((host, net, logplex), (serve,), (router,))


STOP_ORDER = ("router", "serve", "host", "logplex", "net")
"""Requests end first, then decisions, then dynos; logplex outlives the dynos to take their last lines, net their wires."""


def next_young(young: int, lived: float) -> int:
    """Count deaths in a row that came young."""
    return young + 1 if lived < YOUNG else 1


def restart_delay(young: int) -> float:
    """Seconds to wait before the start that follows the `young`th such death: the first is at once, then it doubles."""
    return 0.0 if young <= 1 else min(LONGEST_DELAY, FIRST_DELAY * 2 ** (young - 2))
