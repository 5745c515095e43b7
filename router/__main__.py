"""The `router` command: arguments in, then the master runs until SIGTERM."""

import argparse
import logging
import sys

from dynod.lean import blank

with blank("ast"):  # half a MiB, which inspect, that dataclasses want, has for source texts
    from dataclasses import replace

from dynod.unit import unit
from router import takeover
from router.master import Master, Options, listen, listen_tls
from router.pulse import ROUND

CHECK = "--check"  # of an old version to a new one (takeover.py)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"cannot use {text!r} as HOST:PORT")
    return host.strip("[]"), int(port)


def options(arguments: list[str]) -> Options:
    """Read the command line; exits with 2 and a word on what is wrong."""
    parser = argparse.ArgumentParser(prog="router", description="dynod's HTTP router")
    parser.add_argument("--run", required=True, help="where the sockets are and router.json goes")
    parser.add_argument("--state", required=True, help="where the last routing table lies")
    parser.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="port 0 takes a free one",
    )
    parser.add_argument(
        "--tls", type=_address, metavar="HOST:PORT", help="where to listen for TLS; nowhere without it"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument(
        "--fd",
        type=int,
        nargs="*",
        default=[],
        metavar="N",
        help="inherited listening sockets, instead of --listen (from systemd they come by themselves)",
    )
    parser.add_argument(
        "--look",
        type=float,
        default=ROUND,
        metavar="S",
        help=f"seconds between looks whether workers turn ({ROUND:g})",
    )
    told = parser.parse_args(arguments)
    if told.workers < 1:
        parser.error("cannot serve with less than 1 worker")
    host, port = told.listen
    return Options(
        told.run,
        told.state,
        host,
        port,
        told.workers,
        unit().named("router") or tuple(told.fd),
        bool(unit().notify),
        told.tls,
        unit().named("router-tls"),
        told.look,
    )


def main() -> None:
    """Be the router."""
    logging.basicConfig(format="router: %(message)s", stream=sys.stderr)
    argv = sys.argv[1:]
    chosen = options([word for word in argv if word != CHECK])
    if CHECK in argv:
        return  # it starts: all that it imports is there, and the words mean something to it
    legacy = takeover.inherited()
    if legacy is not None:
        chosen = replace(chosen, fds=legacy.listeners, tls_fds=legacy.tls)
    try:
        listeners = listen(chosen)
    except OSError as error:
        raise SystemExit(f"router: cannot listen on {chosen.host}:{chosen.port}: {error.strerror}") from None
    try:
        secure = listen_tls(chosen)
    except OSError as error:
        raise SystemExit(f"router: cannot listen on {chosen.tls}: {error.strerror}") from None
    Master(chosen, listeners, secure, legacy).run()


if __name__ == "__main__":
    main()
