"""`dynod quickstart` (`make run`): the platform up, an example app deployed by a real `git push`, and what to type next.

It starts `dynod up` as its child and stays in front of it. A second run on the same state finds the app there, pushes
nothing, and says so. It leaves nothing behind: the clone it pushed from is temporary, and Ctrl-C stops the platform.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dynod.api.exports import cli_exports
from dynod.cli.client import Client, Failed, Unreachable
from dynod.cli.doctor import examine, lacking, report
from dynod.host.config import BadSettings, as_argv, parser, settings
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Settings, control_socket

APP = "hello"
_EXAMPLE = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "shell")


_STOP = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class _Gone(Exception):
    """`dynod up` ended; it has said why."""


def _say(line: str = "") -> None:
    print(line, flush=True)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Turn SIGINT, SIGTERM, SIGHUP and SIGCHLD into bytes of a pipe, whose read end is yielded."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(write)
    numbers = (*_STOP, signal.SIGCHLD)
    handlers = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield read
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def _heard(signals: int) -> set[int]:
    select.select([signals], [], [])
    with contextlib.suppress(BlockingIOError):
        return set(os.read(signals, 64))
    return set()


def _wait_ready(up: "subprocess.Popen[bytes]", ready: int, signals: int) -> bool:
    """Wait until `dynod up` says that it serves; False when a person asked to stop first; raise _Gone."""
    while True:
        readable, _, _ = select.select([ready, signals], [], [])
        if ready in readable:
            if not os.read(ready, 1):
                up.wait()
                raise _Gone
            return True
        if _heard(signals) & _STOP:
            return False


def _environment(ready: Mapping[str, Any], home: str) -> dict[str, str]:
    """What git needs to push here: the authority, and a helper that knows the token; nobody's own configuration."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSL_CAINFO": str(ready["ca"]),
        "DYNOD_TOKEN": str(ready["token"]),
        "GIT_AUTHOR_NAME": "dynod",
        "GIT_AUTHOR_EMAIL": "dynod@localhost",
        "GIT_COMMITTER_NAME": "dynod",
        "GIT_COMMITTER_EMAIL": "dynod@localhost",
        "LC_ALL": "C.UTF-8",
    }


def _push(ready: Mapping[str, Any], example: str) -> None:
    """Commit the example in a directory that goes away again, and push it as anybody would; raise Refused."""
    with tempfile.TemporaryDirectory(prefix="dynod-quickstart-") as home:
        tree = os.path.join(home, APP)
        shutil.copytree(example, tree)
        helper = '!f() { echo username=heroku; echo "password=$DYNOD_TOKEN"; }; f'
        url = f"{ready['api']}/{APP}.git"
        for argv in (
            ["init", "-q", "-b", "main"],
            ["add", "-A"],
            ["commit", "-q", "-m", "The shell example"],
            ["-c", f"credential.helper={helper}", "push", url, "main"],
        ):
            done = subprocess.run(["git", *argv], cwd=tree, env=_environment(ready, home), check=False)
            if done.returncode:
                raise Refused(
                    Refusal.INVALID, f"cannot deploy the example: git {argv[0]} ended with {done.returncode}"
                )


def _deploy(ready: Mapping[str, Any], run: str, example: str) -> str:
    """Make and push the example app unless it is there with a slug; return its address."""
    client = Client(control_socket(run))
    try:
        names = {row["name"] for row in client.call("apps.list", {})}
        if APP not in names:
            _say(f"creating the app {APP}")
            client.call("apps.create", {"body": {"name": APP}})
        app = client.call("apps.info", {"app": APP})
        if app["slug_size"] is None:
            _say("pushing examples/shell to it with git")
            _push(ready, example)
        else:
            _say(f"the app {APP} is here from an earlier run: nothing is pushed")
        return str(app["web_url"])
    finally:
        client.close()


