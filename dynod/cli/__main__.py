"""The `dyno` program: what must be so before its first import, then command.py. Nobody who presses Ctrl-C while it loads sees a traceback."""

import os
import signal
import sys


def _open_what_is_closed() -> None:
    """Give closed standard descriptors to /dev/null: the socket would get their numbers, and a terminal's bytes."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == number, "the lowest that is free"
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115  # for as long as we live


def main() -> None:
    """Console script."""
    heard = signal.getsignal(signal.SIGINT)  # who was told to ignore it, as behind an `&`, goes on to
    if heard is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_what_is_closed()
    from dynod.cli.command import dyno  # noqa: PLC0415  # what takes long is in here

    signal.signal(signal.SIGINT, heard)
    raise SystemExit(dyno(sys.argv[1:]))


if __name__ == "__main__":
    main()
