"""`dyno why` and `dyno autopsy`."""

import json
from dataclasses import asdict

import pytest

from dynod.model.tally import Tally

UNCOUNTED = asdict(Tally())
AT = "2026-11-20T18:00:00Z"


def cause(event, reason):
    return {"created_at": AT, "dyno": {"id": "d1", "name": "web.2"}, "event": event, "reason": reason}


def death(**more):
    row = {
        "cause": "exited with status 1",
        "cgroup": UNCOUNTED,
        "command": "./serve",
        "created_at": "2026-11-20T17:59:00Z",
        "died_at": AT,
        "dyno": {"id": "d1", "name": "web.2"},
        "exit_status": 1,
        "files": [
            {"path": "/app/x", "kind": "file", "size": 2048},
            {"path": "/app/y", "kind": "deleted", "size": 0},
        ],
        "files_truncated": False,
        "lines": ["app[web.2]: last words"],
        "memory_peak": 20 * 1024 * 1024,
        "release": {"version": 3},
        "size": "Basic",
        "state": "crashed",
    }
    return row | more


def test_why_is_a_line_for_each_start_and_stop(control, type_in):
    rows = [cause("started", "release v3: Deploy 1 by me@x"), cause("crashed", "exited with status 1")]
    control.answers["dynos.why"] = rows
    status, out, err = type_in("why web.2 -a demo")
    assert (status, err) == (0, "")
    assert out == (
        f"{AT} web.2 started: release v3: Deploy 1 by me@x\n{AT} web.2 crashed: exited with status 1\n"
    )
    assert control.asked("dynos.why") == {"app": "demo", "dyno": "web.2"}
    assert type_in("why web.2 -n 1 -a demo")[1].count("\n") == 1
    assert json.loads(type_in("why web.2 --json -a demo")[1]) == rows


def test_nothing_known_is_refused(control, type_in):
    control.answers |= {"dynos.why": [], "dynos.autopsy": []}
    status, _, err = type_in("why web.9 -a demo")
    assert status == 1
    assert "cannot find anything about web.9 of demo; see `dyno ps`" in err
    status, _, err = type_in("autopsy web.9 -a demo")
    assert status == 1
    assert "cannot show end 1 of web.9 of demo: none is kept" in err


@pytest.mark.parametrize("verb", ["why", "autopsy"])
@pytest.mark.parametrize("number", ["x", "0", "-1"])
def test_a_number_that_is_none_is_wrong_usage(control, type_in, verb, number):
    assert type_in([verb, "web.1", f"--num={number}", "-a", "demo"])[0] == 2


def test_an_autopsy_is_shown_whole(control, type_in):
    control.answers["dynos.autopsy"] = [death(), death(cause="R15: much", files_truncated=True)]
    out = type_in("autopsy web.2 -a demo")[1]
    assert out.startswith("=== web.2: crashed 2026/11/20 18:00:00 +0000")
    for line in (
        "Cause:       exited with status 1",
        "Lived:       0:01:00",
        "Memory peak: 20 MB",
        "Release:     v3",
        "=== Last log lines (1)",
        "app[web.2]: last words",
        "=== Files it had changed (2)",
        "/app/x  2 KB",
        "/app/y  deleted",
    ):
        assert line in out.splitlines()
    out = type_in("autopsy web.2 -n 2 -a demo")[1]
    assert "R15: much" in out
    assert "(the first 2)" in out
    assert "2 are kept" in type_in("autopsy web.2 -n 3 -a demo")[2]
    assert len(json.loads(type_in("autopsy web.2 --json -a demo")[1])) == 2


def shown(control, type_in, **counted):
    control.answers["dynos.autopsy"] = [death(memory_peak=None, cgroup=UNCOUNTED | counted)]
    pairs = type_in("autopsy web.2 -a demo")[1].partition("=== Last")[0].splitlines()[2:-1]
    return dict(pair.split(":", 1) for pair in pairs)


def test_what_the_cgroup_had_counted_is_told_in_words(control, type_in):
    rows = shown(
        control,
        type_in,
        cpu_user=1.25,
        cpu_system=0.5,
        cpu_throttled=0.04,
        tasks_peak=12,
        tasks_refused=3,
        memory_full=5,
        memory_kills=1,
        waited_cpu=2.0,
        waited_memory=0.5,
        waited_io=0.0,
    )
    words = {name: text.strip() for name, text in rows.items()}
    assert words["CPU time"] == "1.25 s user, 0.50 s system, 0.04 s throttled"
    assert words["Processes"] == "12 at most, threads included, refused 3 times for its limit"
    assert words["Memory limit"] == "reached 5 times, 1 process killed"
    assert words["Waited"] == "2.00 s for a processor, 0.50 s for memory, 0.00 s for a disk"


def test_of_what_nobody_counted_nothing_is_said(control, type_in):
    unknown = {"CPU time", "Memory limit", "Memory peak", "Processes", "Waited"}
    assert not unknown & shown(control, type_in).keys()
    rows = shown(control, type_in, cpu_user=1.0, tasks_peak=2, tasks_refused=0, memory_full=0, memory_kills=0)
    assert unknown & rows.keys() == {"CPU time", "Memory limit", "Processes"}
    assert rows["CPU time"].strip() == "1.00 s user"
    assert rows["Memory limit"].strip() == "never reached"
    assert rows["Processes"].strip() == "2 at most, threads included"
    rows = shown(control, type_in, memory_full=1, memory_kills=2)
    assert rows["Memory limit"].strip() == "reached once, 2 processes killed"