def _next(ready: Mapping[str, Any], url: str, settings: Settings) -> None:
    router = str(ready["router"])
    run = "" if settings.run == Settings().run else f" --run {settings.run}"
    dyno = os.path.join(os.path.dirname(sys.executable), "dyno")
    exports = ", ".join(list(cli_exports(ready))[:2])
    _say(f"""
{APP} answers at {url}
  without DNS:  curl -H 'Host: {APP}.{settings.domain}' {router}/

In another terminal (as root), your own app, from its git repository:
  {dyno} create myapp{run}
  git push heroku main
  {dyno} logs --tail{run}

The official heroku CLI at this machine ({exports} and others):
  eval "$({dyno} env{run})"
  heroku apps

Ctrl-C stops the platform; its state stays in {settings.state}.""")


def _stay(up: "subprocess.Popen[bytes]", signals: int) -> int:
    """Stay in front until the platform ends by itself (1)."""
    while up.poll() is None:
        if _heard(signals) & _STOP:
            return 0
    return 1


def _stop(up: "subprocess.Popen[bytes]", signals: int) -> None:
    """End `dynod up` in its own order; a second Ctrl-C is passed on and hurries it."""
    if up.poll() is None:
        _say("\nstopping; Ctrl-C again to hurry")
        up.send_signal(signal.SIGINT)
    while up.poll() is None:
        if signal.SIGINT in _heard(signals):
            up.send_signal(signal.SIGINT)


def _examine(settings: Settings, *, anyway: bool) -> None:
    """Ask the doctor first: what is missing is said with its remedy before anything fails for want of it. Raise Refused."""
    checks = examine(settings)
    for line in report([check for check in checks if check.needed and not check.ok]):
        _say(line)
    if (missing := lacking(checks)) and not anyway:
        raise Refused(
            Refusal.INVALID,
            f"cannot start: this machine lacks {', '.join(missing)}; the remedies stand above, and --anyway tries all the same",
        )
    if notes := [check.name for check in checks if not check.needed and not check.ok]:
        program = os.path.join(os.path.dirname(sys.executable), "dynod")
        _say(f"what this machine could have besides: {', '.join(notes)} ({program} doctor tells)")


def _quickstart(settings: Settings, config: str | None, example: str) -> int:
    read, write = os.pipe2(os.O_CLOEXEC)
    up_flags = ["--ready-fd", str(write), "--parent", str(os.getpid())]
    argv = [sys.executable, "-P", "-m", "dynod", "up", *as_argv(settings, config), *up_flags]
    with _signals() as signals:
        _say(f"starting the platform: state in {settings.state}, sockets and logs in {settings.run}")
        up = subprocess.Popen(argv, pass_fds=[write], start_new_session=True)
        os.close(write)
        try:
            if not _wait_ready(up, read, signals):
                return 0
            with open(f"{settings.run}/ready.json", encoding="utf-8") as file:
                ready = json.load(file)
            _next(ready, _deploy(ready, settings.run, example), settings)
            return _stay(up, signals)
        finally:
            os.close(read)
            _stop(up, signals)


def main(argv: Sequence[str]) -> int:
    """0 after Ctrl-C, 1 with one line when something is missing, 2 for wrong usage."""
    flags = parser("dynod quickstart", "Run the platform, deploy an example app, say what to type next.")
    flags.add_argument(
        "--example", default=_EXAMPLE, metavar="DIR", help="what to deploy (default examples/shell)"
    )
    flags.add_argument(
        "--anyway", action="store_true", help="start even where dynod doctor finds something missing"
    )
    given = flags.parse_args(argv)
    try:
        wanted = settings(vars(given))
        if os.geteuid():
            raise Refused(
                Refusal.FORBIDDEN, "cannot start: dynos need root to get their walls; try sudo make run"
            )
        if not os.path.isdir(given.example):
            raise Refused(
                Refusal.NOT_FOUND, f"cannot find the example app at {given.example}: say --example DIR"
            )
        _examine(wanted, anyway=given.anyway)
        config = os.path.abspath(given.config) if given.config else None
        return _quickstart(wanted, config, os.path.abspath(given.example))
    except BadSettings as error:
        print(f"dynod: {error}", file=sys.stderr)
        return 2
    except (Refused, Unreachable, Failed) as error:
        print(f"dynod: {error}", file=sys.stderr)
        return 1
    except _Gone:
        return 1
