"""`dyno run`: this terminal at a one-off dyno.

The terminal goes raw, so that every key, Ctrl-C too, is the dyno's to understand; it is put back however this ends. The
dyno's exit status becomes ours. One select over the keyboard and the socket: no thread, no asyncio.
"""

import contextlib
import os
import select
import shlex
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any, NoReturn

from dynod.cli import page
from dynod.cli.client import Stream
from dynod.cli.logs import show
from dynod.cli.options import Usage
from dynod.cli.session import Session

READ = 16 * 1024


def command(words: tuple[str, ...]) -> str:
    """Join what was typed: one word is a command line as it is, more are quoted where a shell would split them."""
    return words[0] if len(words) == 1 else shlex.join(words)


def environment(text: str) -> dict[str, str]:
    """Read `--env 'A=1;B=2'`; raise Usage."""
    env: dict[str, str] = {}
    for part in text.split(";"):
        key, equals, value = part.partition("=")
        if part and not (equals and key):
            raise Usage(f"cannot read {part!r} in --env: it must look like A=1;B=2")
        if part:
            env[key] = value
    return env


def _body(session: Session) -> dict[str, Any]:
    given = session.given
    body: dict[str, Any] = {"command": command(given.words), "env": environment(given.text("env"))}
    for name in ("size", "type"):
        if given.text(name):
            body[name] = given.text(name)
    return body


def detached(session: Session) -> None:
    """As `heroku run:detached`."""
    body = _body(session)
    with page.action(f"Running {body['command']} on {page.app(session.app)}") as doing:
        dyno = session.app_call("dynos.create", {**body, "attach": False})
        doing.says = f"done, {dyno['name']} ({dyno['size']})"
    if session.given.on("tail"):
        show(session, dyno=dyno["name"], tail=True)
    elif session.given.on("json"):
        page.as_json(dyno)
    else:
        print(f"Run dyno logs --app {session.app} --dyno {dyno['name']} to view the output.")


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # through every `finally`, so that the terminal is put back


@contextlib.contextmanager
def _raw(fd: int, *, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    before = termios.tcgetattr(fd)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def run(session: Session) -> int:
    """As `heroku run -x`."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and not session.given.on("no-tty")
    body = _body(session)
    if terminal:
        size = shutil.get_terminal_size()
        body |= {"columns": size.columns, "lines": size.lines}
        body["env"] = {"TERM": os.environ.get("TERM", "dumb"), **body["env"]}
    else:
        body["force_no_tty"] = True
    stream = session.app_stream("dynos.attach", body)
    sys.stderr.write(f"Running {body['command']} on {page.app(session.app)}... ")
    sys.stderr.flush()
    with _raw(sys.stdin.fileno(), wanted=terminal):
        _carry(stream, session, newline="\r\n" if terminal else "\n")
    return int(stream.result["status"])


def _carry(stream: Stream, session: Session, newline: str) -> None:
    """Bytes both ways until the dyno has ended; raise what the platform refused."""
    sock, keyboard = session.client.sock, sys.stdin.fileno()
    inputs = [sock, keyboard]
    told = False
    try:
        while not stream.ended:
            readable, _, _ = select.select(inputs, [], [])
            if keyboard in readable:
                if data := os.read(keyboard, READ):
                    stream.input(data)
                else:
                    inputs.remove(keyboard)
                    stream.input({"eof": True})
            if sock in readable:
                for item in stream.fed(session.client.take()):
                    if not told:
                        told = _tell_up(item, newline)
                    if isinstance(item, bytes):
                        _write(item)
    except BaseException:
        if not told:
            sys.stderr.write(f"!{newline}")
        raise
    if not told:
        sys.stderr.write(f"done{newline}")


def _tell_up(item: Any, newline: str) -> bool:
    name = f", {item['name']}" if isinstance(item, dict) and "name" in item else ""
    sys.stderr.write(f"up{name}{newline}")
    sys.stderr.flush()
    return True


def _write(data: bytes) -> None:
    """Write all of it: a terminal or a pipe may take it in parts."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(sys.stdout.fileno(), view) :]
        except BlockingIOError:
            select.select([], [sys.stdout.fileno()], [])
