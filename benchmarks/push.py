"""How long a push with nothing to install takes: from `git push` typed to git's end, and to the new release answering.

A whole `dynod up` in directories of its own, the Procfile-only example app, five pushes of one changed file each. The goal is two
seconds from typing to the answer of the new release; piku, without isolation and slugs, was measured at 0.5 to 2.8 s.
"""

import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PUSHES = 5


class Platform:
    """`dynod up` for the length of a with statement."""

    def __init__(self, base):
        self.run = f"{base}/run"
        self.state = f"{base}/state"
        self.process = None
        self.ready = {}

    def __enter__(self):
        read, write = os.pipe()
        argv = [sys.executable, "-m", "dynod", "up", "--state", self.state, "--run", self.run]
        argv += ["--api", "127.0.0.1:0", "--router", "127.0.0.1:0", "--ready-fd", str(write)]
        self.process = subprocess.Popen(argv, cwd=ROOT, pass_fds=(write,))
        os.close(write)
        if os.read(read, 1) != b"1":
            raise SystemExit("cannot measure pushes: the platform did not start")
        os.close(read)
        self.ready = json.loads(Path(self.run, "ready.json").read_text())
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def call(self, method, path, body=None):
        """One call of the Platform API by curl, which knows the local authority."""
        argv = ["curl", "-fsS", "--cacert", self.ready["ca"], "-X", method, self.ready["api"] + path]
        argv += ["-H", f"Authorization: Bearer {self.ready['token']}", "-H", "Content-Type: application/json"]
        out = subprocess.run([*argv, "-d", json.dumps(body or {})], check=True, capture_output=True).stdout
        return json.loads(out)

    def get(self, app, path="/"):
        """One request through the router."""
        host, _, port = self.ready["router"].removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=90)
        connection.request("GET", path, headers={"Host": f"{app}.localhost"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body


def _git(directory, *argv, **env):
    clean = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", **env}
    settings = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *settings, *argv], cwd=directory, env=clean, check=True, capture_output=True)


def _once(platform, repo, number):
    page = Path(repo, "www", "index.html")
    page.write_text(f"release {number}\n")
    _git(repo, "add", "-A")
    _git(repo, "commit", "-m", f"release {number}")
    started = time.perf_counter()
    _git(repo, "push", "dynod", "main", GIT_SSL_CAINFO=platform.ready["ca"])
    pushed = time.perf_counter() - started
    while platform.get("bench")[1] != page.read_bytes():
        pass
    return pushed, time.perf_counter() - started


def main():
    """Print the table."""
    base = tempfile.mkdtemp(prefix="dynod-bench-")
    try:
        with Platform(base) as platform:
            platform.call("POST", "/apps", {"name": "bench"})
            repo = f"{base}/app"
            shutil.copytree(ROOT / "examples" / "shell", repo)
            _git(repo, "init")
            address = platform.ready["api"].replace("https://", f"https://x:{platform.ready['token']}@")
            _git(repo, "remote", "add", "dynod", f"{address}/bench.git")
            rows = [_once(platform, repo, number) for number in range(1, PUSHES + 1)]
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"push with nothing to install, {PUSHES} pushes     min    median   max")
    for name, column in (("git push", 0), ("to the new release answering", 1)):
        times = [row[column] for row in rows]
        print(
            f"{name:<42} {min(times):6.2f}  {statistics.median(times):6.2f}  {max(times):6.2f}  s  (goal 2 s)"
        )


if __name__ == "__main__":
    main()
