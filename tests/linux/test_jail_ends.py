"""Limits that hold, signals that reach everybody, statuses that are right, and terminals."""

import errno
import fcntl
import os
import signal
import struct
import termios

import pytest
from jailed import ALONE, TestHost, close_all, read_all, read_some, read_until, record

from dynod.jail import packets

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module")
def host():
    one = TestHost().start()
    yield one
    one.close()


def running(host, script, **change):
    """Boot a shell script that says `ready`; give its id and descriptors."""
    plan = host.plan("sh", "-c", script, **change)
    _, fds = host.boot(plan)
    read_until(fds[-1], "ready")
    return plan["id"], fds


# Limits

FORK_BOMB = """
import os, signal
forks = 0
while True:
    try:
        if os.fork() == 0:
            signal.pause()
    except BlockingIOError:
        print("stopped at", forks, flush=True)
        signal.pause()
    forks += 1
"""


def test_limits_are_in_force_in_the_cgroup(host):
    limits = {"memory": 100_000_000, "tasks": 33, "cpu": 2, "files": 64}
    id, fds = running(host, "echo ready; cat", limits=limits)
    assert host.limit("memory", id) == 100_000_000 // 4096 * 4096
    assert host.limit("tasks", id) == 33
    assert host.limit("cpu", id) == 2
    inside = {int(pid) for pid in (host.cgroup("memory", id) / "cgroup.procs").read_text().split()}
    assert record(host, id)["pid"] in inside
    assert len(inside) >= 2
    close_all(fds)


def test_changed_limits_are_in_force_though_the_embryo_was_given_the_usual_ones(host):
    for tasks in (40, 40, 40, 40, 41):
        id, fds = running(
            host, "echo ready; cat", limits={"memory": 1 << 27, "tasks": tasks, "cpu": 1, "files": 64}
        )
        assert host.limit("tasks", id) == tasks
        close_all(fds)


def test_a_fork_bomb_is_stopped(host):
    limits = {"memory": 1 << 28, "tasks": 20, "cpu": 1, "files": 64}
    plan = host.plan("/usr/bin/python3", "-c", FORK_BOMB, limits=limits)
    _, fds = host.boot(plan)
    id = plan["id"]
    assert "stopped at 18" in read_until(fds[1], "\n")  # init and the bomb itself are two
    assert int((host.cgroup("pids", id) / "pids.current").read_text()) <= 20
    assert host.ask("signal", id=id, signal=9)[0]["op"] == "done"
    said = host.ended(id)
    assert said["status"] == 137
    known = (host.cgroup("pids", "") / "pids.peak").exists()  # since Linux 6.1
    assert (said["tally"].get("tasks_peak"), said["tally"]["tasks_refused"] > 0) == (
        20 if known else None,
        True,
    )
    close_all(fds)


def test_who_takes_too_much_memory_is_killed_and_it_is_told(host):
    limits = {"memory": 64 * 1024**2, "tasks": 20, "cpu": 1, "files": 64}
    hog = "x = bytearray(300 * 1024**2)"
    plan = host.plan("python3", "-c", hog, limits=limits, env={"PATH": "/usr/bin"})
    plan["argv"][0] = "/usr/bin/python3"
    _, fds = host.boot(plan)
    said = host.ended(plan["id"])
    assert (said["status"], said["oom"]) == (137, True)
    assert 30 * 1024**2 < said["peak"] <= 64 * 1024**2
    tally = said["tally"]
    assert tally["memory_kills"] == 1
    assert tally["memory_full"] > 0 if ALONE else tally.get("memory_full") != 0
    assert said["tally"] == host.rows()[plan["id"]]["tally"]
    assert ("cpu_user" in tally) == (ALONE or (host.cgroup("cpu", "") / "cpuacct.stat").exists())
    close_all(fds)


