"""An app that is destroyed leaves nobody behind: its dynos end, its one-offs, which nobody could stop any more, and its build."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
PATIENCE = 120


def running(mark):
    """The processes with this in their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(int(pid))
        except OSError:
            continue
    return found


def gone(pidfds):
    """Wait until all of them have ended."""
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], PATIENCE)[0], "a process outlives its app"
        os.close(pidfd)


def test_one_offs_end_with_their_app(platform):
    platform.deploy("shell", "short")
    platform.dyno("ps:scale", "web=3", "-a", "short")
    platform.dyno("run:detached", "-a", "short", "exec sleep 1000017")
    argv = [sys.executable, "-P", "-m", "dynod.cli", "run", "-a", "short", "--run", platform.run, "--"]
    with subprocess.Popen(
        [*argv, "echo here; sleep 1000018"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as attached:
        assert attached.stdout.readline() == b"here\n"
        platform.until(lambda: running("1000017") and running("1000018"), "short")
        ends = [os.pidfd_open(pid) for mark in ("1000017", "1000018") for pid in running(mark)]
        platform.dyno("apps:destroy", "-a", "short", "--confirm", "short")
        gone(ends)
        assert attached.wait(PATIENCE) == 143
    assert "Traceback" not in (Path(platform.run) / "serve.log").read_text()


def test_a_build_ends_with_its_app(platform):
    tree = platform.clone("shell", "built")
    (tree / "requirements.txt").write_text("")
    (tree / "bin").mkdir()
    (tree / "bin/post_compile").write_text("#!/bin/sh\necho for ever; exec sleep 1000019\n")
    (tree / "bin/post_compile").chmod(0o755)
    platform.commit(tree, "one that lasts")
    with platform.pushing(tree) as push:
        said = b""
        while b"for ever" not in said:
            said += os.read(push.stderr.fileno(), 65536)
        ends = [os.pidfd_open(pid) for pid in running("1000019")]
        platform.dyno("apps:destroy", "-a", "built", "--confirm", "built")
        gone(ends)
        rest = push.communicate(timeout=PATIENCE)[1].decode()
    assert push.returncode != 0
    assert "Traceback" not in rest
    assert "destroyed" in rest


def test_a_tail_ends_with_its_app(platform):
    platform.deploy("shell", "tailed")
    argv = [sys.executable, "-P", "-m", "dynod.cli", "logs", "--tail", "-a", "tailed", "--run", platform.run]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert "Initial release" in tail.stdout.readline()
        platform.dyno("apps:destroy", "-a", "tailed", "--confirm", "tailed")
        said, wrong = tail.communicate(timeout=PATIENCE)
    assert (tail.returncode, wrong) == (0, "")
    assert "State changed from up to down" in said
