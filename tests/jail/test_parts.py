"""The dyno host's small parts that need no kernel favours: packets, loop, records, descriptors of a plan, PATH."""

import json
import os
import signal
import socket

import pytest

from dynod.jail import packets, records
from dynod.jail.enter import Handed, candidates, start
from dynod.jail.loop import Loop
from dynod.jail.mounts import Trees
from dynod.jail.records import Ended, Record
from dynod.model.jail import Bind, JailPlan, Limits, Stdio

PLAN = JailPlan(
    "x", "x", 200_000, (("/a", True), ("/b", False)), (Bind("/c", "/d"),), "/s", "/run/netns/n",
    Limits(1, 1, 1), ("true",), {}, "/", Stdio.LOG, {},
)  # fmt: skip


# Packets


def test_a_packet_carries_a_value_and_descriptors():
    ours, theirs = packets.pair()
    read, write = os.pipe()
    packets.send(ours, {"a": [1, "ü"]}, [write])
    value, (copy,) = packets.receive(theirs)
    assert value == {"a": [1, "ü"]}
    assert not os.get_inheritable(copy)
    os.write(copy, b"x")
    assert os.read(read, 1) == b"x"
    packets.close([read, write, copy])
    ours.close()
    with pytest.raises(packets.Hung):
        packets.receive(theirs)
    with pytest.raises(packets.Hung):
        packets.send(theirs, 1)
    theirs.close()


def test_close_takes_what_is_closed_already():
    read, write = os.pipe()
    packets.close([read, write])
    packets.close([read, write])


def test_a_large_packet_passes_and_a_broken_one_does_not():
    ours, theirs = packets.pair()
    packets.send(ours, "x" * (packets.PACKET - 10))
    assert len(packets.receive(theirs)[0]) == packets.PACKET - 10
    read, write = os.pipe()
    socket.send_fds(ours, [b"{no json"], [write])
    os.close(write)
    with pytest.raises(ValueError, match="Expecting"):
        packets.receive(theirs)
    assert os.read(read, 1) == b""  # its descriptor was not kept
    os.close(read)
    ours.close()
    theirs.close()


# The loop


def test_what_is_ready_goes_before_what_can_wait():
    loop, said = Loop(), []
    read, write = os.pipe()
    os.write(write, b"x")

    def hear():
        said.append(os.read(read, 1))
        loop.forget(read)

    loop.idle(lambda: said.append("idle"))
    loop.after(0, lambda: said.append("timer"))
    loop.read(read, hear)
    loop.until(lambda: "idle" in said)
    loop.run()
    assert said == [b"x", "timer", "idle"]
    packets.close([read, write])


def test_timers_run_in_their_order():
    loop, said = Loop(), []
    for seconds in (0.4, 0.2, 0.0):  # far enough apart for a machine that stops in between
        loop.after(seconds, lambda seconds=seconds: said.append(seconds))
    loop.until(lambda: len(said) == 3)
    loop.run()
    assert said == [0.0, 0.2, 0.4]


def test_a_descriptor_forgotten_in_the_same_round_is_not_called():
    loop, said = Loop(), []
    pairs = [os.pipe(), os.pipe()]
    for mine, other in ((0, 1), (1, 0)):
        os.write(pairs[mine][1], b"x")

        def hear(mine=mine, other=other):
            said.append(mine)
            for which in (mine, other):
                loop.forget(pairs[which][0])

        loop.read(pairs[mine][0], hear)
    loop.until(lambda: bool(said))
    loop.run()
    assert len(said) == 1
    for pair in pairs:
        packets.close(pair)


def test_a_writer_is_called_until_it_is_told_not_to():
    loop, said = Loop(), []
    ours, theirs = packets.pair()
    loop.read(ours.fileno(), lambda: None)

    def room():
        said.append("room")
        loop.write(ours.fileno(), None)

    loop.write(ours.fileno(), room)
    loop.after(0.01, lambda: said.append("later"))
    loop.until(lambda: "later" in said)
    loop.run()
    assert said == ["room", "later"]
    ours.close()
    theirs.close()


# Records


def test_a_record_is_read_back_and_a_torn_one_is_none(tmp_path):
    record = Record("web.1", 7, 99, 200_000, "log", "/s", "web.1", {"app": "a"})
    for name in ("good", "torn", "none"):
        (tmp_path / name).mkdir()
    records.write(str(tmp_path / "good"), "record", record)
    (tmp_path / "torn/record").write_text('{"id": "web')
    assert dict(records.all_records(str(tmp_path))) == {
        f"{tmp_path}/good": record,
        f"{tmp_path}/none": None,
        f"{tmp_path}/torn": None,
    }
    assert (tmp_path / "good/record").stat().st_mode & 0o777 == 0o600


def test_a_status_is_what_init_wrote(tmp_path):
    assert records.read_status(str(tmp_path)) is None
    fd = records.open_status(str(tmp_path))
    assert records.read_status(str(tmp_path)) is None
    os.write(fd, b"143\n")
    os.close(fd)
    assert records.read_status(str(tmp_path)) == 143
    assert records.read_ended(str(tmp_path)) is None
    ended = Ended(143, oom=False, peak=5, tally={"tasks_peak": 3})
    records.write(str(tmp_path), "ended", ended)
    assert records.read_ended(str(tmp_path)) == ended
    assert json.loads((tmp_path / "ended").read_text())["peak"] == 5


def test_a_process_is_told_from_a_later_one_of_its_pid():
    assert records.start_time(os.getpid()) > records.start_time(1)
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        records.start_time(2**22 + 1)


# A plan's descriptors


@pytest.mark.parametrize(("netns", "stdio"), [(None, ()), (9, (10, 11)), (None, (10, 11))])
def test_descriptors_come_back_in_their_places(netns, stdio):
    handed = Handed(Trees((1, 2), 3, (4,)), 5, netns, stdio)
    plan = JailPlan.from_json({**PLAN.to_json(), "netns": "/run/netns/n" if netns else ""})
    assert Handed.of(plan, handed.flat()) == handed


# Starting a command


def test_a_command_is_looked_for_along_path():
    assert candidates("ls", {"PATH": "/a:/b:"}) == ["/a/ls", "/b/ls", "./ls"]
    assert candidates("./ls", {"PATH": "/a"}) == ["./ls"]
    assert candidates("/x/ls", {}) == ["/x/ls"]


@pytest.mark.parametrize(
    ("argv", "cwd", "status", "words"),
    [
        (("sh", "-c", "echo fine; exit 3"), "/", 3, "fine\n"),
        (("none-such",), "/", 127, "dynod: cannot run none-such: not found\n"),
        (("/etc/passwd",), "/", 126, "dynod: cannot run /etc/passwd: permission denied\n"),
        (("true",), "/none", 126, "dynod: cannot enter /none: No such file or directory\n"),
    ],
)
def test_a_command_starts_or_says_why_not(argv, cwd, status, words):
    plan = JailPlan.from_json(
        {**PLAN.to_json(), "argv": argv, "cwd": cwd, "env": {"PATH": "/none:/usr/bin:/bin"}}
    )
    read, write = os.pipe()
    before = os.getcwd()
    try:
        pid = start(plan, [(os.POSIX_SPAWN_DUP2, write, 1)], write)
    finally:
        os.chdir(before)
    os.close(write)
    said = b""
    while chunk := os.read(read, 1000):
        said += chunk
    os.close(read)
    assert (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()) == (status, words)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