def test_a_limit_that_the_kernel_does_not_take_is_a_refusal_and_changes_nothing(host):
    plan = host.plan("true", limits={"memory": 1 << 28, "tasks": 50_000_000, "cpu": 1, "files": 64})
    assert "invalid argument" in host.refused(plan).lower()
    assert plan["id"] not in host.rows()
    assert not os.path.exists(plan["scratch"])
    assert not (host.run / "host" / plan["id"]).exists()
    assert not host.cgroup("pids", plan["id"]).exists()
    assert host.sh("echo fine")[1] == "fine\n"


def test_more_open_files_than_the_host_may_give_is_a_refusal():
    """Root gives as many as it likes where it has CAP_SYS_RESOURCE, which services and containers often have not."""
    without = ("setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource")
    with TestHost().start(under=("prlimit", "--nofile=4096:4096", *without)) as host:
        plan = host.plan("true", limits={"memory": 1 << 28, "tasks": 50, "cpu": 1, "files": 5000})
        assert plan["id"] in host.refused(plan)
        assert plan["id"] not in host.rows()


# Statuses


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_main_commands_status_is_the_dynos(host, status):
    assert host.sh(f"exit {status}")[0] == status


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["no-such-program"], 127, "dynod: cannot run no-such-program: not found\n"),
        (["/app/nothing"], 127, "dynod: cannot run /app/nothing: not found\n"),
        (["./plain"], 126, "dynod: cannot run ./plain: permission denied\n"),
        (["/app"], 126, "dynod: cannot run /app: permission denied\n"),
    ],
)
def test_what_cannot_run_ends_as_in_a_shell(host, argv, status, words):
    plan = host.plan(*argv)
    _, (stdin, stdout) = host.boot(plan)
    assert read_all(stdout) == words
    assert host.ended(plan["id"])["status"] == status
    os.close(stdin)


def test_a_missing_working_directory_is_told(host):
    plan = host.plan("true", cwd="/app/gone")
    _, (stdin, stdout) = host.boot(plan)
    assert read_all(stdout) == "dynod: cannot enter /app/gone: No such file or directory\n"
    assert host.ended(plan["id"])["status"] == 126
    os.close(stdin)


@pytest.mark.parametrize(("signum", "status"), [(15, 143), (9, 137), (1, 129), (10, 138)])
def test_a_signal_ends_the_dyno_with_the_shells_status(host, signum, status):
    id, fds = running(host, "echo ready; exec cat")
    assert host.ask("signal", id=id, signal=signum)[0]["op"] == "done"
    assert host.ended(id)["status"] == status
    host.forget(id)
    close_all(fds)


def test_a_signal_reaches_every_process(host):
    child = 'trap "echo child; exit" TERM; echo ready; while :; do sleep 1000 & wait; done'
    id, fds = running(host, f"trap 'echo parent' TERM; sh -c '{child}' & wait; wait; exit 6")
    assert host.ask("signal", id=id, signal=15)[0]["op"] == "done"
    assert sorted(read_all(fds[1]).split()) == ["child", "parent"]
    assert host.ended(id)["status"] == 6
    os.close(fds[0])


def test_a_setsid_grandchild_hears_too_and_nothing_outlives_the_main_command(host):
    script = (
        "trap 'exit 5' USR2; trap : USR1; "  # before there is anybody who says `ready`
        'setsid sh -c \'trap "" USR2; trap "echo heard" USR1; echo ready; while :; do sleep 1000 & wait; done\' & '
        "while :; do wait; done"
    )
    id, fds = running(host, script)
    host.ask("signal", id=id, signal=signal.SIGUSR1)
    read_until(fds[1], "heard")
    host.ask("signal", id=id, signal=signal.SIGUSR2)
    assert host.ended(id)["status"] == 5
    assert read_all(fds[1]) == ""  # it ends: the grandchild, which held it open, is gone
    os.close(fds[0])


