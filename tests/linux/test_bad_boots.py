"""Boots for which the machine has nothing left: no process, no memory for the cgroup. Refused with the kernel's word for it, and later not.

The limits are real and stand in the cgroups above the dynos, and above the host itself.
"""

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

import pytest
from jailed import PATIENCE, UID_COUNT, TestHost, children, close_all

pytestmark = pytest.mark.linux


@pytest.fixture
def host():
    one = TestHost().start()
    yield one
    one.close()


def above(host, tree):
    """The cgroup that holds all dynos of a host."""
    return (
        host.cgroup(tree, "").resolve() if host.cgroup(tree, "").exists() else host.cgroup(".", "").resolve()
    )


def until_boots(host):
    """Ask again and again, as the engine does, until it works; the pool tries each second by itself."""
    deadline = time.monotonic() + PATIENCE
    for number in itertools.count():
        said, fds = host.ask("boot", plan=(plan := host.plan("true", id=f"again-{number}")))
        close_all(fds)
        if said["op"] == "booted":
            assert host.ended(plan["id"])["status"] == 0
            host.forget(plan["id"])
            return
        assert time.monotonic() < deadline, said


def nothing_is_there(host):
    assert host.rows() == {}
    assert list((host.run / "host").iterdir()) == []
    assert list((host.state / "dynos").glob("*")) == []


def test_no_further_process_below_the_dynos_cgroup(host):
    most = above(host, "pids") / "pids.max"
    most.write_text("1")
    for number in range(3):
        error = host.refused(host.plan("true", id=f"d-{number}"))
        assert error.startswith(f"cannot start d-{number}: ")
        assert "Resource temporarily unavailable" in error
    most.write_text("max")
    until_boots(host)
    nothing_is_there(host)


def test_a_command_that_joins_is_refused_likewise_and_the_dyno_lives_on(host):
    plan = host.plan("sleep", "1000")
    _, fds = host.boot(plan)
    most = host.cgroup("pids", plan["id"]) / "pids.max"
    most.write_text("1")
    asked = {"session": "s1", "argv": ["true"], "env": {}, "cwd": "/app", "stdio": "pipe"}
    said, none = host.ask("exec", id=plan["id"], **asked)
    assert (said["op"], none) == ("failed", [])
    assert "cannot fork to run true: Resource temporarily unavailable" in said["error"]
    most.write_text("64")
    said, more = host.ask("exec", id=plan["id"], **{**asked, "session": "s2"})
    assert said["op"] == "executed"
    close_all([*fds, *more])
    host.ask("signal", id=plan["id"], signal=9)
    assert host.ended(plan["id"])["status"] == 137
    host.forget(plan["id"])


def test_no_memory_for_the_cgroup_of_a_dyno(host):
    """What is above has less than a dyno's first pages take: the kernel kills what was to become it, and nobody waits for ever."""
    top = above(host, "memory")
    limit = top / ("memory.limit_in_bytes" if (top / "memory.limit_in_bytes").exists() else "memory.max")
    for number in range(5):
        # Refused; the pool stands as it is.
        host.ask("boot", plan=host.plan("true", id=f"empty-{number}", uid=0))
    lowest = limit_to_what_is_there(limit)
    assert lowest < 1 << 24
    there, error = [], ""
    while not error:  # dynos of embryos that were ready or could still be made hold their part
        said, fds = host.ask("boot", plan=(plan := host.plan("sleep", "1000")))
        close_all(fds)
        if said["op"] == "booted":
            there.append(plan["id"])
            assert len(there) < UID_COUNT
        else:
            error = said["error"]
    assert error.startswith(f"cannot start {plan['id']}: ")
    for id in there:
        host.ask("signal", id=id, signal=9)
        host.ended(id)
        host.forget(id)
    limit.write_text("-1" if limit.name == "memory.limit_in_bytes" else "max")
    until_boots(host)
    nothing_is_there(host)


def limit_to_what_is_there(limit):
    """Put the lowest limit in force that the kernel takes; return it."""
    for size in range(1 << 16, 1 << 28, 1 << 16):
        with contextlib.suppress(OSError):
            limit.write_text(str(size))
            return size
    raise AssertionError("no limit was taken")


