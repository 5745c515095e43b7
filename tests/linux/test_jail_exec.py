"""Commands that join a dyno that runs: what they are in there, and how they end. test_jail_exec_hostile.py has what a hostile dyno gets of them."""

import os
import signal
from pathlib import Path

import pytest
from jailed import UID_FIRST, TestHost, close_all, read_all, read_until, record, wait_gone
from joining import ENV

from dynod.jail.sessions import MOST

pytestmark = pytest.mark.linux


def test_it_is_in_every_namespace_of_the_dyno(joined):
    kinds = "mnt pid net ipc uts cgroup"
    id, fds = joined.dyno("sh", "-c", f"cd /proc/self/ns; readlink {kinds}; cat")
    theirs = read_until(fds[1], "cgroup:[")
    said, status = joined.sh(id, f"cd /proc/self/ns; readlink {kinds}; exit 7")
    assert said.split() == theirs.split()
    assert status == 7
    assert joined.sh(id, "uname -n; cat /app/hello; echo $WORD; pwd")[0].split() == [
        f"host-of-{id}", "from", "the", "slug", "given", "/app",
    ]  # fmt: skip
    joined.end(id, fds)


def test_it_has_the_dynos_uid_and_no_privilege(joined, idle):
    uid = record(joined.host, idle)["uid"]
    said, _ = joined.sh(
        idle, "cat /proc/self/status /proc/self/oom_score_adj; nice; umask; ulimit -n; ulimit -c"
    )
    facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    assert facts["Uid"].split() == facts["Gid"].split() == [str(uid)] * 4
    assert facts["Groups"].split() == []
    assert {facts[f"Cap{name}"].strip() for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert facts["NoNewPrivs"].strip() == "1"
    assert facts["Seccomp"] == joined.sh(idle, "grep ^Seccomp: /proc/1/status")[0].strip().partition(":")[2]
    assert said.split()[-5:-1] == ["200", "0", "0022", "1000"]
    assert uid >= UID_FIRST


def test_it_has_three_descriptors_and_a_session_of_its_own(joined, idle):
    said, _ = joined.sh(idle, "ls /proc/self/fd | wc -l; ps -o sid= -p $$; echo $$")
    count, sid, own = said.split()
    assert (int(count), sid) == (4, own)  # the fourth is ls's own


def test_it_is_under_the_dynos_limits(joined):
    limits = {"memory": 64 * 1024**2, "tasks": 12, "cpu": 1, "files": 777}
    id, fds = joined.dyno(limits=limits)
    said, (stdin, stdout) = joined.exec(id, "sh", "-c", "ulimit -n; cat")
    assert read_until(stdout, "\n") == "777\n"
    for tree in ("memory", "pids", "cpu"):
        assert str(said["pid"]) in (joined.host.cgroup(tree, id) / "cgroup.procs").read_text().split()
    close_all([stdin, stdout])
    joined.status(said["session"])
    said, _ = joined.sh(id, "for n in $(seq 20); do sleep 100 >/dev/null 2>&1 & done; echo done")
    assert "fork" in said
    joined.end(id, fds)


def test_a_terminal_is_its_controlling_one_from_the_dynos_devpts(joined, idle):
    said, (master,) = joined.exec(
        idle, "sh", "-c", "stty size; tty; trap 'echo caught; exit 9' INT; echo ready > /dev/tty; cat",
        stdio="pty", columns=101, lines=33,
    )  # fmt: skip
    shown = read_until(master, "ready")
    assert shown.startswith("33 101\r\n/dev/pts/")
    os.write(master, b"typed\n")
    read_until(master, "typed\r\ntyped\r\n")
    os.write(master, b"\x03")
    assert "caught" in read_all(master)
    assert joined.status(said["session"]) == 9


def test_input_goes_in_and_ends(joined, idle):
    said, (stdin, stdout) = joined.exec(idle, "wc", "-c")
    os.write(stdin, b"x" * 5000)
    os.close(stdin)
    assert read_all(stdout) == "5000\n"
    assert joined.status(said["session"]) == 0


@pytest.mark.parametrize(
    ("argv", "more", "status", "text"),
    [
        (("nope",), {}, 127, "cannot run nope: not found"),
        (("/app/plain",), {}, 126, "cannot run /app/plain: permission denied"),
        (("true",), {"cwd": "/nowhere"}, 126, "cannot enter /nowhere"),
    ],
)
def test_what_cannot_be_run_says_so_as_a_shell_does(joined, idle, argv, more, status, text):
    said, (stdin, stdout) = joined.exec(idle, *argv, **more)
    os.close(stdin)
    assert text in read_all(stdout)
    assert joined.status(said["session"]) == status


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"argv": []}, "argv is empty"),
        ({"argv": [7]}, "are texts"),
        ({"env": {"A=B": "c"}}, "cannot be set"),
        ({"env": {"A": "c\0"}}, "zero bytes"),
        ({"cwd": "../etc"}, "not absolute and plain"),
        ({"stdio": "log"}, "a terminal or pipes"),
        ({"stdio": "fax"}, "cannot read"),
        ({"columns": 0}, "a terminal of 0"),
        ({"session": "../x"}, "an id is"),
        ({"env": None}, "cannot read"),
        ({"id": "nobody"}, "it is not running"),
    ],
)
def test_what_makes_no_sense_is_refused(joined, idle, change, why):
    asked = {"id": idle, "argv": ["true"], **change}
    said, fds = joined.ask(asked.pop("id"), *asked.pop("argv"), **asked)
    assert (said["op"], fds) == ("failed", [])
    assert why in said["error"]


