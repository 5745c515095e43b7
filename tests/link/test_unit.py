"""What systemd gives and hears: the environment as text, real sockets at real descriptors, and words on a real datagram socket."""

import json
import os
import socket
import subprocess
import sys

import pytest
from waiting import run

from dynod import unit as module
from dynod.link import connect, serve
from dynod.unit import Unit, read


def test_without_systemd_there_is_nothing():
    assert read({}, 1) == Unit()


def test_names_and_descriptors_go_together_and_the_words_are_taken_out():
    environ = {
        "LISTEN_PID": "7",
        "LISTEN_FDS": "3",
        "LISTEN_FDNAMES": "router:api:router",
        "NOTIFY_SOCKET": "/run/n",
        "WATCHDOG_PID": "7",
        "WATCHDOG_USEC": "1500000",
        "LANG": "C",
    }
    found = read(environ, 7)
    assert found == Unit((("router", 3), ("api", 4), ("router", 5)), "/run/n", 1.5)
    assert found.named("router") == (3, 5)
    assert found.named("tls") == ()
    assert environ == {"LANG": "C"}


@pytest.mark.parametrize("pid", ["8", ""])
def test_what_is_meant_for_another_process_is_not_ours(pid):
    given = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "WATCHDOG_PID": "8", "WATCHDOG_USEC": "1"}
    assert read(given, 7) == Unit()


def test_sockets_without_names_are_called_as_systemd_calls_them():
    assert read({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, 7).sockets == (("unknown", 3),)


@pytest.mark.parametrize("abstract", [False, True])
def test_words_arrive(tmp_path, abstract):
    name = f"@dynod-unit-{os.getpid()}" if abstract else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name[1:] if abstract else name)
        ear.settimeout(60)
        Unit((), name).say("READY=1")
        assert ear.recv(100) == b"READY=1"


def test_a_deaf_systemd_is_no_error(tmp_path):
    Unit((), str(tmp_path / "nobody")).say("READY=1")


def test_heartbeats_come_three_times_in_the_patience_and_none_without_a_watchdog(tmp_path):
    asked = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "n"))
        ear.settimeout(60)
        Unit((), str(tmp_path / "n"), 9.0).beat(lambda seconds, call: asked.append((seconds, call)))
        asked[0][1]()
        assert [ear.recv(100), ear.recv(100)] == [b"WATCHDOG=1"] * 2
    assert [seconds for seconds, _ in asked] == [3.0, 3.0]
    Unit((), "").beat(lambda *_: pytest.fail("no watchdog asked for a heartbeat"))


def test_the_link_serves_a_socket_that_was_there_before_it(tmp_path, monkeypatch):
    path = str(tmp_path / "s")

    async def told():
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(path)
            held.listen(8)
            os.chmod(path, 0o640)
            monkeypatch.setattr(module, "unit", lambda: Unit((("control", held.fileno()),)))
            monkeypatch.setattr("dynod.link.server.unit", module.unit)
            asking = await connect(path)  # waits in the backlog: nobody serves yet

            async def answer(call):
                return call.params

            server = await serve(path, answer, mode=0o600)
            said = await asking.call("echo", 5)
            await asking.close()
            server.close()
            return said, os.stat(path).st_mode & 0o777

    assert run(told()) == (5, 0o640)


def test_a_started_process_finds_its_sockets_by_name():
    """As systemd does it: the descriptor 3 in the child, the pid in its environment."""
    program = (
        "import json, os, sys\nos.dup2(int(sys.argv[1]), 3)\nos.environ['LISTEN_PID'] = str(os.getpid())\n"
        "from dynod.unit import unit\n"
        "print(json.dumps([unit().named('api'), os.get_inheritable(3), 'LISTEN_FDS' in os.environ]))"
    )
    with socket.create_server(("127.0.0.1", 0)) as held:
        done = subprocess.run(
            [sys.executable, "-c", program, str(held.fileno())],
            pass_fds=[held.fileno()],
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(done.stdout) == [[3], False, False]