@contextlib.contextmanager
def in_a_small_world(pids):
    """A cgroup without room for one more process, which these go into."""
    root = (
        Path("/sys/fs/cgroup/pids") if Path("/sys/fs/cgroup/pids/tasks").exists() else Path("/sys/fs/cgroup")
    )
    before = {pid: Path(f"/proc/{pid}/cgroup").read_text() for pid in pids}
    group = root / f"dynod-test-{os.getpid()}"
    group.mkdir()
    try:
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        (group / "pids.max").write_text("1")
        yield
    finally:
        (group / "pids.max").write_text("max")
        deadline = time.monotonic() + PATIENCE
        while group.exists():  # what is forked there meanwhile has to leave too
            assert time.monotonic() < deadline, f"{group} is still in use"
            leave(root, group, next(iter(before.values())))
            with contextlib.suppress(OSError):
                group.rmdir()


def leave(root, group, home):
    """Send all there is in a group to where its processes were."""
    lines = [line for line in home.splitlines() if ":pids:" in line or line.startswith("0::")]
    place = root / lines[0].split(":", 2)[2].lstrip("/")
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (place / "cgroup.procs").write_text(pid)


def test_the_nursery_cannot_fork(host):
    """Embryos, holders and joiners come from it; who waits for one hears why, and the host serves on."""
    assert host.sh("true") == (0, "")  # a nursery that has borne somebody goes by its name
    (nursery,) = [pid for pid in children(host.process.pid) if "nursery" in _command(pid)]
    with in_a_small_world([nursery]):
        errors = [empty_pool(host, number) for number in range(3)]
        assert "cannot fork an embryo: Resource temporarily unavailable" in errors[-1]
        assert host.ask("stat")[0]["live"] == 0
    until_boots(host)
    assert [pid for pid in children(host.process.pid) if "nursery" in _command(pid)] == [nursery]
    nothing_is_there(host)


def empty_pool(host, number):
    """Boot until it is refused; give the error."""
    for each in range(10):
        said, fds = host.ask("boot", plan=(plan := host.plan("true", id=f"d-{number}-{each}")))
        close_all(fds)
        if said["op"] != "booted":
            return said["error"]
        host.ended(plan["id"])
        host.forget(plan["id"])
    raise AssertionError("the pool never ran empty")


def test_neither_the_host_nor_its_nursery_can_fork_and_the_nursery_dies(host):
    plan = host.plan("sleep", "1000")
    _, fds = host.boot(plan)
    (nursery,) = [pid for pid in children(host.process.pid) if "nursery" in _command(pid)]
    with in_a_small_world([nursery, host.process.pid]):
        os.kill(nursery, signal.SIGKILL)
        for number in range(4):  # embryos that were ready die one after the other, each in its own moment
            said, given = host.ask("boot", plan=host.plan("true", id=f"embryo-{number}"))
            close_all(given)
            if said["op"] == "booted":
                host.ended(f"embryo-{number}")
                host.forget(f"embryo-{number}")
        assert host.refused(host.plan("true", id="orphan")) == (
            "cannot start orphan: cannot fork an embryo: there is no process to fork it"
        )
        assert host.rows()[plan["id"]]["status"] is None
    until_boots(host)
    close_all(fds)
    host.ask("signal", id=plan["id"], signal=9)
    assert host.ended(plan["id"])["status"] == 137
    host.forget(plan["id"])


def test_the_host_cannot_fork_and_the_keeper_of_slots_dies():
    """The host serves on: what needs a slot is refused with the reason, what needs none starts, and a slot that came back is cleared later."""
    with TestHost() as host:
        host.start("--warm", "0")
        slot = {**host.plan("x")["limits"], "disk": 64 * 1024**2, "inodes": 2000, "ceiling": "image"}
        first, second = host.plan("sleep", "1000", limits=slot), host.plan("true", limits=slot)
        _, fds = host.boot(first)
        (keeper,) = [pid for pid in children(host.process.pid) if "keeper" in _command(pid)]
        forgetting = host.connect()
        with in_a_small_world([host.process.pid]):
            os.kill(keeper, signal.SIGKILL)
            host.says(
                "cannot fork a keeper of slots: Resource temporarily unavailable; trying again in a second"
            )
            for _ in range(2):
                assert host.refused(second) == (
                    f"cannot start {second['id']}: cannot make a file system for what it writes: "
                    "cannot fork a keeper of slots: Resource temporarily unavailable; "
                    "see dynod doctor; disk_ceiling in dynod.toml says what else there is"
                )
            assert host.sh("echo here") == (0, "here\n")
            assert host.rows()[first["id"]]["status"] is None
            host.ask("signal", id=first["id"], signal=9)
            assert host.ended(first["id"])["status"] == 137
            host.send(forgetting, "forget", id=first["id"])
        assert host.receive(forgetting)["op"] == "done"
        close_all(fds)
        assert host.sh("echo here", limits=slot) == (0, "here\n")


def _command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
