"""`dyno why` and `dyno autopsy`."""

import json

import pytest

AT = "2026-11-20T18:00:00Z"


def cause(event, reason):
    return {"created_at": AT, "dyno": {"id": "d1", "name": "web.2"}, "event": event, "reason": reason}


def death(**more):
    row = {
        "cause": "exited with status 1",
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
