"""What a process is called in `ps`: written where its arguments lie, whatever became of its environment."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
from dynod.jail.title import set_title
for name in sys.argv[2].split():
    os.environ.pop(name)
os.environ["MORE"] = "x" * 1000
set_title(sys.argv[1])
print(open("/proc/self/cmdline").read().rstrip(chr(0)))
print(sorted(open("/proc/self/environ").read().split(chr(0)))[-1])
"""


@pytest.mark.parametrize("gone", ["", "A", "A B", "B", "A B C"])
@pytest.mark.parametrize("title", ["dyno-init", "t" * 5000])
def test_the_title_fits_and_nothing_beside_it_is_touched(gone, title):
    argv = [sys.executable, "-c", SCRIPT, title, gone]
    env = {"A": "1", "B": "2", "C": "3", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    said, environ = done.stdout.splitlines()
    room = len(b"\0".join(word.encode() for word in argv))
    assert said == title[:room]
    assert environ.startswith("PYTHONPATH=")
