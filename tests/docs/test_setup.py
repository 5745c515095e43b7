"""`make setup` after an interrupt: what was half made is made again, and nobody is shown a traceback."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
    """The Makefile where all packages are there and pip installs nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    script(tmp_path / ".ci/packages", "exit 0")
    return tmp_path


def make(checkout, system, **more):
    # Flags of the `make test` that runs this are not for it: with -C or -j make has more to say.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-s", ".venv/.done", f"SYSTEM={system}"],
        cwd=checkout,
        env=env | more,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_virtual_environment_without_pip_is_made_again(checkout):
    """`python3 -m venv` makes the interpreter first and pip last; in between is half a minute of a busy machine."""
    script(checkout / ".venv/bin/python", 'case "$*" in "-m pip "*) exit 1;; esac')
    (checkout / ".venv/half").touch()
    script(checkout / "whole", "exit 0")
    script(checkout / "system", "mkdir -p .venv/bin && cp whole .venv/bin/python")
    done = make(checkout, "./system")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "making .venv"
    assert not (checkout / ".venv/half").exists()
    assert (checkout / ".venv/.done").exists()


def test_a_whole_virtual_environment_stays(checkout):
    script(checkout / ".venv/bin/python", "exit 0")
    (checkout / ".venv/whole").touch()
    done = make(checkout, "false")
    assert (done.returncode, "making .venv" in done.stdout) == (0, False)
    assert (checkout / ".venv/whole").exists()


def test_ctrl_c_while_it_is_made_is_no_traceback(checkout):
    (checkout / "venv.py").write_text(
        "import os, signal\ndef main(argv): os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = make(checkout, sys.executable, PYTHONPATH=str(checkout))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv/.done").exists()
