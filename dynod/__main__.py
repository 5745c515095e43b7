"""The `dynod` command: each process of the platform is one word of it. Imports nothing until the word is known."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import NoReturn

WORDS = {
    "up": "run the whole platform in the foreground",
    "quickstart": "run it, deploy an example app and say what to type next (make run)",
    "doctor": "say what this machine has, what is missing and how to get it",
    "explain": "show what is mounted and limited for a dyno: explain web.1 --app NAME",
    "version": "print the version",
    "serve": "the control plane (started by up)",
    "host": "the dyno host (started by up)",
    "net": "the network helper (started by up)",
    "logplex": "the log router (started by up)",
}

PROGRAMS = {
    "up": "dynod.up.command:main",
    "quickstart": "dynod.cli.quickstart:main",
    "doctor": "dynod.cli.doctor:main",
    "explain": "dynod.cli.command:explain",
    "version": "dynod.cli.version:main",
    "serve": "dynod.daemon:main",
    "net": "dynod.net.__main__:main",
    "logplex": "dynod.logplex.__main__:main",
}  # host is not imported but become
_ONLY_LOOK = ("doctor", "version")  # what ends on the spot


def usage() -> str:
    """Say every word."""
    lines = "\n".join(f"  {word:<11} {about}" for word, about in WORDS.items())
    return f"usage: dynod WORD [OPTIONS]\n\n{lines}\n\nApps are managed with `dyno` (see dyno help)."


def _host(argv: Sequence[str]) -> NoReturn:
    """Become the fork server: what it does not import is not copied into every dyno's first page tables."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "dynod.jail", *argv, *_settled(argv)])


def _settled(argv: Sequence[str]) -> list[str]:
    """Say what dynod.toml settles where nobody else does, as under systemd: whose uids dynos are, and how much is kept ready."""
    if "--uid-first" in argv or "-h" in argv or "--help" in argv:
        return []
    from dynod.host.config import BadSettings, settings

    try:
        made = settings({})
    except BadSettings as error:
        print(f"dynod host: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    uids = ["--uid-first", str(made.uid_first), "--uid-count", str(made.uid_count)]
    return uids if "--warm" in argv else [*uids, "--warm", str(made.warm)]


def _main(word: str) -> Callable[[Sequence[str]], int | None]:
    module, _, name = PROGRAMS[word].partition(":")
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:  # Ctrl-C while nothing is begun is no traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with _spared(word):
        main: Callable[[Sequence[str]], int | None] = getattr(import_module(module), name)
    if word not in _ONLY_LOOK:
        signal.signal(signal.SIGINT, heard)
    return main


def _spared(word: str) -> AbstractContextManager[None]:
    """Keep out what a program that idles for good would import in passing and never use."""
    from dynod import lean

    if word in ("net", "logplex", "serve"):
        # Half a MiB, which inspect has for source texts; dataclasses and asyncio begin with inspect.
        with lean.blank("ast"):
            import inspect  # noqa: F401
    if word in ("logplex", "serve"):
        with lean.without("bz2", "lzma"):  # for archives of kinds that we have none of
            import shutil  # noqa: F401
    match word:
        case "net":
            return lean.without("ssl")  # asyncio can do without, and unix sockets know no TLS
        case "logplex":
            return lean.blank("ssl")  # its loop cannot
        case "serve":
            # These are for proxies that the environment names, for reading HTML and for keys of ssh; aiohttp's client comes
            # with the first certificate that is fetched.
            keys = "cryptography.hazmat.primitives.serialization"
            with lean.blank("urllib.request", "html.entities", f"{keys}.ssh"):
                lean.bare("aiohttp", "web")
                import_module(keys)
    return nullcontext()


def main() -> None:
    """Run the word; status 2 with one line when there is no such word."""
    argv = sys.argv[1:]
    if not argv or argv[0] in ("help", "-h", "--help"):
        print(usage())
        raise SystemExit(0 if argv else 2)
    word = "version" if argv[0] in ("--version", "-v") else argv[0]
    if word not in WORDS:
        from difflib import get_close_matches

        near = get_close_matches(word, WORDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see dynod help"
        print(f"dynod: cannot find a word {word!r}; {hint}", file=sys.stderr)
        raise SystemExit(2)
    if word == "host":
        _host(argv[1:])
    raise SystemExit(_main(word)(argv[1:]))


if __name__ == "__main__":
    main()
