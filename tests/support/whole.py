"""A whole platform for end-to-end tests: `dynod up` in directories of its own, and the ways a person has to it.

`start(base)` returns a running `Whole`; `stop()` ends it as Ctrl-C would and fails when anything is left.
"""

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
START_CAP = 120
STOP_CAP = 90
LINE_CAP = 120


def need_others():
    """Skip where other users cannot read the project, as below /root."""
    if not all(os.stat(path).st_mode & 0o001 for path in (*ROOT.parents, ROOT, sys.prefix)):
        pytest.skip(f"other users cannot read {ROOT}")


class Whole:
    """`ready` is RUN/ready.json as it is now; `up` the process of `dynod up`."""

    def __init__(self, base, *flags, command="up"):
        self.base = Path(base)
        self.state, self.run = str(self.base / "s"), str(self.base / "r")
        self._read, write = os.pipe()
        argv = [sys.executable, "-P", "-m", "dynod", command, "--state", self.state, "--run", self.run]
        argv += ["--api", "127.0.0.1:0", "--router", "127.0.0.1:0", "--ready-fd", str(write), *flags]
        self.up = subprocess.Popen(argv, pass_fds=[write], start_new_session=True)
        os.close(write)

    def wait_ready(self):
        """Wait until everything serves."""
        try:
            readable, _, _ = select.select([self._read], [], [], START_CAP)
            assert readable, f"not ready within {START_CAP} s\n{self.logs()}"
            assert os.read(self._read, 1), f"dynod up ended with {self.up.wait(10)}\n{self.logs()}"
        finally:
            os.close(self._read)
        return self

    @property
    def ready(self):
        with open(f"{self.run}/ready.json") as file:
            return json.load(file)

    def pids(self, name):
        """The pids of one component, as a list."""
        found = self.ready["pids"][name]
        return found if isinstance(found, list) else [found]

    def logs(self):
        """The last lines of every component, for a failing test's message."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-30:])
            for path in sorted(Path(self.run).glob("*.log"))
        )

    # -- what a person types ---------------------------------------------------------------------------------------

    def dyno(self, *words, cwd=None, check=True, input=None, timeout=120):
        """Run one `dyno` verb; return the CompletedProcess."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dynod.cli", *words],
            cwd=cwd or self.base,
            env={**os.environ, "DYNOD_RUN": self.run},
            capture_output=True,
            text=True,
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"dyno {words}: {done.stderr}\n{self.logs()}"
        return done

    def json(self, *words):
        """What a reading verb prints with --json."""
        return json.loads(self.dyno(*words, "--json").stdout)

    @contextlib.contextmanager
    def tail(self, app, *words):
        """`dyno logs --tail` in the background: yields a function that waits for the next line."""
        argv = [sys.executable, "-P", "-m", "dynod.cli", "logs", "--tail", "-a", app, *words]
        env = {**os.environ, "DYNOD_RUN": self.run}
        with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
            rest = bytearray()

            def next_line():
                while b"\n" not in rest:
                    readable, _, _ = select.select([child.stdout], [], [], LINE_CAP)
                    assert readable, f"no line within {LINE_CAP} s\n{self.logs()}"
                    data = os.read(child.stdout.fileno(), 65536)
                    assert data, "the tail ended"
                    rest.extend(data)
                line, _, behind = bytes(rest).partition(b"\n")
                rest[:] = behind
                return line.decode(errors="replace")

            try:
                yield next_line
            finally:
                child.kill()

    def until(self, check, app):
        """Wait until `check()` is true; it is asked again whenever the app's log has a new line."""
        with self.tail(app) as next_line:
            while not (found := check()):
                next_line()
            return found

    def clone(self, example, app):
        """A git repository with an example in it and the remote `heroku` for the app, which is created."""
        tree = self.base / f"tree-{app}"
        shutil.copytree(EXAMPLES / example, tree)
        self._create(tree, app)
        return tree

    def _create(self, tree, app):
        self.git(tree, "init", "-q", "-b", "main")
        self.commit(tree, "first")
        self.dyno("create", app, cwd=tree)

    def commit(self, tree, message):
        self.git(tree, "add", "-A")
        self.git(tree, "commit", "-q", "--allow-empty", "-m", message)

    def git(self, tree, *words, check=True):
        """Run git as a person with no configuration of their own."""
        done = subprocess.run(
            ["git", *words],
            cwd=tree,
            env=self._person(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert not check or done.returncode == 0, f"git {words}: {done.stderr}\n{self.logs()}"
        return done

    def _person(self):
        return {name: value for name, value in os.environ.items() if name != "GIT_SSL_CAINFO"} | {
            "HOME": str(self.base),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.com",
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        }

    def pushing(self, tree):
        """`git push heroku main` under way; its stderr, a pipe, is the transcript."""
        argv = ["git", "push", "heroku", "main"]
        return subprocess.Popen(argv, cwd=tree, env=self._person(), stderr=subprocess.PIPE)

    def push(self, tree, *words, check=True):
        """`git push heroku main`; its stderr is the transcript."""
        return self.git(tree, "push", "heroku", "main", *words, check=check).stderr

    def deploy(self, example, app):
        """Create an app and push an example to it; return its tree."""
        tree = self.clone(example, app)
        self.push(tree)
        return tree

    def deploy_files(self, files, app):
        """Create an app and push these files (name: text) to it; return its name."""
        tree = self.base / f"tree-{app}"
        tree.mkdir()
        for name, text in files.items():
            (tree / name).write_text(text)
        self._create(tree, app)
        self.push(tree)
        return app

    def get(self, app, path="/", timeout=80):
        """One request through the router; return (status, body)."""
        url = urllib.parse.urlsplit(self.ready["router"])
        with contextlib.closing(
            http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
        ) as connection:
            connection.request("GET", path, headers={"Host": f"{app}.localhost"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    # -- the end ---------------------------------------------------------------------------------------------------

    def stop(self, number=signal.SIGINT):
        """End it as Ctrl-C does and look that nothing is left."""
        if self.up.poll() is None:
            self.up.send_signal(number)
        try:
            status = self.up.wait(STOP_CAP)
        except subprocess.TimeoutExpired:
            self.up.kill()
            raise AssertionError(f"dynod up did not stop within {STOP_CAP} s\n{self.logs()}") from None
        assert left(self.base) == []
        return status


def start(base, *flags):
    """A platform that serves."""
    made = Whole(base, *flags)
    try:
        return made.wait_ready()
    except BaseException:
        made.up.kill()
        made.up.wait()
        raise


def left(base):
    """Processes and mounts that have to do with a directory."""
    word, found = str(base), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if word in command and int(pid) != os.getpid() and state not in "ZX":
                found.append(f"process {pid}: {command[:200]}")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [f"mount: {line}" for line in mounts if re.search(rf" {re.escape(word)}[/ ]", line)]
