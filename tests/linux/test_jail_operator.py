"""A control plane that is no root: what the dyno host does for its user and for nobody else, and what it does not do even for that one."""

import json
import os
import socket

import pytest
from jailed import ALONE, TestHost, close_all, read_until

from dynod.host.leavings import changed
from dynod.jail import packets
from dynod.model.autopsy import Changed

pytestmark = pytest.mark.linux

OPERATOR, READER, OTHER = 65_501, 65_502, 65_503
GROUP = 65_504
MIB = 1024 * 1024
LIMITS = {"memory": 256 * MIB, "tasks": 64, "cpu": 1, "files": 1000}


@pytest.fixture
def host():
    with TestHost() as made:
        made.start("--operator", str(OPERATOR), "--reader", str(READER), "--socket-group", "nogroup")
        os.chmod(made.run / "host.sock", 0o666)  # who is let in is the host's to say
        yield made


def as_user(uid, do):
    """What `do()` returns when that user calls it, or the error's name."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(uid, uid, uid)
            try:
                said = do()
            except (OSError, AssertionError) as error:
                said = f"{type(error).__name__}{'' if isinstance(error, OSError) else error}"
            os.write(theirs, json.dumps(said).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(mine, "rb") as said:
        told = said.read()
    os.waitpid(child, 0)
    return json.loads(told)


def asking(host, *asked):
    """Say these over one connection; the operations that the answers are."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(30)
        sock.connect(str(host.run / "host.sock"))
        answers = []
        for one in asked:
            packets.send(sock, {"seq": 1, **one})
            said, fds = packets.receive(sock)
            close_all(fds)
            answers.append(said["op"])
        return answers


def leavings(host, id):
    """Ask over a connection of one's own for what a dead dyno left: a descriptor."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(host.run / "host.sock"))
        packets.send(sock, {"op": "leavings", "seq": 1, "id": id})
        said, fds = packets.receive(sock)
    assert said["op"] == "done", said
    (upper,) = fds
    return upper


def test_the_operator_asks_for_everything_and_a_third_user_for_nothing(host):
    plan = host.plan("true")
    assert as_user(OPERATOR, lambda: asking(host, {"op": "boot", "plan": plan}, {"op": "stat"})) == [
        "booted",
        "stats",
    ]
    host.ended(plan["id"])
    host.forget(plan["id"])
    assert as_user(OTHER, lambda: asking(host, {"op": "stat"})) in (
        "Hung",
        "BrokenPipeError",
        "ConnectionResetError",
    )


def test_logplex_gets_pipes_and_may_start_and_end_nothing(host):
    plan = host.plan("cat")
    _, fds = host.boot(plan)
    asked = (
        {"op": "list"},
        {"op": "boot", "plan": host.plan("true")},
        {"op": "signal", "id": plan["id"], "signal": 9},
        {"op": "exec", "id": plan["id"]},
        {"op": "forget", "id": plan["id"]},
        {"op": "leavings", "id": plan["id"]},
    )
    assert as_user(READER, lambda: asking(host, *asked)) == ["dynos", *["failed"] * 5]
    assert list(host.rows()) == [plan["id"]]
    close_all(fds)
    assert host.ended(plan["id"])["status"] == 0
    host.forget(plan["id"])


@pytest.mark.parametrize("ceiling", ["none", "image"])
def test_the_operator_sees_what_a_dyno_left_even_what_that_kept_to_itself(host, ceiling):
    disk = {"disk": 64 * MIB, "inodes": 2000} if ceiling == "image" else {}
    script = "umask 077; mkdir -p /app/own/deep; echo 12 > /app/own/deep/x; rm /app/plain; echo ready; cat > /dev/null"
    plan = host.plan("sh", "-c", script, limits={**LIMITS, **disk, "ceiling": ceiling})
    _, fds = host.boot(plan)
    read_until(fds[1], "ready")
    close_all(fds)
    host.ended(plan["id"])

    def look():
        upper = leavings(host, plan["id"])
        try:
            os.mkdir("new", dir_fd=upper)
        except OSError as error:
            refused = error.strerror
        found, cut = changed(upper)
        return [refused, cut, [[each.path, each.kind, each.size] for each in found]]

    refused, cut, found = as_user(OPERATOR, look)
    assert (refused, cut) == ("Read-only file system", False)
    assert [Changed(*each) for each in found] == [
        Changed("/app/own/deep/x", "file", 3),
        Changed("/app/plain", "deleted", 0),
    ]
    host.forget(plan["id"])


def test_a_directory_that_a_dyno_shut_to_everybody_hides_no_other(host):
    plan = host.plan("sh", "-c", "mkdir /app/a /app/b; touch /app/b/x; chmod 0 /app/a")
    _, fds = host.boot(plan)
    close_all(fds)
    host.ended(plan["id"])

    def look():
        found, cut = changed(leavings(host, plan["id"]))
        return [[each.path for each in found], cut]

    assert as_user(OPERATOR, look) == [["/app/b/x"], True]
    host.forget(plan["id"])


def test_a_scratch_directory_lies_where_root_alone_gives_names(host):
    """Else the operator could put a link in its way, and root would make and remove things behind that."""
    target = host.top / "target"
    target.mkdir()
    (target / "kept").write_text("")
    (host.state / "cache").mkdir()
    (host.state / "cache/link").symlink_to(host.top)
    for scratch in ("cache/link/target", "cache/link/new", "cache/new"):
        plan = host.plan("true", scratch=str(host.state / scratch))
        assert "is outside" in host.refused(plan)
    assert sorted(os.listdir(target)) == ["kept"]
    assert not (host.top / "new").exists()


def test_a_descriptor_of_the_machines_is_not_made_a_dynos(host):
    """Whoever may open a file to read it may send it, and would have it owned by a dyno."""
    fifo = host.top / "fifo"
    os.mkfifo(fifo)
    for path in ("/etc/passwd", fifo):
        before = os.stat(path)
        sent = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for _ in range(2)]
        packets.send(host.client, {"op": "boot", "seq": 1, "plan": host.plan("true")}, sent)
        said, _ = packets.receive(host.client)
        close_all(sent)
        assert "is no pipe" in said["error"]
        assert (os.stat(path).st_uid, os.stat(path).st_mode) == (before.st_uid, before.st_mode)


@pytest.mark.skipif(not ALONE, reason="version 1 lets everybody set alarms")
def test_the_operator_sets_alarms_and_no_limit(host):
    plan = host.plan("cat")
    _, fds = host.boot(plan)
    group = host.cgroup("memory", plan["id"])

    def write():
        said = []
        for file in ("memory.high", "memory.max", "cgroup.procs"):
            try:
                (group / file).write_text("104857600" if file != "cgroup.procs" else "0")
                said.append("written")
            except PermissionError:
                said.append("refused")
        return said

    assert as_user(OPERATOR, write) == ["written", "refused", "refused"]
    close_all(fds)
    host.ended(plan["id"])
    host.forget(plan["id"])
