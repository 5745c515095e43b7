"""The command: settings, one instance per directory, the sockets that outlive their servers, then the household."""

import argparse
import asyncio
import contextlib
import dataclasses
import fcntl
import os
import resource
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Sequence

from dynod.host.config import BadSettings, parser, settings
from dynod.model.settings import Endpoint, Settings
from dynod.up.child import die_with
from dynod.up.components import STOP_ORDER, plan
from dynod.up.household import CannotStart, Household, on_signals

BACKLOG = 1024


def _say(line: str) -> None:
    print(f"dynod: {line}", file=sys.stderr, flush=True)  # noqa: T201  # a command's own words


def _lock(directory: str) -> int:
    """Take a directory for this process; the kernel gives it back however the process ends. Raise CannotStart."""
    path = f"{directory}/up.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise CannotStart(
            f"cannot start: another dynod (pid {holder or 'unknown'}) uses {directory}; "
            "stop it, or give this one its own --state and --run"
        ) from None
    os.truncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _bind(endpoint: Endpoint, flag: str, *, shared: bool) -> socket.socket:
    """Take an address; `shared` lets the router's workers listen on it beside us (SO_REUSEPORT). Raise CannotStart."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        if shared and endpoint.port:
            # REUSEPORT would let two instances share a port without a word.
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((endpoint.host, endpoint.port))
        taken = socket.socket(family)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
        taken.bind((endpoint.host, endpoint.port))
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {endpoint}: {error.strerror or error}; choose another address with {flag} HOST:PORT"
        ) from error
    return taken


def _real(endpoint: Endpoint, bound: socket.socket) -> Endpoint:
    return dataclasses.replace(endpoint, port=bound.getsockname()[1])


def _bind_tls(settings: Settings) -> contextlib.AbstractContextManager[socket.socket | None]:
    if settings.router_tls is None:
        return contextlib.nullcontext()
    return _bind(settings.router_tls, "--router-tls", shared=True)


def _real_tls(settings: Settings, bound: socket.socket | None) -> Endpoint | None:
    if settings.router_tls is None or bound is None:
        return None
    return _real(settings.router_tls, bound)


def _limits() -> None:
    """Give every child the same ground: file mode mask, locale, as many descriptors as are allowed."""
    os.umask(0o022)
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["PYTHONUNBUFFERED"] = "1"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def _directories(settings: Settings) -> Iterator[None]:
    """Make and take STATE and RUN. A good end leaves no file of ours in RUN, and no RUN that was made here."""
    made = not os.path.isdir(settings.run)
    try:
        os.makedirs(settings.state, mode=0o755, exist_ok=True)
        if os.geteuid() == 0 and os.stat(settings.state).st_mode & stat.S_ISVTX:
            os.chmod(settings.state, 0o755)  # noqa: S103  # a service had it: in a sticky directory root may not create over others' files
        os.makedirs(settings.run, mode=0o755, exist_ok=True)
        locks = [_lock(settings.run)]
    except OSError as error:
        raise CannotStart(f"cannot use {error.filename}: {error.strerror}") from error
    try:
        locks.append(_lock(settings.state))
        yield
        for name in ("up.lock", *(f"{component}.log" for component in STOP_ORDER)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{settings.run}/{name}")
        if made:
            shutil.rmtree(settings.run, ignore_errors=True)
    finally:
        for lock in locks:
            os.close(lock)


async def _live(settings: Settings, given: argparse.Namespace, api: socket.socket) -> None:
    stop = asyncio.Event()

    def serving() -> None:
        if given.ready_fd is not None:
            os.write(given.ready_fd, b"1")
            os.close(given.ready_fd)

    household = Household(settings.run, api.fileno(), _say, given.verbose, serving)
    on_signals(stop, household.hurry)
    await household.live(plan(settings, given.config), stop)


def _up(settings: Settings, given: argparse.Namespace) -> None:
    with (
        _directories(settings),
        _bind(settings.api, "--api", shared=False) as api,
        _bind(settings.router, "--router", shared=True) as router,
        _bind_tls(settings) as router_tls,
    ):
        api.listen(BACKLOG)  # attempts made while `serve` starts again wait here
        real = dataclasses.replace(
            settings,
            api=_real(settings.api, api),
            router=_real(settings.router, router),
            router_tls=_real_tls(settings, router_tls),
        )
        asyncio.run(_live(real, given, api))


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; 0 after an orderly stop, 1 when it could not start, 2 for wrong usage."""
    flags = parser("dynod up", "Run the whole platform in the foreground.")
    flags.add_argument(
        "--verbose", action="store_true", help="the components' logs on stderr, not in RUN/*.log"
    )
    flags.add_argument("--ready-fd", type=int, metavar="N", help="gets one byte once RUN/ready.json is there")
    flags.add_argument("--parent", type=int, metavar="PID", help="stop when this parent process has died")
    given = flags.parse_args(argv)
    if given.config:
        given.config = os.path.abspath(given.config)
    try:
        wanted = settings(vars(given))
    except BadSettings as error:
        _say(str(error))
        return 2
    _limits()
    if given.parent is not None and not die_with(given.parent):
        return 1
    try:
        _up(wanted, given)
    except CannotStart as error:
        _say(str(error))
        return 1
    return 0
