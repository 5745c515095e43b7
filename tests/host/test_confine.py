"""A program that went behind its own walls: what it can still do, and what a stranger who got hold of it could not."""

import json
import os
import signal
import subprocess
import sys

import pytest

from dynod.host.confine import refused

SCRIPT = """
import json, os, pathlib, socket, sys
from dynod.host.confine import confine
outside, parent = sys.argv[1], int(sys.argv[2])
said = {}

def attempt(name, do):
    try:
        do()
        said[name] = "done"
    except OSError as error:
        said[name] = type(error).__name__

confine()
attempt("write here", lambda: pathlib.Path("file").write_text("x"))
attempt("make a directory", lambda: os.makedirs("a/b"))
attempt("link across directories", lambda: os.link("file", "a/b/second"))
attempt("make a link", lambda: os.symlink("/etc/passwd", "a/link"))
attempt("change what is open", lambda: os.fchmod(os.open("file", os.O_RDONLY), 0o755))
attempt("connect", lambda: socket.socket(socket.AF_UNIX))
attempt("signal", lambda: os.kill(parent, 0))
attempt("fork", os.fork)
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("change another's mode", lambda: os.chmod(outside, 0o777))
attempt("read outside", lambda: open(outside).read())
attempt("write outside", lambda: open(outside, "w"))
attempt("read through a link", lambda: open("a/link").read())
attempt("make outside", lambda: os.mkdir(outside + ".new"))
os.write(1, json.dumps(said).encode())
"""
WALLED = ("read outside", "write outside", "read through a link", "make outside")


def has_landlock():
    try:
        with open("/sys/kernel/security/lsm") as file:
            return "landlock" in file.read()
    except OSError:
        return False


@pytest.fixture
def said(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "outside").chmod(0o600)
    argv = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path / "outside"), str(os.getpid())]
    done = subprocess.run(argv, cwd=tmp_path / "here", capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        done.stderr,
        signal.Signals(-done.returncode) if done.returncode < 0 else "",
    )
    return json.loads(done.stdout)


def test_it_writes_where_it_stands(said):
    own = ("write here", "make a directory", "link across directories", "make a link", "change what is open")
    assert {name: said[name] for name in own} == dict.fromkeys(own, "done")


def test_it_reaches_nobody(said):
    others = ("connect", "signal", "fork", "exec", "change another's mode")
    assert {name: said[name] for name in others} == dict.fromkeys(others, "PermissionError")


@pytest.mark.skipif(not has_landlock(), reason="this kernel runs without Landlock")
def test_it_sees_no_other_file(said):
    assert {name: said[name] for name in WALLED} == dict.fromkeys(WALLED, "PermissionError")


def test_each_machine_has_its_own_numbers():
    x86, arm = refused("x86_64"), refused("aarch64")
    assert len(set(x86)) == len(x86) > len(set(arm)) == len(arm)
    assert refused("riscv64") == []
