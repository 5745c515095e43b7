"""`dynod net`: the network helper. RUN/net.sock speaks MessagePack-RPC: take, give, list, routers, stat.

It stops on SIGTERM or SIGINT and leaves what is wired as it is, since dynos run on; with --end it takes everything away.
"""

import argparse
import asyncio
import contextlib
import grp
import logging
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from typing import Any

from dynod.lean import settle
from dynod.link import Call, serve
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Settings, net_socket
from dynod.model.spoken import NET
from dynod.net import routers
from dynod.net.claim import lock_directory
from dynod.net.pool import Pool
from dynod.net.wiring import KernelThread, machine_resolver
from dynod.unit import unit

GROUP = "dynod"  # who may speak to us besides root, unless --operator says who alone
ID_LIMIT = 200
_log = logging.getLogger("dynod.net")


def _dyno(params: Any) -> str:
    match params:
        case {"id": str(id)} if 0 < len(id) <= ID_LIMIT:
            return id
        case _:
            raise Refused(Refusal.BAD_REQUEST, 'cannot tell which dyno is meant: give {"id": dyno id}')


def _handler(pool: Pool, kernel: KernelThread) -> Any:
    async def answer(call: Call) -> Any:
        match call.method:
            case "take":
                dyno = _dyno(call.params)
                return (await pool.take(dyno)).view(dyno)
            case "give":
                await pool.give(_dyno(call.params))
                return True
            case "list":
                return pool.views()
            case "routers":
                await kernel.open_to(routers.read(call.params))
                return True
            case "stat":
                return {
                    **pool.counts(),
                    "network": str(kernel.block.network),
                    "network6": str(kernel.block.network6) if kernel.ipv6 else None,
                    "why_no_ipv6": kernel.why_no_ipv6,
                    "table": f"inet {kernel.block.table}",
                    "nameservers": list(machine_resolver().nameservers),
                    "obstacles": list(await kernel.obstacles()),
                }
            case method:
                raise Refused(
                    Refusal.NOT_FOUND,
                    f"cannot do {method}: the network helper knows take, give, list, routers and stat",
                )

    return answer


def _user(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise argparse.ArgumentTypeError(f"there is no user {name}") from None


def _open_to(path: str, operator: int | None) -> None:
    if operator is not None:
        os.chown(path, operator, -1)
        os.chmod(path, 0o600)
        return
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
        os.chmod(path, 0o660)


async def helper(run: str, warm: int, operator: int | None, *, end: bool) -> None:
    """Serve until told to stop."""
    directory = f"{run}/netns"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    lock = lock_directory(directory)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with KernelThread(directory) as kernel:
        found = await kernel.start()
        pool = Pool(kernel.block, directory, warm, kernel, found, ipv6=kernel.ipv6)
        server = await serve(net_socket(run), _handler(pool, kernel), language=NET)
        _open_to(net_socket(run), operator)
        settle()
        unit().beat(loop.call_later)
        unit().say("READY=1")
        _log.info("ready in %s", kernel.block.network)
        _log.info(
            "dynos have %s",
            f"IPv6 in {kernel.block.network6}" if kernel.ipv6 else f"no IPv6: {kernel.why_no_ipv6}",
        )
        for sentence in await kernel.obstacles():
            _log.warning("%s", sentence)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(pool.work())
            await stop.wait()
            server.close()
            work.cancel()
        if end:
            await kernel.end()
        os.unlink(net_socket(run))
    os.close(lock)


def main(argv: Sequence[str]) -> int:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="dynod net", description="the network helper: ready network namespaces for dynos"
    )
    parser.add_argument("--run", default=defaults.run, help="directory of sockets and namespaces")
    parser.add_argument(
        "--state",
        default=defaults.state,
        help="taken for the sake of the others; nothing of ours outlives a reboot",
    )
    parser.add_argument("--warm", type=int, default=defaults.warm, help="namespaces kept ready")
    parser.add_argument(
        "--operator",
        type=_user,
        metavar="USER",
        help="who alone may ask besides root: the control plane's user",
    )
    parser.add_argument(
        "--end", action="store_true", help="when stopped, remove all namespaces and the firewall table"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(format="net: %(message)s", level=logging.INFO)
    sys.setswitchinterval(0.0002)  # the thread must not keep a `take` waiting for Python's usual 5 ms
    try:
        asyncio.run(helper(os.path.abspath(options.run), options.warm, options.operator, end=options.end))
    except (Refused, OSError) as error:
        _log.error("%s", error)  # one line for a person
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
