"""What a hostile dyno gets of commands that join it: nothing of the host, and no hold on anybody else."""

import json
import os
import select

import pytest
from jailed import PATIENCE, close_all, read_all, read_until, record
from joining import ENV

from dynod.jail import packets

pytestmark = pytest.mark.linux


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
