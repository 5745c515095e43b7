"""The composition root of `dynod serve`: reads the state, joins the parts, serves, and lets go in the opposite order."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import uvloop

from dynod.api.server import serve_api
from dynod.core.launch import Ground
from dynod.engine import clock
from dynod.engine.accounts import Accounts
from dynod.engine.adopt import adopt
from dynod.engine.books import Books
from dynod.engine.house import House
from dynod.engine.machine import Machine
from dynod.engine.requests import Requests
from dynod.host import config
from dynod.host.durable import write_atomically
from dynod.host.log_link import LogLink
from dynod.host.programs import stage
from dynod.host.slugs import Slugs, slug_limits, slug_owner
from dynod.host.stack import build_stack
from dynod.lean import settle
from dynod.model.formation import offer
from dynod.model.jail import Ceiling
from dynod.model.refused import Refused
from dynod.model.settings import Settings, control_socket, log_socket
from dynod.store.observations import Observations
from dynod.store.protocol import Unreadable
from dynod.store.sqlite import open_store
from dynod.unit import unit

_PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_log = logging.getLogger("dynod")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = config.parser("dynod serve", "the control plane: ledger, decisions, API, git")
    parser.add_argument("--api-fd", type=int, help="an inherited listening socket for the API")
    parser.add_argument("--ready-fd", type=int, help="gets one byte once everything is served")
    return parser.parse_args(argv)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    return stop


def _say_ready(settings: Settings, ready_fd: int | None, served: dict[str, str | int]) -> None:
    def write(name: str, value: dict[str, Any]) -> None:
        path = os.path.realpath(f"{settings.run}/{name}")  # under systemd RUN is not ours, and this is a link
        write_atomically(path, json.dumps(value).encode(), 0o600)

    write("serve.json", served)
    if ready_fd is not None:
        os.write(ready_fd, b"1")
        os.close(ready_fd)
    if unit().notify:  # no `dynod up` that would write it; pids are systemd's to tell
        told = {
            "router": f"http://{settings.router}",
            "router_tls": None,
            "control": control_socket(settings.run),
        }
        write("ready.json", {**served, **told})
    unit().beat(asyncio.get_running_loop().call_later)
    unit().say("READY=1")


async def serve(settings: Settings, api_fd: int | None, ready_fd: int | None) -> None:
    """Run the control plane until SIGTERM or SIGINT."""
    stop = _stop_on_signals()
    offer(settings.sizes)  # before the ledger is read: what dynod.toml says now is what is meant
    for directory in (settings.state, settings.run, f"{settings.state}/builds", f"{settings.state}/dynos"):
        os.makedirs(directory, mode=0o755, exist_ok=True)
    async with contextlib.AsyncExitStack() as cleanup:
        store = await open_store(settings.state, clock.wall)
        cleanup.push_async_callback(store.close)
        observations = await Observations.open(settings.state)
        cleanup.push_async_callback(observations.close)
        stack = await asyncio.to_thread(
            build_stack, settings.state, range(settings.uid_first, settings.uid_first + settings.uid_count)
        )
        log = LogLink(log_socket(settings.run), rate=settings.log_rate)
        cleanup.push_async_callback(log.close)
        accounts = Accounts(f"{settings.state}/secrets", settings.owner_email)
        books = await Books.open(store)
        # A size that was taken out of dynod.toml goes on where it is in use.
        offer(row.size for state in books.ledger.apps.values() for row in state.formation)
        slugs = Slugs(settings.state, slug_owner(settings), slug_limits(settings), settings.slug_bytes)
        await asyncio.to_thread(slugs.prepare)
        house = House(settings, accounts, books, observations, slugs, log)
        ceiling = Ceiling(settings.disk_ceiling)
        ground = Ground(stack.skeleton, stack.binds, f"{settings.state}/dynos", slugs.blank(), ceiling)
        programs = await asyncio.to_thread(stage, settings.state, _PACKAGES)
        machine = Machine(
            settings,
            ground,
            stack.name,
            stack.env,
            programs,
            house.on_exit,
            house.on_disk,
            partial(adopt, house),
        )
        cleanup.push_async_callback(house.close)
        await house.open(machine)
        listen = None if api_fd is None else socket.socket(fileno=api_fd)
        api = await serve_api(Requests(house), settings, listen=listen)
        cleanup.push_async_callback(api.close)
        served: dict[str, str | int] = {
            "api": f"https://{settings.api.host}:{api.api_port}",
            "ca": api.ca_path,
            "token": accounts.token,
            "pid": os.getpid(),
        }
        settle()
        _say_ready(settings, ready_fd, served)
        await stop.wait()
        unit().say("STOPPING=1")


def run(settings: Settings, serving: Coroutine[None, None, None]) -> None:
    """Run to the end; where a lab may advance time, on a loop that goes along, which is slower."""
    if not settings.lab_time:
        uvloop.run(serving)
        return
    clock.recall(settings.run)
    with asyncio.Runner(loop_factory=clock.LabLoop) as runner:
        runner.run(serving)


def main(argv: Sequence[str]) -> int:
    """The `dynod serve` command: 0 after SIGTERM, 1 with one line if it cannot serve."""
    args = _parse(argv)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One descriptor per dyno, where its memory rings by an eventfd.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        settings = config.settings(vars(args))
        api_fd = next(iter(unit().named("api")), args.api_fd)
        run(settings, serve(settings, api_fd, args.ready_fd))
    except (config.BadSettings, Refused, Unreadable, OSError) as error:
        print(f"dynod serve: {error}", file=sys.stderr)  # noqa: T201  # the reason of a refusal to start
        return 1
    return 0
