"""Commands that join a dyno that runs: what they are in there, how they end, and what a hostile dyno gets of them (nothing)."""

import json
import os
import select
import signal
from pathlib import Path

import pytest
from jailed import PATIENCE, UID_FIRST, TestHost, close_all, read_all, read_until, record, wait_gone

from dynod.jail import packets
from dynod.jail.sessions import MOST

pytestmark = pytest.mark.linux
ENV = {"PATH": "/usr/bin:/bin", "WORD": "given"}


class Joined:
    """A host with one idle dyno `d1`, and a watcher."""

    def __init__(self, host):
        self.host, self.made = host, 0
        self.watcher = host.connect()
        packets.send(self.watcher, {"op": "watch"})

    def dyno(self, *argv, **change):
        plan = self.host.plan(*(argv or ("sleep", "1000")), **change)
        _, fds = self.host.boot(plan)
        return plan["id"], fds

    def ask(self, id, *argv, **more):
        self.made += 1
        asked = {"argv": list(argv), "env": ENV, "cwd": "/app", "stdio": "pipe", **more}
        return self.host.ask("exec", id=id, **{"session": f"s{os.getpid()}-{self.made}", **asked})

    def exec(self, id, *argv, **more):
        said, fds = self.ask(id, *argv, **more)
        assert said["op"] == "executed", said
        return said, fds

    def sh(self, id, script, **more):
        said, (stdin, stdout) = self.exec(id, "sh", "-c", script, **more)
        os.close(stdin)
        return read_all(stdout), self.status(said["session"])

    def status(self, session):
        while True:
            said, _ = packets.receive(self.watcher)
            if said["op"] == "exec-ended" and said["session"] == session:
                return said["status"]

    def end(self, id, fds):
        self.host.ask("signal", id=id, signal=9)
        self.host.ended(id)
        self.host.forget(id)
        close_all(fds)


@pytest.fixture(scope="module")
def joined():
    host = TestHost().start()
    yield Joined(host)
    host.close()


@pytest.fixture(scope="module")
def idle(joined):
    id, fds = joined.dyno()
    yield id
    joined.end(id, fds)


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


# What a hostile dyno gets

SPY = r"""
import json, os, sys
seen = {"exe": set(), "fd": set(), "cwd": set(), "cmdline": set(), "opened": set(), "pids": 0}
own, known = {"1", "self", "thread-self", str(os.getpid())}, set()
print("spying", flush=True)
os.set_blocking(0, False)
while True:
    try:
        if os.read(0, 1) == b"":
            break
    except BlockingIOError:
        pass
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in own:
            continue
        known.add(pid)
        for _ in range(20):
            try:
                seen["cmdline"].add(open(f"/proc/{pid}/cmdline").read())
            except OSError:
                break
            for name in ("exe", "cwd"):
                try:
                    seen[name].add(os.readlink(f"/proc/{pid}/{name}"))
                except OSError:
                    pass
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    seen["fd"].add(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
            except OSError:
                pass
        open(f"/tmp/seen-{pid}", "w").close()
seen["pids"] = len(known)
print(json.dumps({key: sorted(value) if isinstance(value, set) else value for key, value in seen.items()}))
"""


def test_a_dyno_that_watches_every_join_sees_nothing_of_the_host(joined):
    id, (stdin, stdout) = joined.dyno("python3", "-c", SPY)
    read_until(stdout, "spying")
    for _ in range(40):
        joined.sh(id, "until [ -e /tmp/seen-$$ ]; do :; done")  # none may slip by unseen
    os.close(stdin)
    seen = json.loads(read_all(stdout))
    joined.end(id, [])
    assert seen["pids"] >= 40, seen  # it saw every one come and go
    assert set(seen["exe"]) <= {"/usr/bin/dash", "/usr/bin/bash"}, seen
    loader = {
        "/etc/ld.so.cache",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/lib/aarch64-linux-gnu/libc.so.6",
    }
    assert set(seen["fd"]) <= {"pipe", *loader}, seen
    assert set(seen["cwd"]) <= {"/app"}, seen
    assert not any("dynod" in text or str(joined.host.top) in text for text in seen["cmdline"]), seen


