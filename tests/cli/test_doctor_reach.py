"""The doctor's judgement of who reaches us and whom we reach: ports and their holders, name servers, firewalls."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dynod.cli.doctor import reach
from dynod.model.settings import Endpoint, Settings
from tests.cli.test_doctor import files


@pytest.mark.parametrize("which", ["api", "router", "router_tls", "metrics"])
def test_a_taken_port_is_seen_and_who_holds_it_is_named(which):
    with socket.create_server(("127.0.0.1", 0)) as held:
        endpoint = Endpoint("127.0.0.1", held.getsockname()[1])
        check = reach.port(which)(Settings(**{which: endpoint}))
    assert (check.ok, check.needed, check.name) == (False, True, f"{which.replace('_', ' ')} address")
    assert check.found.startswith(f"{endpoint} is held by ")
    assert f"(pid {doctor_pid()})" in check.found
    assert f"{which} = " in check.remedy
    assert reach.port(which)(Settings(**{which: endpoint})).found == f"{endpoint} is free"


def doctor_pid():
    return Path("/proc/self").resolve().name


def test_who_only_talks_over_a_port_does_not_hold_it():
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = held.getsockname()
        with socket.create_connection(address), held.accept()[0]:
            assert len(list(reach.holders(address[1]))) == 1
            held.close()
            assert list(reach.holders(address[1])) == []


def test_a_port_that_dynod_holds_is_well(tmp_path):
    """As on a machine where it serves."""
    (tmp_path / "router.py").write_text(
        "import socket, sys\nwith socket.create_server(('127.0.0.1', 0)) as held:\n"
        "    print(held.getsockname()[1], flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "router"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        endpoint = Endpoint("127.0.0.1", int(program.stdout.readline()))
        check = reach.port("router")(Settings(router=endpoint))
        program.stdin.close()
    assert (check.ok, check.found) == (True, f"{endpoint} is held by dynod itself")


def test_a_port_that_systemd_holds_for_dynod_is_well(monkeypatch):
    monkeypatch.setattr(reach, "_argv", lambda pid: ["/sbin/init"])
    monkeypatch.setattr(reach, "_sockets", lambda: "127.0.0.1:5000 (Stream)\n0.0.0.0:80 (Stream)\n")
    assert reach._is_ours("1", 80)
    assert not reach._is_ours("1", 8080)  # it holds it for somebody else
    assert not reach._is_ours("2", 80)


def test_an_address_that_is_not_this_machines_is_told_as_such():
    check = reach.port("api")(Settings(api=Endpoint("192.0.2.1", 5000)))
    assert (check.ok, check.needed) == (False, True)
    assert check.found == "192.0.2.1:5000: Cannot assign requested address"
    assert "--api" in check.remedy


def test_on_a_machine_with_units_the_remedy_names_the_one_that_listens(monkeypatch):
    there = {
        f"/etc/systemd/system/{unit}"
        for unit in ("dynod-api.socket", "dyno-router.socket", "dyno-router-tls.socket")
    }
    monkeypatch.setattr(reach.os.path, "exists", lambda path: path in there)
    for which in ("api", "router", "router_tls"):
        check = reach.port(which)(Settings(**{which: Endpoint("192.0.2.1", 5000)}))
        (named,) = re.findall(r"systemctl edit (\S+)", check.remedy)
        assert which.replace("_", "-") in named
    assert "systemctl" not in reach.port("metrics")(Settings(metrics=Endpoint("192.0.2.1", 1))).remedy


def test_an_address_that_nobody_asks_for_is_well():
    assert reach.port("metrics")(Settings()).ok


def test_name_servers_that_a_dyno_cannot_reach_do_not_count(monkeypatch):
    there = {"/etc/resolv.conf": ["nameserver 127.0.0.53"]}
    files(monkeypatch, reach, there)
    check = reach.names(Settings())
    assert (check.ok, check.needed) == (False, False)
    assert "127.0.0.0/8" in check.remedy
    there["/run/systemd/resolve/resolv.conf"] = ["nameserver 192.0.2.1"]
    asked = []
    monkeypatch.setattr(reach, "answers", lambda servers, at: asked.append((servers, at)) or servers[0])
    assert (reach.names(Settings()).ok, reach.names(Settings()).found) == (True, "192.0.2.1 answers")
    assert asked[0] == (("192.0.2.1",), 53)
    monkeypatch.setattr(reach, "answers", lambda servers, at: "")
    check = reach.names(Settings())
    assert (check.ok, check.found) == (False, "nobody answers within 2 s: 192.0.2.1")


def test_a_name_server_counts_when_it_answers_and_not_when_it_is_silent_or_refuses(monkeypatch):
    monkeypatch.setattr(reach, "PATIENCE", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        at = server.getsockname()[1]
        assert reach.answers(("127.0.0.1",), at) == "", "silent"
        server.recv(512)
        monkeypatch.setattr(reach, "PATIENCE", 20.0)

        def answer():
            question, client = server.recvfrom(512)
            assert question[4:6] == b"\0\1", "one question"
            server.sendto(question[:2] + b"\x81\x80" + question[4:], client)

        helper = threading.Thread(target=answer)
        helper.start()
        assert reach.answers(("127.0.0.2", "127.0.0.1"), at) == "127.0.0.1", "the other refuses at once"
        helper.join(20)
    assert reach.answers(("127.0.0.1",), at) == "", "refused at once, with twenty seconds to wait"


def test_the_firewall_of_another_that_drops_everything_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr(
        reach,
        "obstacles",
        lambda: ("dynos may not reach the internet: docker drops; let them through there",),
    )
    check = reach.firewalls(Settings())
    assert (check.ok, check.needed, check.remedy) == (False, False, "let them through there")
    monkeypatch.setattr(reach, "obstacles", lambda: ())
    assert reach.firewalls(Settings()).ok
