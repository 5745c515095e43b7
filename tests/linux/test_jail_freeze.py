"""A dyno that stands still with all its processes, and runs on as if nothing had been."""

import os
import select
import signal
from pathlib import Path

import pytest
from jailed import TestHost, close_all, read_all, read_until

pytestmark = pytest.mark.linux

ECHO = "trap 'echo said 15; exit 3' TERM; (while :; do sleep 1000; done) & echo ready; while read line; do echo got $line; done"


@pytest.fixture(scope="module")
def host():
    one = TestHost().start()
    yield one
    one.close()


@pytest.fixture
def sleeper(host):
    """A frozen dyno of several processes: its id, stdin and stdout."""
    plan = host.plan("sh", "-c", ECHO)
    _, (stdin, stdout) = host.boot(plan)
    read_until(stdout, "ready")
    assert host.ask("freeze", id=plan["id"])[0] == {"op": "done", "seq": 1}
    assert frozen(host, plan["id"])
    return plan["id"], stdin, stdout


def frozen(host, id):
    return host.rows()[id]["frozen"]


def ended(host, id, stdin, stdout):
    said = read_all(stdout)
    os.close(stdin)  # not before: the shell would end with its input
    status = host.ended(id)["status"]
    host.forget(id)
    assert id not in host.rows()
    return status, said


def test_frozen_it_does_nothing_and_thawed_it_goes_on(host, sleeper):
    id, stdin, stdout = sleeper
    os.write(stdin, b"one\n")
    assert select.select([stdout], [], [], 0.05)[0] == []
    assert host.ask("thaw", id=id)[0] == {"op": "done", "seq": 1}
    assert "got one" in read_until(stdout, "got one")
    assert not frozen(host, id)
    host.ask("signal", id=id, signal=9)
    ended(host, id, stdin, stdout)


def test_it_can_sleep_again(host, sleeper):
    id, stdin, stdout = sleeper
    for word in (b"two", b"three"):
        host.ask("thaw", id=id)
        os.write(stdin, word + b"\n")
        read_until(stdout, word.decode())
        host.ask("freeze", id=id)
        assert frozen(host, id)
    assert host.ask("signal", id=id, signal=15)[0]["op"] == "done"
    assert ended(host, id, stdin, stdout) == (3, "said 15\n")


def test_every_process_of_it_is_frozen(host, sleeper):
    id, stdin, stdout = sleeper
    groups = {path.split("/")[4]: Path(path) for path in host.rows()[id]["cgroups"]}
    if "freezer" in groups:
        inside = set((groups["freezer"] / "cgroup.procs").read_text().split())
        assert inside == set((groups["pids"] / "cgroup.procs").read_text().split())
        assert len(inside) >= 3
    host.ask("signal", id=id, signal=9)
    ended(host, id, stdin, stdout)


@pytest.mark.parametrize(("number", "status"), [(15, 3), (9, 137)])
def test_a_signal_reaches_a_frozen_dyno(host, sleeper, number, status):
    id, stdin, stdout = sleeper
    assert host.ask("signal", id=id, signal=number)[0]["op"] == "done"
    assert ended(host, id, stdin, stdout)[0] == status


def test_who_is_thawed_while_it_is_being_frozen_is_awake_in_the_end(host):
    plan = host.plan("sh", "-c", ECHO)
    _, (stdin, stdout) = host.boot(plan)
    read_until(stdout, "ready")
    freezer = host.connect()
    for _ in range(5):
        for op in ("freeze", "thaw"):  # on one connection, so that they are heard in this order
            host.send(freezer, op, id=plan["id"])
        assert [host.receive(freezer)["op"] for _ in range(2)] == ["done", "done"]
        assert not frozen(host, plan["id"])
    host.ask("signal", id=plan["id"], signal=15)
    assert ended(host, plan["id"], stdin, stdout)[0] == 3


def test_what_does_not_run_cannot_be_frozen(host):
    assert host.ask("freeze", id="nobody")[0]["error"] == "cannot freeze nobody: it is not running"
    assert host.ask("thaw", id="nobody")[0]["error"] == "cannot thaw nobody: there is no such dyno"
    plan = host.plan("true")
    _, fds = host.boot(plan)
    host.ended(plan["id"])
    assert "it is not running" in host.ask("freeze", id=plan["id"])[0]["error"]
    assert "it has ended" in host.ask("thaw", id=plan["id"])[0]["error"]
    close_all(fds)
    host.forget(plan["id"])


def test_a_frozen_dyno_outlives_its_host_and_is_ended_by_the_next():
    with TestHost() as one:
        one.start(end_dynos=False)
        plans = [one.plan("sh", "-c", ECHO) for _ in range(2)]
        opened = []
        for plan in plans:
            _, fds = one.boot(plan)
            opened += fds
            read_until(fds[1], "ready")
            one.ask("freeze", id=plan["id"])
        one.kill()
        one.start()  # ends both when it ends
        assert [frozen(one, plan["id"]) for plan in plans] == [True, True]
        one.ask("thaw", id=plans[0]["id"])
        os.write(opened[0], b"again\n")
        read_until(opened[1], "got again")
        one.ask("signal", id=plans[0]["id"], signal=signal.SIGTERM)
        assert one.ended(plans[0]["id"])["status"] == 3
        close_all(opened)