def test_orphans_are_reaped(host):
    script = "(sh -c 'sh -c \"exit 3\" & exit 0' &); while ps -eo stat= | grep -q Z; do :; done; echo ready; ps -eo comm= | wc -l"
    _, said = host.sh(script, binds=host.plan("x")["binds"])
    assert said.startswith("ready")


def test_what_cannot_be_signalled_is_refused_by_name(host):
    assert (
        host.ask("signal", id="nobody", signal=15)[0]["error"]
        == "cannot signal nobody: there is no such dyno"
    )
    id, fds = running(host, "echo ready; cat")
    for signum in (0, 17, 19, 64, 1000, "15", None):
        assert host.ask("signal", id=id, signal=signum)[0]["op"] == "failed"
    close_all(fds)
    assert host.ended(id)["status"] == 0
    assert "it has ended" in host.ask("signal", id=id, signal=15)[0]["error"]


# Forgetting


def test_a_status_is_held_until_it_is_forgotten_and_then_nothing_is_left(host):
    plan = host.plan("sh", "-c", "mkdir -p a/b; echo x > a/b/c; exit 9")
    _, fds = host.boot(plan)
    id = plan["id"]
    assert host.ended(id)["status"] == host.ended(id)["status"] == 9
    assert host.rows()[id]["status"] == 9
    host.forget(id)
    assert id not in host.rows()
    assert not os.path.exists(plan["scratch"])
    assert not (host.run / "host" / id).exists()
    assert not host.cgroup("memory", id).exists()
    host.forget(id)  # asked again, it is as done as before
    close_all(fds)


def test_a_running_dyno_is_not_forgotten(host):
    id, fds = running(host, "echo ready; cat")
    assert host.ask("forget", id=id)[0]["error"] == f"cannot forget {id}: it is running; signal it first"
    close_all(fds)


def test_an_id_is_taken_once_and_free_again_when_forgotten(host):
    id, fds = running(host, "echo ready; cat")
    assert "there is one of this name" in host.refused(host.plan("true", id=id))
    close_all(fds)
    host.ended(id)
    host.forget(id)
    assert host.sh("echo again", id=id)[1] == "again\n"


def test_a_uid_belongs_to_one_dyno_at_a_time(host):
    plan = host.plan("cat")
    _, fds = host.boot(plan)
    assert f"uid {plan['uid']} is {plan['id']}'s" in host.refused(host.plan("true", uid=plan["uid"]))
    close_all(fds)
    host.ended(plan["id"])
    assert host.sh("echo mine now", uid=plan["uid"])[1] == "mine now\n"


# Standard streams


def test_a_pipe_session_carries_both_ways_and_sees_the_end_of_input(host):
    plan = host.plan("sh", "-c", "cat; echo to stderr >&2; exit 4")
    _, (stdin, stdout) = host.boot(plan)
    os.write(stdin, b"there and back\n")
    assert read_until(stdout, "back\n") == "there and back\n"
    os.close(stdin)
    assert read_all(stdout) == "to stderr\n"
    assert host.ended(plan["id"])["status"] == 4


def test_an_asker_may_bring_its_own_pipes(host):
    plan = host.plan("sh", "-c", "cat; echo over > /dev/stdout; cat /dev/stdin")
    stdin, stdout = os.pipe(), os.pipe()
    packets.send(host.client, {"op": "boot", "seq": 1, "plan": plan}, [stdin[0], stdout[1]])
    close_all([stdin[0], stdout[1]])
    os.write(stdin[1], b"in\n")
    os.close(stdin[1])
    assert read_all(stdout[0]) == "in\nover\n"
    said, fds = packets.receive(host.client)
    assert (said["op"], fds) == ("booted", [])
    assert host.ended(plan["id"])["status"] == 0


