"""What runs for the API: one TLS port, the rendezvous port, RUN/control.sock. `serve_api` starts all, `ApiServer.close` ends them.

The listening sockets may come from outside (`listen`, `rendezvous`): whoever holds them can let a new control plane take over while
clients wait in the backlog instead of being refused.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import os
import secrets
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from dynod.api import git, tls, uploads
from dynod.api.http import application
from dynod.api.links import Seal
from dynod.api.operation import Front
from dynod.api.operations import OPERATIONS
from dynod.api.rendezvous import Rendezvous
from dynod.api.rpc import serve_control
from dynod.api.streams import Streams
from dynod.engine.platform import Platform
from dynod.host.durable import write_durably
from dynod.model.settings import Endpoint, Settings, control_socket
from dynod.unit import unit

SEAL_BYTES = 32
CHECK = 24 * 3600.0  # seconds between looks at the certificate's end
_log = logging.getLogger(__name__)
DRAIN = 5.0  # seconds for requests under way when we close
_LAST_PORT = 65_535


@dataclass(slots=True)
class ApiServer:
    """Where the API is, until `close`."""

    api_port: int
    rendezvous_port: int
    ca_path: str
    _runner: web.AppRunner
    _streams: Streams
    _rendezvous: Rendezvous
    _control: asyncio.AbstractServer
    _renewal: asyncio.Task[None]
    _metrics: web.AppRunner | None

    async def close(self) -> None:
        """Take no more requests, end the endless ones, let the others end."""
        self._renewal.cancel()
        await asyncio.gather(self._renewal, return_exceptions=True)
        await self._streams.close()
        await self._rendezvous.close()
        self._control.close()
        if self._metrics is not None:
            await self._metrics.cleanup()
        await self._runner.cleanup()


def seal_key(state: str) -> bytes:
    """Return the key that seals URLs, made at the first start."""
    path = f"{state}/secrets/seal.key"
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        if len(found := file.read()) == SEAL_BYTES:  # anybody knows an empty one
            return found
    key = secrets.token_bytes(SEAL_BYTES)
    write_durably(path, key, 0o600)
    return key


async def _renew(context: ssl.SSLContext, settings: Settings) -> None:
    """Load a newer certificate before the old one ends; connections that are open keep theirs."""
    while True:
        await asyncio.sleep(CHECK)
        try:
            context.load_cert_chain(*_certificate(settings))
        except (OSError, ValueError) as error:  # a full disk today is no reason not to try tomorrow
            _log.warning("cannot renew the certificate: %s", error)


def _certificate(settings: Settings) -> tuple[str, str]:
    now = dt.datetime.now(dt.UTC)
    return tls.renew(settings.state, settings.run, settings.api.host, settings.domain, now)


def _listening(settings: Settings) -> socket.socket:
    """Bind the API's port now: the address must be known before the first answer names it."""
    family = socket.AF_INET6 if ":" in settings.api.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.api.host, settings.api.port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    return sock


async def _serve_metrics(platform: Platform, where: Endpoint) -> web.AppRunner:
    from dynod.api.exposition import serve_metrics  # noqa: PLC0415  # 1 MiB that few machines have a use for

    return await serve_metrics(platform, where)


def _meeting(settings: Settings, api_port: int) -> Rendezvous:
    """Have a port that stays, so that a firewall can be told: the one that is set, or under systemd the one behind the API's."""
    if settings.rendezvous_port:
        return Rendezvous(settings.api.host, settings.rendezvous_port, other=False)
    return Rendezvous(settings.api.host, api_port + 1 if unit().notify and api_port < _LAST_PORT else 0)


def _address(host: str, port: int) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def serve_api(
    platform: Platform,
    settings: Settings,
    *,
    listen: socket.socket | None = None,
    rendezvous: socket.socket | None = None,
    hook: Sequence[str] = git.HOOK,
) -> ApiServer:
    """Start everything. `settings.router.port` must be the port the router really has: addresses of apps name it."""
    for directory, mode in (
        (settings.state, 0o755),
        (settings.run, 0o755),
        (f"{settings.state}/secrets", 0o700),
    ):
        os.makedirs(directory, mode=mode, exist_ok=True)
    context = tls.server_context()
    context.load_cert_chain(*_certificate(settings))
    sock = listen or _listening(settings)
    port = sock.getsockname()[1]
    meeting = _meeting(settings, port)
    await meeting.listen(context, rendezvous)
    front = Front(
        platform,
        Seal(seal_key(settings.state)),
        meeting,
        _address(settings.api.host, port),
        uploads.prepare(settings.state, time.time()),
    )
    streams = Streams(front)
    app = application(front, OPERATIONS, [*streams.routes(), *git.Git(front, hook).routes()])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=DRAIN)
    await runner.setup()
    await web.SockSite(runner, sock, ssl_context=context).start()
    control = await serve_control(front, control_socket(settings.run))
    metrics = None if settings.metrics is None else await _serve_metrics(platform, settings.metrics)
    renewal = asyncio.ensure_future(_renew(context, settings))
    return ApiServer(
        port, meeting.port, tls.ca_path(settings.run), runner, streams, meeting, control, renewal, metrics
    )
