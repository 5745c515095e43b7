"""What the dyno host refuses at its door, and that a refusal changes nothing."""

import json
import os
import socket
import stat
import subprocess

import pytest
from jailed import SLUG_UID, UID_FIRST, TestHost, close_all

from dynod.jail import packets

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module")
def host():
    one = TestHost().start()
    yield one
    one.close()


def bind(source, target="/mnt", writable=False, idmap=False):
    return {"source": str(source), "target": target, "writable": writable, "idmap": idmap}


def descriptors(host):
    """Those of the host that are not the pool's (an embryo has two), counted while the pool is full and stands still."""
    while True:
        before, count = _pool(host), len(os.listdir(f"/proc/{host.process.pid}/fd"))
        if before == _pool(host) and before[1] == 0:
            return count - 2 * sum(before)


def _pool(host):
    said = host.ask("stat")[0]
    return said["ready"], said["growing"]


def nothing_happened(host, plan):
    assert host.rows() == {}
    assert not os.path.exists(plan["scratch"])
    assert list((host.run / "host").iterdir()) == []
    assert host.sh("echo fine")[1] == "fine\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uid": 0}, "uid 0 is outside"),
        ({"uid": UID_FIRST - 1}, "is outside"),
        ({"binds": [bind("/etc/shadow")]}, "/etc/shadow is outside the directories"),
        ({"binds": [bind("/usr", writable=True)]}, "it is the machine's own"),
        ({"netns": "/proc/1/ns/net"}, "is neither in /run/netns nor in"),
        ({"netns": "/run/netns/none-such"}, "/run/netns/none-such: No such file or directory"),
        ({"argv": []}, "argv is empty"),
        ({"stdio": "tape"}, "cannot read a jail plan"),
        ({"surprise": 1}, "unknown fields in a jail plan"),
        ({"uid": "700001"}, "uid is no int"),
        ({"id": "../x"}, "an id is letters"),
    ],
)
def test_a_bad_plan_is_refused_with_a_clear_line(host, change, words):
    plan = host.plan("true", **change)
    assert words in host.refused(plan)
    nothing_happened(host, plan)


def test_a_source_that_is_missing_is_named(host):
    plan = host.plan("true", binds=[bind(host.state / "cache/none")])
    assert host.refused(plan) == f"cannot start {plan['id']}: cache/none: No such file or directory"
    nothing_happened(host, plan)


def test_a_link_below_state_is_not_followed(host):
    (host.state / "cache").mkdir(exist_ok=True)
    (host.state / "cache/out").symlink_to("/etc")
    for source in ("cache/out", "cache/out/ssl"):
        plan = host.plan("true", binds=[bind(host.state / source)])
        assert "symbolic links" in host.refused(plan)
        nothing_happened(host, plan)


def test_secrets_and_sockets_are_never_shown(host):
    (host.state / "secrets").mkdir(exist_ok=True)
    for source in (host.state / "secrets", host.run / "host", host.state, host.run / "host.sock"):
        plan = host.plan("true", binds=[bind(source)])
        assert host.refused(plan).startswith("cannot start")
        nothing_happened(host, plan)


def test_files_of_root_are_not_shown_as_a_dynos(host):
    plan = host.plan("true", lower=[[str(host.state / "stack/test"), True]])
    assert "owned by root" in host.refused(plan)
    nothing_happened(host, plan)


def test_a_layer_that_cannot_be_mounted_undoes_the_boot(host):
    file = host.state / "slugs/file"
    file.write_text("not a directory")
    os.chown(file, SLUG_UID, SLUG_UID)
    plan = host.plan("true", lower=[[str(file), False]])
    assert host.refused(plan).startswith(f"cannot start {plan['id']}: /lower/0")
    nothing_happened(host, plan)
    assert not host.cgroup("memory", plan["id"]).exists()


def test_a_file_that_is_no_namespace_is_refused(host):
    fake = host.run / "netns"
    fake.mkdir()
    (fake / "x").write_text("")
    plan = host.plan("true", netns=str(fake / "x"))
    assert host.refused(plan).startswith("cannot start")
    nothing_happened(host, plan)
    (fake / "x").unlink()
    fake.rmdir()


