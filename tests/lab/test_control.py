"""The lab as a person uses it: `make lab` in front, commands and faults beside it, the plug pulled, and brought up again."""

import signal
import subprocess
import sys
import time

import pytest

from lab import __main__ as commands
from lab.image import ROOT
from tests.lab.conftest import figure

PORTS = ("--router", "18080", "--api", "15000")
CAP = 1800


def lab(*words, cap=CAP):
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=cap,
    )


def inside(script):
    done = lab("run", script)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Front:
    """`make lab` in a terminal of its own."""

    def __init__(self, *words):
        argv = [sys.executable, "-m", "lab", "up", *PORTS, *words]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        began = time.monotonic()
        for line in self.process.stdout:
            if "Ctrl-C shuts it down" in line:
                figure("make lab", seconds=round(time.monotonic() - began, 1))
                return
        pytest.fail(f"make lab ended with {self.process.wait()}")

    def end(self, number=signal.SIGINT):
        """Have it end, if it has not; return its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.communicate(timeout=CAP)
        self.process.stdout.close()
        return self.process.returncode


@pytest.fixture
def front(disk):
    """One with the state on a disk of its own, which nobody used before."""
    kept = []
    kept.append(Front("--fresh", "--state-disk", "1G"))
    yield kept
    kept[-1].end()


@pytest.mark.timeout(7200)
def test_a_person_breaks_and_mends_the_machine_and_pulls_its_plug(front):
    assert inside("findmnt -no SOURCE /var/lib/dynod") == "/dev/mapper/lab\n"
    inside("cd /srv/dynod && sh lab/deploy hello examples/shell")
    for words in (
        ("clock", "86400"),
        ("network",),
        ("memory", "dynod", "2G"),
        ("slow-disk", "50"),
        ("full",),
    ):
        for end in ((), ("--end",)):
            done = lab("fault", *end, *words)
            assert done.returncode == 0, (words, end, done.stderr)
    assert lab("fault", "erring-disk").returncode == 0
    refused = lab("run", "dyno config:set A=b -a hello")
    assert refused.returncode != 0
    assert lab("fault", "--end", "erring-disk").returncode == 0
    assert lab("cut").returncode == 0
    front[-1].end()
    front.append(Front())
    assert inside("findmnt -no SOURCE /var/lib/dynod") == "/dev/mapper/lab\n"
    inside(
        "until curl -sf -m 60 -H 'Host: hello.localhost' http://127.0.0.1:8080/ >/dev/null; do sleep 1; done"
    )
    done = lab("run", "date >/srv/out/when; exit 7")
    assert done.returncode == 7
    assert (commands._home() / "out/when").read_text()
    assert front[-1].end() == 0


@pytest.mark.timeout(7200)
def test_a_command_in_a_machine_of_its_own_brings_its_status_its_words_and_its_files_back(disk):
    """Where no `make lab` runs."""
    done = lab("run", "echo said; echo why >&2; echo found >/srv/out/file; exit 7")
    assert (done.returncode, done.stdout) == (7, "said\n")
    assert "why\n" in done.stderr
    brought = next(line for line in done.stderr.splitlines() if line.startswith("lab: brought back "))
    with open(brought.removeprefix("lab: brought back ")) as file:
        assert file.read() == "found\n"
