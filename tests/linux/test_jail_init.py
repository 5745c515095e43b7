"""PID 1 of a dyno, in both its shapes: the compiled one (make setup) and Python's, which serves where that is missing."""

import os
import re
import time
from pathlib import Path

import pytest
from jailed import PATIENCE, TestHost, close_all, read_all, read_until

pytestmark = pytest.mark.linux
SHAPES = {"compiled": (), "python": ("--init", "/nowhere/dyno-init")}
ORPHANS = "for i in 1 2 3; do (sh -c 'exit 3' &) ; done; while grep -qs State:.Z /proc/[0-9]*/status; do :; done; echo none"


@pytest.fixture(scope="module", params=SHAPES)
def host(request):
    one = TestHost().start(*SHAPES[request.param])
    one.shape = request.param
    yield one
    one.close()


def test_it_is_what_was_asked_for(host):
    said, fds = host.boot(host.plan("cat"))
    if host.shape == "compiled":  # it becomes that while the app starts
        give_up = time.monotonic() + PATIENCE
        while "memfd:dyno-init" not in os.readlink(f"/proc/{said['pid']}/exe"):
            assert time.monotonic() < give_up
            os.sched_yield()
    else:
        assert "python" in os.readlink(f"/proc/{said['pid']}/exe")
    own = re.search(r"Anonymous: +(\d+)", Path(f"/proc/{said['pid']}/smaps_rollup").read_text())
    if host.shape == "compiled":
        assert int(own[1]) < 200  # kB; with a thousand dynos it is what counts
    close_all(fds)


def test_the_status_is_the_main_commands(host):
    assert host.sh("exit 7")[0] == 7
    assert host.sh("kill -9 $$")[0] == 137


def test_orphans_are_reaped(host):
    assert host.sh(ORPHANS)[1] == "none\n"


def test_nothing_in_the_dyno_looks_into_it(host):
    """Python's shape is what both are before the compiled one is in place, when the app runs already: a fork of the machine's root."""
    script = (
        "for name in mem maps environ auxv; do (: < /proc/1/$name) && echo $name; done; "
        "for link in exe cwd root fd/0 ns/net; do readlink /proc/1/$link; done; ls /proc/1/fd; echo over"
    )
    assert host.sh(f"exec 2>/dev/null; {script}") == (0, "over\n")


@pytest.mark.parametrize("signum", [1, 10, 15])
def test_a_signal_reaches_every_process(host, signum):
    each = "sh -c 'trap \"echo heard; exit\" HUP USR1 TERM; echo set; sleep 1000 & wait'"
    plan = host.plan("sh", "-c", f"trap 'wait; exit 5' HUP USR1 TERM; {each} & {each} & wait; wait")
    _, fds = host.boot(plan)
    read_until(fds[1], "set\nset\n")
    host.ask("signal", id=plan["id"], signal=signum)
    assert read_all(fds[1]).count("heard") == 2
    assert host.ended(plan["id"])["status"] == 5
    close_all(fds[:1])
    host.forget(plan["id"])


def test_no_signal_is_lost_while_it_changes_its_shape(host):
    for _ in range(10):
        plan = host.plan("cat")
        _, fds = host.boot(plan)
        host.ask("signal", id=plan["id"], signal=15)
        assert host.ended(plan["id"])["status"] == 143
        close_all(fds)
        host.forget(plan["id"])
