"""The dyno host ends, by SIGKILL and by SIGTERM, and starts again: what lives on, what does not, what is known afterwards."""

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest
from jailed import PATIENCE, TestHost, children, close_all, kill, read_all, read_until, record, wait_gone

pytestmark = pytest.mark.linux


@pytest.fixture
def host():
    one = TestHost()
    yield one
    one.close()


def waiting(host, status, **change):
    """A dyno that lives until its standard input ends."""
    plan = host.plan("sh", "-c", f"echo ready; cat > /dev/null; exit {status}", **change)
    _, fds = host.boot(plan)
    read_until(fds[1], "ready")
    return plan["id"], fds


def embryos(host):
    """The processes that wait for a plan, once the pool is full."""
    while (said := host.ask("stat")[0])["ready"] < said["warm"]:
        pass
    found = []
    for group in host.cgroup("pids", "").glob("embryo-*"):
        with contextlib.suppress(OSError):  # one of an embryo that has died, and goes
            found += map(int, (group / "cgroup.procs").read_text().split())
    return found


def all_below(pid):
    return {each.pid for each in psutil.Process(pid).children(recursive=True)}


def watched(pids):
    """Descriptors of those that have not ended yet."""
    found = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            found.append(os.pidfd_open(pid))
    return found


def test_a_killed_host_leaves_its_dynos_and_the_next_knows_how_they_ended(host):
    host.start(end_dynos=False)
    dynos = [waiting(host, status) for status in (3, 4, 5)]
    pids = [record(host, id)["pid"] for id, _ in dynos]
    host.kill()
    assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    pidfd = os.pidfd_open(pids[0])
    os.close(dynos[0][1][0])  # the first ends while there is no host
    wait_gone(pidfd)
    host.start()
    rows = host.rows()
    assert [rows[id]["status"] for id, _ in dynos] == [3, None, None]
    assert [rows[id]["pid"] for id, _ in dynos] == pids
    assert rows[dynos[0][0]]["labels"] == {"app": "app-1", "name": "web.1"}
    os.close(dynos[1][1][0])  # the second while there is one again
    assert host.ended(dynos[1][0])["status"] == 4
    assert host.ended(dynos[1][0])["peak"] > 0
    assert host.ask("signal", id=dynos[2][0], signal=15)[0]["op"] == "done"
    assert host.ended(dynos[2][0])["status"] == 143
    for id, fds in dynos:
        host.forget(id)
        close_all(fds[1:])
        assert not host.cgroup("memory", id).exists()
    os.close(dynos[2][1][0])
    assert host.rows() == {}


def test_a_dyno_killed_while_there_was_no_host_counts_as_killed(host):
    host.start(end_dynos=False)
    id, fds = waiting(host, 0)
    pid = record(host, id)["pid"]
    host.kill()
    pidfd = os.pidfd_open(pid)
    kill(pid)
    wait_gone(pidfd)
    host.start()
    assert host.ended(id)["status"] == 137
    close_all(fds)


def test_a_status_survives_two_deaths_of_the_host(host):
    host.start(end_dynos=False)
    id, fds = waiting(host, 6)
    os.close(fds[0])
    assert host.ended(id)["status"] == 6
    host.kill()
    host.start(end_dynos=False)
    said = host.ended(id)
    host.kill()
    host.start()
    assert host.ended(id) == said
    assert said["status"] == 6
    os.close(fds[1])


def test_embryos_and_helpers_die_with_the_host_and_their_groups_go_at_the_next_start(host):
    host.start(end_dynos=False)
    host.sh("true")
    waiting = embryos(host)
    pidfds = watched(all_below(host.process.pid))
    assert len(waiting) == 2
    assert set(waiting) < all_below(host.process.pid)
    groups = list(host.cgroup("pids", "").glob("embryo-*"))
    host.kill()
    for pidfd in pidfds:
        wait_gone(pidfd)
    host.start()
    assert host.sh("echo well")[1] == "well\n"
    host.terminate()  # once all is swept
    assert [group for group in groups if group.exists()] == []


def test_what_lives_in_our_cgroup_without_a_record_is_ended(host):
    host.start(end_dynos=False)
    host.kill()
    stray = subprocess.Popen(["sleep", "1000"])
    group = host.cgroup("pids", "stray")
    group.mkdir()
    (group / "cgroup.procs").write_text(str(stray.pid))
    host.start()
    assert stray.wait(PATIENCE) == -signal.SIGKILL


