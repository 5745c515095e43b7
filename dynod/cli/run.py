"""`dyno run`, `dyno run:inside`, `dyno ps:exec`: this terminal at a command in a dyno, a one-off's own or one more in any.

The terminal goes raw, so that every key, Ctrl-C too, is the dyno's to understand; it is put back however this ends. The
dyno's exit status becomes ours. One select over the keyboard and the socket: no thread, no asyncio. No more input is sent than
the platform has taken, so that a large file waits here and not in its memory.
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
from dynod.cli.options import Usage, usage
from dynod.cli.session import Session

READ = 16 * 1024
AHEAD = 256 * 1024  # bytes of input that may be on their way


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


def _body(session: Session, words: tuple[str, ...] | None = None) -> dict[str, Any]:
    given = session.given
    words = given.words if words is None else words
    if not command(words).strip():
        raise Usage(f"cannot run an empty command; usage: {usage(given.verb)}")
    body: dict[str, Any] = {"command": command(words), "env": environment(given.text("env"))}
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
    return _attach(session, "dynos.attach", _body(session), f"on {page.app(session.app)}")


def inside(session: Session) -> int:
    """As `heroku run:inside -x`."""
    dyno, *words = session.given.words
    return _inside(session, dyno, tuple(words))


def exec_(session: Session) -> int:
    """As `heroku ps:exec`: a shell, or what is asked for."""
    return _inside(session, session.given.text("dyno-name", "web.1"), session.given.words or ("bash",))


def _inside(session: Session, dyno: str, words: tuple[str, ...]) -> int:
    body, where = _body(session, words), f"in {dyno} of {page.app(session.app)}"
    return _attach(session, "dynos.exec", body, where, dyno=dyno)


def _attach(session: Session, method: str, body: dict[str, Any], where: str, **path: str) -> int:
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and not session.given.on("no-tty")
    if terminal:
        size = shutil.get_terminal_size()
        body |= {"columns": size.columns, "lines": size.lines}
        body["env"] = {"TERM": os.environ.get("TERM", "dumb"), **body["env"]}
    else:
        body["force_no_tty"] = True
    stream = session.app_stream(method, body, **path)
    sys.stderr.write(f"Running {body['command']} {where}... ")
    sys.stderr.flush()
    with _raw(sys.stdin.fileno(), wanted=terminal), _resized(wanted=terminal) as resized:
        _carry(stream, session, resized, newline="\r\n" if terminal else "\n")
    return int(stream.result["status"])


@contextlib.contextmanager
def _resized(*, wanted: bool) -> Iterator[int | None]:
    """A descriptor with something to read whenever the window's size has changed."""
    if not wanted:
        yield None
        return
    hears, says = os.pipe()
    os.set_blocking(says, False)
    os.set_blocking(hears, False)
    before = signal.signal(signal.SIGWINCH, lambda *_: None)
    woken = signal.set_wakeup_fd(says, warn_on_full_buffer=False)
    try:
        yield hears
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGWINCH, before)
        os.close(hears)
        os.close(says)


def _carry(stream: Stream, session: Session, resized: int | None, newline: str) -> None:
    """Bytes both ways until the command has ended; raise what the platform refused."""
    sock, keyboard = session.client.sock, sys.stdin.fileno()
    always = [sock] if resized is None else [sock, resized]
    told, open_, ahead = False, True, 0
    try:
        while not stream.ended:
            typing = [keyboard] if open_ and ahead < AHEAD else []
            readable, _, _ = select.select([*always, *typing], [], [])
            if resized is not None and resized in readable:
                os.read(resized, READ)
                size = shutil.get_terminal_size()
                stream.input({"columns": size.columns, "lines": size.lines})
            if keyboard in readable:
                data = os.read(keyboard, READ)
                open_, ahead = bool(data), ahead + len(data)
                stream.input(data or {"eof": True})
            if sock in readable:
                for item in stream.fed(session.client.take()):
                    told = told or _tell_up(item, newline)
                    match item:
                        case bytes():
                            _write(item)
                        case {"took": int(count)}:
                            ahead -= count
                        case _:
                            pass
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
