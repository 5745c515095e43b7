"""Within which change a disk forgets: one of the kind asked for, so far into it as was drawn, and with what was said before told."""

import contextlib
import os
import subprocess

import pytest

from tests.lab.forget import Watch, main, wait


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


def test_changes_of_other_kinds_are_left_alone():
    watch = heard("rollback", 0, (0, "try count 1"), (1, "did count 1"), (2, "try count 2"))
    assert watch.moment is None


def test_a_change_that_ended_before_its_moment_leaves_it_to_the_next():
    lines = ((0, "try web 1"), (4, "did web 1"), (5, "try web 2"), (6, "did web 2"))
    assert heard("scale", 0.5, *lines).moment is None
    assert heard("scale", 0.5, *lines, (7, "try worker 1")).moment == 7.5


def test_a_refused_change_does_not_tell_how_long_one_takes():
    lines = ((0, "try rollback s"), (4, "did rollback s 0"), (5, "try rollback s"), (6, "not rollback s why"))
    assert heard("rollback", 1, *lines, (7, "try rollback s")).moment == 11
    assert heard("rollback", 1, *lines[2:], (7, "try rollback s")).moment is None


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def test_it_is_time_while_the_change_is_under_way(pipe):
    os.write(pipe[1], b"try count 1\ndid count 1\ntry web 1\ndid web 1\ntry count 2\n")
    watch = Watch("config", 0)
    wait(watch, pipe[0])
    assert watch.moment is not None


def test_all_that_was_said_is_heard_before_it_is_time(pipe):
    os.write(pipe[1], b"try count 1\ndid count 1\ntry count 2\ndid count 2\n")
    os.close(pipe[1])
    with pytest.raises(SystemExit, match="the changes ended before the disk could forget"):
        wait(Watch("config", 0), pipe[0])


def test_changes_that_end_before_are_told_and_nothing_is_done(tmp_path):
    log = tmp_path / "changes.log"
    log.write_text("try push 1\ndid push 1\n")
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
        with pytest.raises(SystemExit, match="the changes ended before the disk could forget"):
            main(str(log), str(ended.pid), "push", "0", "none", f"touch {tmp_path}/forgot")
    assert not (tmp_path / "forgot").exists()