def test_a_log_pipe_is_found_again_by_the_next_host(host):
    host.start(end_dynos=False)
    plan = host.plan(
        "sh",
        "-c",
        "echo before; trap 'echo after; exit 0' TERM; while :; do sleep 1000 & wait; done",
        stdio="log",
    )
    host.boot(plan)
    host.kill()  # and nobody else had the read end
    host.start()
    said, (pipe,) = host.ask("pipes", host.connect())
    assert (said["op"], said["id"]) == ("pipe", plan["id"])
    assert "before" in read_until(pipe, "before")
    host.ask("signal", id=plan["id"], signal=15)
    assert read_all(pipe) == "after\n"
    assert host.ended(plan["id"])["status"] == 0


def test_a_reader_gone_does_not_break_a_writer(host):
    host.start()
    plan = host.plan("sh", "-c", "for i in 1 2 3; do echo $i || exit 9; done; exit 0", stdio="log")
    host.boot(plan)
    assert host.ended(plan["id"])["status"] == 0


def test_sigterm_leaves_dynos_running_and_nothing_else(host):
    host.start(end_dynos=False)
    id, fds = waiting(host, 2)
    pid = record(host, id)["pid"]
    embryos(host)
    others = watched(all_below(host.process.pid) - all_below(pid) - {pid})
    assert len(others) > 3, "more than nursery, sweeper and keeper"
    host.terminate()
    assert os.path.exists(f"/proc/{pid}")
    for pidfd in others:
        wait_gone(pidfd)
    assert sorted(path.name for path in host.run.iterdir()) == ["host", "host.lock"]
    assert [path for path in host.cgroup("pids", "").iterdir() if path.is_dir()] == [host.cgroup("pids", id)]
    host.start()
    os.close(fds[0])
    assert host.ended(id)["status"] == 2
    os.close(fds[1])


def test_sigterm_with_end_dynos_leaves_nothing(host):
    host.start()
    _, fds = waiting(host, 0)
    stubborn = host.plan("sh", "-c", "trap '' TERM HUP; echo ready; while :; do sleep 1000; done")
    _, more = host.boot(stubborn)
    read_until(more[1], "ready")
    pid = record(host, stubborn["id"])["pid"]
    host.terminate()
    assert not os.path.exists(f"/proc/{pid}")
    assert list(host.run.iterdir()) == []
    assert list((host.state / "dynos").iterdir()) == []
    assert not host.cgroup("pids", "").exists()
    assert read_all(fds[1]) == ""
    close_all([fds[0], *more])


def test_a_second_host_on_the_same_directory_is_refused(host):
    host.start()
    argv = [sys.executable, "-P", "-m", "dynod.jail", "--run", str(host.run), "--state", str(host.state)]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert second.returncode == 1
    assert second.stderr == f"dynod host: cannot start: another dyno host serves {host.run}\n"
    assert host.sh("echo still")[1] == "still\n"


def test_a_dead_sweeper_is_replaced_and_its_jobs_done(host):
    host.start()
    id, fds = waiting(host, 0)
    helpers = children(host.process.pid)
    assert len(helpers) == 3
    for helper in helpers:
        kill(helper)  # nursery, sweeper and keeper alike
    os.close(fds[0])
    host.ended(id)
    host.forget(id)
    assert not host.cgroup("memory", id).exists()
    assert host.sh("cat hello", uid=host.plan("x")["uid"])[1] == "from the slug\n"
    os.close(fds[1])


def test_killed_embryos_are_replaced(host):
    host.start()
    killed = embryos(host)
    assert len(killed) == 2
    pidfds = watched(killed)
    for pid in killed:
        kill(pid)
    for pidfd in pidfds:
        wait_gone(pidfd)
    assert host.sh("echo well")[1] == "well\n"
    assert set(embryos(host)).isdisjoint(killed)


def test_many_boots_at_once_are_all_served(host):
    from dynod.jail import packets

    host.start()
    plans = [host.plan("echo", "hi") for _ in range(12)]
    for plan in plans:
        packets.send(host.client, {"op": "boot", "seq": 1, "plan": plan})
    for _ in plans:
        said, fds = packets.receive(host.client)
        assert said["op"] == "booted"
        assert read_until(fds[1], "hi\n") == "hi\n"
        close_all(fds)
    for plan in plans:
        assert host.ended(plan["id"])["status"] == 0
