"""`dynod logplex`: the process. It has no state but STATE/logs, so SIGKILL is as good an end as any."""

import argparse
import asyncio
import logging
import os
import pwd
import resource
import signal
from collections.abc import Sequence

import uvloop

from dynod.lean import settle
from dynod.link import serve
from dynod.logplex.door import Door
from dynod.logplex.flood import RATE
from dynod.logplex.pipes import HostLink
from dynod.logplex.plex import Plex
from dynod.model.log import HISTORY
from dynod.model.settings import ROUTER_USER, host_socket, log_socket
from dynod.model.spoken import LOGPLEX
from dynod.unit import unit


def _router() -> int | None:
    """Whom routers run as, where that is neither root nor who we are."""
    try:
        found = pwd.getpwnam(ROUTER_USER).pw_uid
    except KeyError:
        return None
    return None if found in {0, os.geteuid()} else found


async def _run(run: str, state: str, history: int, rate: int) -> None:
    plex = Plex(f"{state}/logs", history, rate=rate)
    host = HostLink(host_socket(run), plex)
    door = Door(plex, host, _router())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await serve(log_socket(run), door.answer, mode=0o660, notified=door, language=LOGPLEX)
    host.start()
    settle()
    unit().beat(loop.call_later)
    unit().say("READY=1")
    await stop.wait()
    server.close()
    host.close()
    plex.close()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="dynod logplex", description="Reads what dynos say and keeps their last lines."
    )
    parser.add_argument("--run", default="/run/dynod", help="directory of the sockets")
    parser.add_argument("--state", default="/var/lib/dynod", help="directory of what is kept")
    parser.add_argument("--history", type=int, default=HISTORY, help="lines kept per app")
    parser.add_argument(
        "--rate", type=int, default=RATE, help=f"lines a second that a dyno may log, 0 for no limit ({RATE})"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="logplex: %(levelname)s %(message)s")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # two descriptors per dyno, one per app
    logging.getLogger(__name__).debug("open files: %d, were %d", hard, soft)
    try:
        os.makedirs(f"{options.state}/logs", 0o700, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"cannot keep logs in {options.state}/logs: {error.strerror}") from error
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner:
        runner.run(_run(options.run, options.state, options.history, options.rate))


if __name__ == "__main__":
    main()
