"""What the lab's control program does to a machine, as far as this one can show it: the words, the scripts, the plug."""

import contextlib
import os
import subprocess
import sys

import pytest

from lab import __main__ as commands
from lab import faults, machine
from lab.way import LabError
from tests.lab_parts.test_way import way  # noqa: F401  # an agent that runs here


def bash(script, *unshared, **env):
    argv = ["unshare", *unshared, "bash", "-euc", script] if unshared else ["bash", "-euc", script]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**os.environ, **env}, timeout=60
    )


def test_a_full_disk_is_full_and_has_room_again(tmp_path):
    made = faults.spoken(["full", str(tmp_path)])
    room = f"df --output=avail -B1 {tmp_path} | tail -n 1"
    done = bash(
        f"mount -t tmpfs -o size=8m own {tmp_path}; ({made.begin}); {room}; ! echo more >{tmp_path}/more; ({made.end}); {room}",
        "--mount",
    )
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr
    full, again = map(int, done.stdout.split())
    assert (full, again) == (0, 8 << 20)


def test_a_disk_may_be_left_some_bytes(tmp_path):
    made = faults.full(str(tmp_path), left=1 << 20)
    done = bash(
        f"mount -t tmpfs -o size=8m own {tmp_path}; ({made.begin}); df --output=avail -B1 {tmp_path} | tail -n 1",
        "--mount",
    )
    assert int(done.stdout) == 1 << 20


@pytest.fixture
def asked(tmp_path):
    """A PATH on which the programs that change a machine write down what they were asked."""
    for name in ("date", "tc", "systemctl", "dmsetup", "blockdev"):
        real = 'if [ "$1" = +%s ]; then echo 1000000; exit; fi; ' if name == "date" else ""
        size = "echo 4096; exit" if name == "blockdev" else ""
        (tmp_path / name).write_text(f'#!/bin/sh\n{real}{size}\necho "{name} $*" >>{tmp_path}/asked\n')
        (tmp_path / name).chmod(0o755)

    def ask(script):
        (tmp_path / "asked").write_text("")
        done = bash(script, PATH=f"{tmp_path}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        return (tmp_path / "asked").read_text().splitlines()

    return ask


def table(words):
    return [
        "dmsetup suspend --nolockfs lab",
        f"dmsetup load lab --table {words}",
        "dmsetup resume lab",
    ]


HEALTHY = table("0 4096 linear /dev/vdb 0")


@pytest.mark.parametrize(
    ("words", "begins", "ends"),
    [
        (["clock", "86400"], ["date -s @1086400"], ["date -s @913600"]),
        (["clock", "-86400"], ["date -s @913600"], ["date -s @1086400"]),
        (
            ["network"],
            ["tc qdisc replace dev eth0 root netem delay 200ms 50ms loss 1%"],
            ["tc qdisc del dev eth0 root"],
        ),
        (
            ["network", "lo"],
            ["tc qdisc replace dev lo root netem delay 200ms 50ms loss 1%"],
            ["tc qdisc del dev lo root"],
        ),
        (
            ["memory", "dynod", "24M"],
            ["systemctl set-property --runtime dynod MemoryMax=24M"],
            ["systemctl set-property --runtime dynod MemoryMax=infinity"],
        ),
        (["slow-disk", "300"], table("0 4096 delay /dev/vdb 0 300 /dev/vdb 0 300"), HEALTHY),
        (["erring-disk"], table("0 4096 flakey /dev/vdb 0 0 3600 1 error_writes"), HEALTHY),
        (["forgetting-disk"], table("0 4096 flakey /dev/vdb 0 0 3600 1 drop_writes"), HEALTHY),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_a_fault_is_brought_about_and_taken_away(asked, words, begins, ends):
    made = faults.spoken(words)
    assert asked(made.begin) == begins
    assert asked(made.end) == ends


@pytest.mark.parametrize(
    "words", [["flood"], ["clock"], ["clock", "soon"], ["memory", "dynod"], ["erring-disk", "now"]]
)
def test_a_fault_that_is_none_is_told_with_those_there_are(words, capsys):
    with pytest.raises(LabError):
        faults.spoken(words)
    assert commands.main(["fault", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"lab: cannot do {' '.join(words)!r}; there is full ")
    assert all(name in said for name in faults.SPOKEN)


def test_every_fault_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        commands.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in faults.SPOKEN)


def test_the_control_program_does_it_inside_and_ends_with_the_status(way, monkeypatch, tmp_path, capfdbinary):  # noqa: F811  # the fixture
    monkeypatch.setattr(commands, "Way", lambda *_: contextlib.nullcontext(way) and way)
    monkeypatch.setattr(way, "open", lambda _: None)
    monkeypatch.setattr(way, "close", lambda: None)
    spoken = faults.Fault(
        f"echo began; touch {tmp_path}/begun", f"echo mended >&2; rm {tmp_path}/begun; exit 3"
    )
    monkeypatch.setattr(faults, "spoken", lambda _: spoken)
    assert commands.main(["fault", "any"]) == 0
    assert (tmp_path / "begun").exists()
    assert commands.main(["fault", "--end", "any"]) == 3
    assert not (tmp_path / "begun").exists()
    assert capfdbinary.readouterr() == (b"began\n", b"mended\n")
    monkeypatch.undo()


def test_the_plug_of_another_process_is_pulled_and_of_nobody_else(tmp_path):
    """By the machine's directory in its words: the pid may be another program's by now."""
    home = tmp_path / "machine"
    home.mkdir()
    with pytest.raises(LabError, match="no machine runs in "):
        machine.cut_from_outside(home)
    program = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        (home / machine.PID).write_text(f"{other.pid}\n")
        with pytest.raises(LabError, match="no machine runs"):
            machine.cut_from_outside(home)
        other.stdin.close()
        assert other.wait() == 0
    with subprocess.Popen(
        [*program, f"file={home}/disk.qcow2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as ours:
        ours.stdout.readline()
        (home / machine.PID).write_text(f"{ours.pid}\n")
        machine.cut_from_outside(home)
        assert ours.wait() == -9
    with pytest.raises(LabError, match="no machine runs"):
        machine.cut_from_outside(home)
