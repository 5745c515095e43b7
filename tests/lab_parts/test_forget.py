"""Within which change a disk forgets: one of the kind asked for, so far into it as was drawn, and with what was said before told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.forget import Watch

FORGET = Path(__file__).parents[1] / "lab/forget.py"


def heard(kind, part, *lines):
    watch = Watch(kind, part)
    for at, line in lines:
        watch.hear(line, at)
    return watch


def test_the_first_change_of_a_kind_tells_how_long_one_takes_and_the_next_has_the_moment():
    first = ((0, "try count 1"), (4, "did count 1"))
    assert heard("config", 0.5, *first).moment is None
    assert heard("config", 0.5, *first, (10, "try count 2")).moment == 12


@pytest.mark.parametrize(
    ("kind", "said"), [("push", "push"), ("scale", "web"), ("scale", "worker"), ("rollback", "rollback")]
)
def test_each_kind_is_known_by_what_is_said_of_it(kind, said):
    assert heard(kind, 1, (0, f"try {said} 1"), (3, f"did {said} 1"), (5, f"try {said} 2")).moment == 8


def test_changes_of_other_kinds_are_counted_and_left_alone():
    watch = heard("rollback", 0, (0, "try count 1"), (1, "did count 1"), (2, "try count 2"))
    assert (watch.moment, watch.heard) == (None, 3)


def test_a_change_that_ended_before_its_moment_leaves_it_to_the_next():
    lines = ((0, "try web 1"), (4, "did web 1"), (5, "try web 2"), (6, "did web 2"))
    assert heard("scale", 0.5, *lines).moment is None
    assert heard("scale", 0.5, *lines, (7, "try worker 1")).moment == 7.5


def test_a_refused_change_does_not_tell_how_long_one_takes():
    lines = ((0, "try rollback s"), (4, "did rollback s 0"), (5, "try rollback s"), (6, "not rollback s why"))
    assert heard("rollback", 1, *lines, (7, "try rollback s")).moment == 11
    assert heard("rollback", 1, *lines[2:], (7, "try rollback s")).moment is None


def forget(tmp_path, pid, kind, *lines):
    log = tmp_path / "changes.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    return subprocess.run(
        [sys.executable, "-P", FORGET, log, str(pid), kind, "0", f"touch {tmp_path}/forgot"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_happens_while_the_change_is_under_way_and_what_had_been_said_is_counted(tmp_path):
    lines = ("try count 1", "did count 1", "try web 1", "did web 1", "try count 2")
    done = forget(tmp_path, os.getpid(), "config", *lines)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert (tmp_path / "forgot").exists()


def test_changes_that_end_before_are_told_and_nothing_is_done(tmp_path):
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        done = forget(tmp_path, ended.pid, "push", "try push 1", "did push 1")
    assert (done.returncode, done.stderr) == (1, "the changes ended before the disk could forget\n")
    assert not (tmp_path / "forgot").exists()