def test_signals_reach_the_command_and_its_group_and_no_one_else(joined, idle):
    said, (stdin, stdout) = joined.exec(idle, "sh", "-c", "sleep 1000 & echo up; wait")
    read_until(stdout, "up")
    assert joined.host.ask("exec-signal", session=said["session"], signal=15)[0]["op"] == "done"
    assert joined.status(said["session"]) == 128 + signal.SIGTERM
    assert read_all(stdout) == ""  # the sleep held it too
    os.close(stdin)
    assert joined.host.rows()[idle]["status"] is None
    assert "no such session" in joined.host.ask("exec-signal", session=said["session"], signal=15)[0]["error"]


def test_hanging_up_is_sighup_and_then_sigkill(joined, idle):
    for script, status in (("echo up; cat", 129), ("trap '' HUP; echo up; cat; exec cat", 137)):
        said, (stdin, stdout) = joined.exec(idle, "sh", "-c", script)
        read_until(stdout, "up")
        joined.host.ask("exec-close", session=said["session"])
        assert joined.status(said["session"]) == status
        close_all([stdin, stdout])


def test_it_ends_with_the_dyno(joined):
    id, fds = joined.dyno()
    said, mine = joined.exec(id, "sleep", "1000")
    pidfd = os.pidfd_open(said["pid"])
    joined.end(id, fds)
    assert joined.status(said["session"]) == 137
    wait_gone(pidfd)
    close_all(mine)


def test_the_dyno_goes_on_when_it_ends(joined, idle):
    for _ in range(3):
        assert joined.sh(idle, "exit 3") == ("", 3)
    assert joined.host.rows()[idle]["status"] is None


def test_it_ends_with_the_client_that_asked(joined, idle):
    client = joined.host.connect()
    more = {"session": "lost", "argv": ["sleep", "1000"], "env": ENV, "cwd": "/app", "stdio": "pipe"}
    said, fds = joined.host.ask("exec", client, id=idle, **more)
    joined.host.sockets.remove(client)
    client.close()
    assert joined.status(said["session"]) == 129
    close_all(fds)


def test_a_joiner_that_is_killed_takes_its_command_along(joined, idle):
    """The nursery reaps what it leaves, or the dyno could never end."""
    id, fds = joined.dyno()
    said, mine = joined.exec(id, "sleep", "1000")
    parent = int(Path(f"/proc/{said['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    assert joined.status(said["session"]) == 137
    joined.end(id, fds)
    close_all(mine)


def test_there_are_so_many_sessions_and_no_more(joined):
    id, fds = joined.dyno(limits={"memory": 256 * 1024**2, "tasks": 256, "cpu": 1, "files": 1000})
    held = [joined.exec(id, "sleep", "1000")[1] for _ in range(MOST)]
    said, _ = joined.ask(id, "true")
    assert f"it has {MOST} sessions already" in said["error"]
    joined.end(id, fds)
    close_all(fd for each in held for fd in each)


def test_sessions_end_with_the_host(joined):
    host = TestHost().start(end_dynos=False)
    id = host.plan("sleep", "1000", id="left")
    host.boot(id)
    more = {"session": "s", "argv": ["sleep", "1000"], "env": ENV, "cwd": "/app", "stdio": "pipe"}
    said, fds = host.ask("exec", id="left", **more)
    pidfd = os.pidfd_open(said["pid"])
    host.kill()
    wait_gone(pidfd)
    host.start()
    assert host.rows()["left"]["status"] is None
    again, more_fds = host.ask("exec", id="left", **more)
    assert again["op"] == "executed"
    host.close()
    close_all([*fds, *more_fds])
