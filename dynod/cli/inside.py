"""`dyno ps:copy` and `dyno ps:forward`: a file out of a dyno, and ports of this machine that lead into one."""

import contextlib
import os
import secrets
import select
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from dynod.cli import page
from dynod.cli.client import Client, Failed, Stream, Unreachable
from dynod.cli.options import Usage
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import control_socket

READ = 64 * 1024
AHEAD = 256 * 1024  # bytes that may be on their way into a dyno
ERROR = 4096  # bytes of what a command said that are worth repeating


def copy(session: Session) -> None:
    """As `heroku ps:copy`: whole or not at all."""
    given = session.given
    name, dyno = given.words[0], given.text("dyno-name", "web.1")
    output = given.text("output") or os.path.basename(name.rstrip("/"))
    if not output:
        raise Usage(f"cannot copy {name!r}: it names no file")
    if os.path.isdir(output):
        output = os.path.join(output, os.path.basename(name))
    part = f"{output}.part"
    with page.action(f"Copying {name} from {dyno} of {page.app(session.app)} to {output}"):
        try:
            with open(part, "wb") as file:
                file.writelines(_content(session, dyno, name))
            os.rename(part, output)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise Refused(
                Refusal.INVALID, f"cannot write {error.filename or part}: {error.strerror}"
            ) from None
        except BaseException:
            os.unlink(part)
            raise


def _content(session: Session, dyno: str, name: str) -> Iterator[bytes]:
    """Yield what is in the file, which begins behind a mark: what a .profile says comes before it."""
    mark, path = secrets.token_hex(16), shlex.quote(name)
    command = (
        f"if [ -d {path} ]; then echo it is a directory; exit 1; fi; [ -r {path} ] || "
        f"{{ [ -e {path} ] && echo it may not be read || echo there is no such file; exit 1; }}; "
        f"printf %s {mark}; exec cat -- {path} 2>/dev/null"
    )
    body = {"command": command, "env": {}, "force_no_tty": True}
    stream = session.app_stream("dynos.exec", body, dyno=dyno)
    before, begun = b"", False
    for item in stream:
        if not isinstance(item, bytes):
            continue
        if begun:
            yield item
            continue
        before, found, rest = (before + item).partition(mark.encode())
        begun = bool(found)
        if rest:
            yield rest
    if not begun or stream.result["status"] != 0:
        said = before[-ERROR:].decode(errors="replace").strip().splitlines() if not begun else []
        why = said[-1] if said else f"it could not be read to its end (status {stream.result['status']})"
        raise Refused(Refusal.INVALID, f"cannot copy {name} from {dyno}: {why}")


def ports(text: str) -> list[tuple[int, int]]:
    """Read `5000`, `5000:80` or several of them with commas; raise Usage."""
    found = []
    for part in text.split(","):
        local, _, remote = part.partition(":")
        pair = (local, remote or local)
        if not all(each.isascii() and each.isdecimal() and 0 < int(each) < 65_536 for each in pair):
            raise Usage(f"cannot forward {part!r}: it must look like 5000 or 8000:5000")
        found.append((int(pair[0]), int(pair[1])))
    return found


def forward(session: Session) -> None:
    """As `heroku ps:forward`: listens on 127.0.0.1 only, each connection with a connection of its own to the platform."""
    pairs, dyno = ports(session.given.words[0]), session.given.text("dyno-name", "web.1")
    session.app_call("dynos.info", dyno=dyno)
    with contextlib.ExitStack() as stack:
        listeners = {}
        for local, remote in pairs:
            try:
                listener = socket.create_server(("127.0.0.1", local), backlog=64)
            except OSError as error:
                raise Refused(
                    Refusal.CONFLICT,
                    f"cannot listen on 127.0.0.1:{local}: {os.strerror(error.errno or 0)}; name another as LOCAL:REMOTE",
                ) from None
            listeners[stack.enter_context(listener)] = remote
            sys.stderr.write(f"Listening on 127.0.0.1:{local} and forwarding to {dyno}:{remote}\n")
        sys.stderr.write("Use CTRL+C to stop port forwarding\n")
        sys.stderr.flush()
        while True:
            for listener in select.select(list(listeners), [], [])[0]:
                sock, _ = listener.accept()
                params = {"app": session.app, "dyno": dyno, "body": {"port": listeners[listener]}}
                threading.Thread(target=_connection, args=(session, sock, params), daemon=True).start()


def _connection(session: Session, sock: socket.socket, params: dict[str, Any]) -> None:
    """One forwarded connection, from its first byte to its last."""
    try:
        with sock, contextlib.closing(Client(control_socket(session.run))) as client:
            _carry(client, client.stream("dynos.forward", params), sock)
    except (Refused, Unreachable, Failed) as error:
        sys.stderr.write(f" !    {error}\n")
    except OSError:  # one of both sides has gone, and so has the other by now
        pass


def _carry(client: Client, stream: Stream, sock: socket.socket) -> None:
    open_, ahead = True, 0
    while not stream.ended:
        typing = [sock] if open_ and ahead < AHEAD else []
        readable, _, _ = select.select([client.sock, *typing], [], [])
        if sock in readable:
            data = sock.recv(READ)
            open_, ahead = bool(data), ahead + len(data)
            stream.input(data or {"eof": True})
        if client.sock in readable:
            for item in stream.fed(client.take()):
                match item:
                    case bytes():
                        sock.sendall(item)
                    case {"took": int(count)}:
                        ahead -= count
                    case _:
                        pass
