"""The `dynod` command: each process of the platform is one word of it. Imports nothing until the word is known."""

import os
import sys
from collections.abc import Callable, Sequence
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


def usage() -> str:
    """Say every word."""
    lines = "\n".join(f"  {word:<11} {about}" for word, about in WORDS.items())
    return f"usage: dynod WORD [OPTIONS]\n\n{lines}\n\nApps are managed with `dyno` (see dyno help)."


def _host(argv: Sequence[str]) -> NoReturn:
    """Become the fork server: what it does not import is not copied into every dyno's first page tables."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "dynod.jail", *argv])


def _program(word: str) -> Callable[[Sequence[str]], int]:
    match word:
        case "up":
            from dynod.up.command import main
        case "serve":
            from dynod.daemon import main
        case "net":
            from dynod.net.__main__ import main
        case "logplex":
            from dynod.logplex.__main__ import main
        case "quickstart":
            from dynod.cli.quickstart import main
        case "doctor":
            from dynod.cli.doctor import main
        case "explain":
            from dynod.cli.__main__ import explain as main
        case _:
            from dynod.cli.version import main
    return main


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
    raise SystemExit(_program(word)(argv[1:]))


if __name__ == "__main__":
    main()
