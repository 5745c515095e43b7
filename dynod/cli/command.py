"""The `dyno` command: finds the verb, runs it, and turns every way it can end into a line and an exit status.

0 done, 1 refused or unreachable with one clear line, 2 wrong usage, 130 after Ctrl-C; `run` passes its command's status on.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from dynod.cli.client import Failed, Unreachable
from dynod.cli.options import Given, Usage, Verb, parse
from dynod.cli.session import Session
from dynod.cli.verbs import BY_NAME
from dynod.model.refused import Refused


def _find(word: str) -> Verb:
    verb = BY_NAME.get(word)
    if verb is not None:
        return verb
    from dynod.cli.unknown import hint  # noqa: PLC0415  # only who mistypes pays for it

    raise Usage(f"cannot find a verb {word!r}; {hint(word, BY_NAME)}")


def _function(verb: Verb) -> Callable[[Session], int | None]:
    module, _, name = verb.run.partition(":")
    found: Callable[[Session], int | None] = getattr(import_module(f"dynod.cli.{module}"), name)
    return found


def _given(argv: Sequence[str]) -> Given:
    for word in argv:
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise Usage(f"cannot read {word!r}: it is not UTF-8")
    if not argv or argv[0] in ("-h", "--help"):
        return parse(BY_NAME["help"], argv[1:2] if argv else [])
    if argv[0] in ("--version", "-v"):
        return parse(BY_NAME["version"], [])
    given = parse(_find(argv[0]), argv[1:])
    return Given(BY_NAME["help"], {}, (given.verb.name,)) if given.on("help") else given


def _say(text: str) -> None:
    """Print an error as Heroku's CLI does: ` !    ` before each line."""
    sys.stdout.flush()
    for line in text.splitlines() or [""]:
        sys.stderr.write(f" !    {line}\n")


def dyno(argv: Sequence[str]) -> int:
    """Run one command line; return its exit status."""
    try:
        return _answered(argv)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # who read us had enough, as `dyno logs | head` does
        _let_go()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _let_go()
        what = f" {error.filename}" if error.filename else ""
        _say(f"cannot go on{what and f' with{what}'}: {error.strerror or error}")
        return 1


def _answered(argv: Sequence[str]) -> int:
    try:
        given = _given(argv)
        with contextlib.closing(Session(given)) as session:
            try:
                status = _function(given.verb)(session) or 0
            except Refused as refused:
                raise Refused(refused.refusal, session.told(refused.message)) from refused
        sys.stdout.flush()
        return status
    except Usage as error:
        _say(str(error))
        return 2
    except (Refused, Unreachable, Failed) as error:
        _say(str(error))
        return 1


def _let_go() -> None:
    """Where stdout or stderr takes nothing more, the interpreter must not find words left for it when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def explain(argv: Sequence[str]) -> int:
    """`dynod explain web.1 --app NAME`: the same verb, said to the platform."""
    return dyno(["explain", *argv])