def test_an_allowed_directory_may_be_bound():
    with TestHost() as host:
        shown = host.top / "shown"
        shown.mkdir()
        (shown / "x").write_text("seen\n")
        host.start("--allow", str(shown))
        binds = [*host.plan("true")["binds"], bind(shown)]
        assert host.refused(host.plan("true", binds=[bind(host.top)])).startswith("cannot start")
        assert host.sh("cat /mnt/x; echo y > /mnt/x", binds=binds)[1].startswith("seen\n")
        assert (shown / "x").read_text() == "seen\n"


def test_the_socket_is_for_root():
    with TestHost().start() as host:
        assert stat.S_IMODE(os.stat(host.run / "host.sock").st_mode) == 0o600
        os.chmod(host.run / "host.sock", 0o666)  # even so
        assert not answers(host, uid=65534, gid=65534)


def test_the_socket_is_for_the_named_group():
    with TestHost().start("--socket-group", "nogroup") as host:
        assert stat.S_IMODE(os.stat(host.run / "host.sock").st_mode) == 0o660
        assert answers(host, uid=65534, gid=65534)
        assert not answers(host, uid=65533, gid=65533)


def answers(host, uid, gid):
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]);"
        's.send(b\'{"op":"stat"}\'); sys.exit(0 if s.recv(1000) else 1)'
    )
    argv = ["/usr/bin/python3", "-c", script, str(host.run / "host.sock")]
    return (
        subprocess.run(
            argv, user=uid, group=gid, extra_groups=[], capture_output=True, check=False
        ).returncode
        == 0
    )


def test_nonsense_hangs_up_on_who_said_it_alone(host):
    for packet in (
        b"no json",
        b"[1]",
        b'{"op":"dance"}',
        b"7",
        b'{"op":"boot"}',
        b'{"op":"boot","plan":{"id":1}}',
    ):
        sock = host.connect()
        sock.send(packet)
        answer = sock.recv(10_000)
        assert answer == b"" or json.loads(answer)["op"] == "failed"
    assert host.sh("echo fine")[1] == "fine\n"


def test_descriptors_that_nobody_asked_for_are_closed(host):
    sock = host.connect()
    host.ask("stat", sock)  # the host has taken it
    before = descriptors(host)
    for _ in range(5):
        with open("/dev/null") as null:
            packets.send(sock, {"op": "stat", "seq": 1}, [null.fileno()] * 10)
        assert packets.receive(sock)[0]["op"] == "stats"
    assert descriptors(host) <= before


def test_the_host_keeps_no_descriptor_of_what_is_over(host):
    for _ in range(3):
        host.sh("true", uid=UID_FIRST + 50)
    before = descriptors(host)
    for _ in range(5):
        host.sh("true", uid=UID_FIRST + 50)
        plan = host.plan("true", stdio="log", uid=UID_FIRST + 50)
        host.boot(plan)
        host.ended(plan["id"])
        host.forget(plan["id"])
        host.refused(host.plan("true", netns="/run/netns/none-such", uid=UID_FIRST + 50))
    assert descriptors(host) <= before


def send_on(sock, packet):
    while True:
        packets.send(sock, packet)


def test_a_client_that_reads_nothing_holds_up_nobody(host):
    deaf = host.connect()
    packets.send(deaf, {"op": "watch"})
    packets.send(deaf, {"op": "pipes"})
    deaf.setblocking(False)
    flood = {"op": "list", "seq": 1, "padding": "x" * 1000}
    with pytest.raises((BlockingIOError, packets.Hung)):  # in the end the host hangs up on it
        send_on(deaf, flood)
    assert host.sh("echo fine")[1] == "fine\n"
    deaf.close()
    assert host.sh("echo fine")[1] == "fine\n"


def test_a_plan_of_half_a_mebibyte_passes(host):
    env = {f"V{number}": "x" * 1000 for number in range(500)}
    assert host.sh("echo ${#V499}", env={**env, "PATH": "/usr/bin"})[1] == "1000\n"


def test_a_boot_whose_asker_left_still_runs_and_is_listed(host):
    sock = host.connect()
    plan = host.plan("sh", "-c", "echo x; cat; exit 3")
    packets.send(sock, {"op": "boot", "seq": 1, "plan": plan})
    sock.close()
    assert host.ended(plan["id"])["status"] in (3, 141)  # its pipes went with the asker
    host.forget(plan["id"])


def test_list_pages_end(host):
    sock = host.connect()
    packets.send(sock, {"op": "list", "seq": 5})
    said, fds = packets.receive(sock)
    assert (said["seq"], said["dynos"], said["end"]) == (5, [], True)
    close_all(fds)
    assert isinstance(sock, socket.socket)