@pytest.mark.parametrize(("stdio", "count"), [("pipe", 1), ("pipe", 3), ("log", 2), ("pty", 2)])
def test_descriptors_that_do_not_fit_are_refused(host, stdio, count):
    with open("/dev/null") as null:
        packets.send(
            host.client,
            {"op": "boot", "seq": 1, "plan": host.plan("true", stdio=stdio)},
            [null.fileno()] * count,
        )
    assert "a pipe dyno takes two" in packets.receive(host.client)[0]["error"]
    with open("/dev/null") as null:
        packets.send(host.client, {"op": "boot", "seq": 1, "plan": host.plan("true")}, [null.fileno()] * 2)
    assert "is no pipe" in packets.receive(host.client)[0]["error"]


def terminal(host, *argv, **change):
    plan = host.plan(*argv, stdio="pty", **change)
    _, (master,) = host.boot(plan)
    return plan["id"], master


def test_a_terminal_of_the_dynos_own(host):
    id, master = terminal(
        host,
        "sh",
        "-c",
        "tty; ls /dev/pts; stty size; test -t 0 -a -t 1 -a -t 2; echo $?; echo >/dev/tty also",
        columns=132,
        lines=43,
    )
    assert read_until(master, "also").split() == ["/dev/pts/0", "0", "ptmx", "43", "132", "0", "also"]
    assert host.ended(id)["status"] == 0
    os.close(master)


AWAIT = """
import os, signal, sys
wanted = {getattr(signal, sys.argv[1])}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready", flush=True)
signal.sigwait(wanted)
print("caught", *os.get_terminal_size())
sys.exit(3)
"""


def test_control_c_interrupts_the_foreground(host):
    id, master = terminal(host, "python3", "-c", AWAIT, "SIGINT")
    read_until(master, "ready")
    os.write(master, b"\x03")
    read_until(master, "caught")
    assert host.ended(id)["status"] == 3
    os.close(master)


def test_a_new_window_size_is_told(host):
    id, master = terminal(host, "python3", "-c", AWAIT, "SIGWINCH")
    read_until(master, "ready")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    read_until(master, "caught 100 50")
    assert host.ended(id)["status"] == 3
    os.close(master)


def test_hanging_up_a_terminal_ends_its_session(host):
    id, master = terminal(host, "sh", "-c", "echo ready; cat")
    read_until(master, "ready")
    os.close(master)
    assert host.ended(id)["status"] == 128 + signal.SIGHUP


def test_a_terminals_end_is_read_as_the_end(host):
    _, master = terminal(host, "echo", "bye")
    read_until(master, "bye")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        read_to_end(master)
    os.close(master)


def read_to_end(fd):
    while os.read(fd, 100):
        pass


def pipes_client(host):
    sock = host.connect()
    host_said, fds = host.ask("pipes", sock)
    return sock, host_said, fds


def test_log_pipes_go_to_whoever_asks_for_pipes(host):
    plan = host.plan("sh", "-c", "echo out; echo err >&2; cat; echo by name > /dev/stdout", stdio="log")
    _, fds = host.boot(plan)
    assert fds == []
    clients = [pipes_client(host), pipes_client(host)]  # a second gets a copy of its own, as after a restart
    for _, said, (pipe,) in clients:
        assert said == {"op": "pipe", "id": plan["id"], "labels": plan["labels"]}
        assert os.fstat(pipe).st_ino == os.fstat(clients[0][2][0]).st_ino
    assert read_until(clients[0][2][0], "by name") == "out\nerr\nby name\n"
    assert host.ended(plan["id"])["status"] == 0
    assert read_some(clients[1][2][0]) == b""
    later = host.plan("echo", "later", stdio="log")
    host.boot(later)
    for sock, _, fds in clients:
        said, more = packets.receive(sock)
        assert (said["op"], said["id"]) == ("pipe", later["id"])
        close_all([*fds, *more])
    host.ended(later["id"])
    for id in (plan["id"], later["id"]):
        host.forget(id)
        for sock, _, _ in clients:
            assert packets.receive(sock)[0] == {"op": "gone", "id": id}
