"""Issue 3's promise, whole: 500 requests a second, uploads and WebSockets among them, through deploys, restarts and scales, and none fails.

`make soak` (SOAK_ROUNDS=10, SOAK_RATE=500): once with preboot and once with rolling deploys, so many rounds each, and each a deploy, a restart,
one dyno more and one less. It prints what was sent, what failed and how long answers took. What the load's own program could not send
in time is said (`unsent`) and is no failure of the platform's; what was sent counts, however busy the machine is.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import whole

from dynod.cli.client import Client

pytestmark = [pytest.mark.e2e, pytest.mark.soak]

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "10"))
RATE = int(os.environ.get("SOAK_RATE", "500"))
WEBSOCKETS = 40
DYNOS = 4
CAP = 120  # seconds for the load to get on
HERE = Path(__file__).parent


class Storm:
    """The running load on one app; `last` is its newest report."""

    def __init__(self, router, app):
        argv = [sys.executable, "-P", str(HERE / "storm.py"), router, app]
        argv += ["--rate", str(RATE), "--websockets", str(WEBSOCKETS)]
        self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last = {"answered": 0, "messages": 0, "failed": 0, "words": []}
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.kill()
        self._reader.join()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            pipe.close()

    def _read(self):
        for line in self._child.stdout:
            with self._told:
                self.last = json.loads(line)
                self._told.notify_all()

    def fine(self):
        """Wait until a second's worth more were answered and every WebSocket spoke; nothing may have failed until then."""
        with self._told:
            answered, messages = self.last["answered"] + RATE, self.last["messages"] + WEBSOCKETS
            ahead = self._told.wait_for(
                lambda: self.last["answered"] >= answered and self.last["messages"] >= messages, CAP
            )
            assert ahead, f"the load does not get on: {self.last}"
            assert not self.last["failed"], self.last["words"]

    def end(self):
        """Send nothing more, wait for what is under way, and give the last report."""
        self._child.stdin.close()
        self._reader.join(CAP)
        assert self.last.get("ended"), f"the load did not end: {self.last}"
        return self.last


class Steady:
    """An app on a platform, and what is done to it."""

    def __init__(self, platform, name, feature):
        self._platform, self.name = platform, name
        self.tree = platform.clone("shell", name)
        shutil.copy(HERE / "steady.py", self.tree / "steady.py")
        (self.tree / "Procfile").write_text("web: SOAK_RELEASE=$(cat release) exec python3 steady.py\n")
        self._client = Client(f"{platform.run}/control.sock")
        self.deploy(0)
        platform.dyno("features:enable", feature, "-a", name)
        self.scale(DYNOS)

    def close(self):
        self._platform.dyno("ps:scale", "web=0", "-a", self.name)
        self._until(lambda dynos: not dynos)
        self._client.close()

    def deploy(self, number):
        (self.tree / "release").write_text(str(number))
        self._platform.commit(self.tree, f"release {number}")
        self._replaced(lambda: self._platform.push(self.tree))

    def restart(self):
        self._replaced(lambda: self._platform.dyno("ps:restart", "-a", self.name))

    def scale(self, count):
        self._platform.dyno("ps:scale", f"web={count}", "-a", self.name)
        self._until(lambda dynos: len(dynos) == count)

    def _replaced(self, act):
        before = {dyno["id"] for dyno in self._dynos()}
        act()
        self._until(lambda dynos: not before & {dyno["id"] for dyno in dynos})

    def _dynos(self):
        return self._client.call("dynos.list", {"app": self.name})

    def _until(self, check):
        """Wait until the dynos are as `check` wants them and all are up; asked again at every line of theirs."""
        with self._platform.tail(self.name, "--source", "heroku", "--process-type", "web") as next_line:
            while True:
                dynos = self._dynos()
                if check(dynos) and all(dyno["state"] == "up" for dyno in dynos):
                    return
                next_line()


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    base = tmp_path_factory.mktemp("k")
    base.chmod(0o755)  # dynos' users pass through
    made = whole.start(base)
    yield made
    assert made.stop() == 0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("feature", ["preboot", "rolling-deploys"])
def test_no_request_fails_through_deploys_restarts_and_scales(platform, feature):
    app = Steady(platform, f"soak-{feature}", feature)
    with Storm(platform.ready["router"], app.name) as storm:
        storm.fine()
        for number in range(1, ROUNDS + 1):
            app.deploy(number)
            storm.fine()
            app.restart()
            storm.fine()
            app.scale(DYNOS + 1)
            storm.fine()
            app.scale(DYNOS)
            storm.fine()
        report = storm.end()
    answer = platform.get(app.name)
    app.close()
    print(told(feature, report))
    assert not report["failed"], report["words"]
    assert report["answered"] == report["sent"]
    # Each was closed by each dyno that went, and came back.
    assert report["closed_well"] >= WEBSOCKETS * ROUNDS
    assert answer == (200, f"release {ROUNDS}")


def told(feature, report):
    """The figures in words."""
    asked = report["sent"] + report["unsent"]
    lines = [
        f"\n{feature}: {ROUNDS} deploys, {ROUNDS} restarts, {2 * ROUNDS} scales in {report['seconds']:.0f} s",
        f"  {report['rate']} requests a second of {RATE}, {report['sent']} sent, {report['failed']} failed",
        f"  {report['uploads']} uploads of {report['uploaded'] / 1024**2:.0f} MiB, each digest compared",
        f"  {WEBSOCKETS} WebSockets: {report['messages']} echoes, {report['closed_well']} times closed by a dyno that went",
        f"  p50 {report['p50']} ms, p99 {report['p99']} ms, p99.9 {report['p999']} ms, slowest {report['slowest']} ms",
    ]
    if report["unsent"]:
        lines.append(
            f"  the load's own program did not get the processor for {report['unsent']} of {asked}: they were never sent"
        )
    return "\n".join(lines)