BETWEEN = r"""
import json, os
seen, alive = {}, 0
print("spying", flush=True)
os.set_blocking(0, False)
while True:
    try:
        if os.read(0, 1) == b"":
            break
    except BlockingIOError:
        pass
    for pid in set(os.listdir("/proc")) - {"1", str(os.getpid())}:
        if not pid.isdigit():
            continue
        alive += 1
        for name in ("exe", "cwd", "root", "fd", "environ", "maps", "mem"):
            try:
                path = f"/proc/{pid}/{name}"
                found = os.listdir(path) if name == "fd" else os.readlink(path) if name in ("exe", "cwd", "root") else open(path).read(1)
            except OSError:
                continue
            if found:  # of a process that is no more, empty files can be opened
                seen.setdefault(name, set()).add(str(found)[:80])
print(json.dumps({"alive": alive, "seen": {name: sorted(found) for name, found in seen.items()}}))
"""


def test_between_fork_and_exec_a_joined_command_shows_nothing_of_the_host(joined):
    """Its memory, files and program are the joiner's then (CVE-2016-9962). A long PATH makes many of such moments out of one command."""
    id, (stdin, stdout) = joined.dyno("python3", "-c", BETWEEN)
    read_until(stdout, "spying")
    path = ":".join(f"/nowhere/{number}" for number in range(4_000))
    for _ in range(5):
        said, fds = joined.exec(id, "nope", env={"PATH": path})
        os.close(fds[0])
        assert "cannot run nope: not found" in read_all(fds[1])
        assert joined.status(said["session"]) == 127
    os.close(stdin)
    told = json.loads(read_all(stdout))
    joined.end(id, [])
    assert told["alive"] > 50, told  # it was there at such moments
    assert told["seen"] == {}, told


def test_the_hosts_program_cannot_be_overwritten_through_proc_self_exe(joined, idle):
    """CVE-2019-5736: the interpreter is whatever executes, which is the host's own program."""
    evil = (
        "#!/proc/self/exe\nimport os\nprint(os.getuid())\n"
        "for mode in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):\n"
        "    try:\n        os.open('/proc/self/exe', mode); print('open')\n"
        "    except OSError as error:\n        print(error.strerror)\n"
    )
    joined.exec(idle, "true")
    said, (stdin, stdout) = joined.exec(idle, "sh", "-c", "cat > /app/evil; chmod 755 /app/evil")
    os.write(stdin, evil.encode())
    close_all([stdin])
    read_all(stdout)
    assert joined.status(said["session"]) == 0
    said, (stdin, stdout) = joined.exec(idle, "/app/evil")
    os.close(stdin)
    shown = read_all(stdout)
    assert "open" not in shown.split()
    uid, *refusals = shown.splitlines()
    assert int(uid) == record(joined.host, idle)["uid"]
    assert set(refusals) <= {"Permission denied", "Text file busy"}


@pytest.mark.parametrize("number", range(12))
def test_no_descriptor_is_a_way_out(joined, idle, number):
    """CVE-2024-21626: a working directory that is a descriptor of the host's, by name and by a link."""
    joined.sh(idle, f"ln -sfn /proc/self/fd/{number} /app/way")
    for cwd in (f"/proc/self/fd/{number}", "/app/way"):
        said, (stdin, stdout) = joined.exec(idle, "pwd", cwd=cwd)
        os.close(stdin)
        assert "cannot enter" in read_all(stdout)
        assert joined.status(said["session"]) == 126


@pytest.mark.parametrize(
    "cwd", ["/proc/1/root", "/proc/1/cwd", "/proc/thread-self/root/.", "/app/../proc/1/root"]
)
def test_no_other_process_is_a_way_out(joined, idle, cwd):
    said, fds = joined.ask(idle, "pwd", cwd=cwd)
    if said["op"] == "executed":
        os.close(fds[0])
        assert "cannot enter" in read_all(fds[1])
        assert joined.status(said["session"]) == 126


def test_a_dyno_that_stops_everything_it_sees_holds_up_no_one_else(joined, idle):
    """It may stop a joined command before its first instruction; that is its own loss."""
    script = "import os\nprint('on', flush=True)\nwhile True:\n for s in (19,):\n  try: os.kill(-1, s)\n  except OSError: pass"
    id, fds = joined.dyno("python3", "-c", script)
    read_until(fds[1], "on")
    sock = joined.host.connect()
    for number in range(10):
        asked = {"argv": ["true"], "env": ENV, "cwd": "/app", "stdio": "pipe", "session": f"stopped-{number}"}
        packets.send(sock, {"op": "exec", "seq": number, "id": id, **asked})
    assert joined.sh(idle, "echo here")[0] == "here\n"
    joined.end(id, fds)
    told = 0
    while told < 10:
        ready, _, _ = select.select([sock], [], [], PATIENCE)
        assert ready, "an asker was forgotten"
        close_all(packets.receive(sock)[1])
        told += 1
