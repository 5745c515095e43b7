"""`dyno ps:copy` and `dyno ps:forward` against a control socket that plays the dyno."""

import os
import re
import select
import signal
import socket
import subprocess
import sys

import pytest

from dynod.cli.inside import ports
from dynod.cli.options import Usage

DYNO = [sys.executable, "-m", "dynod.cli"]
BYTES = bytes(range(256)) * 1000


def plays(before, content, status=0):
    """A dyno whose .profile says `before`; the mark is split to be found all the same."""

    async def play(call):
        mark = re.search(r"printf %s ([0-9a-f]{32});", call.params["body"]["command"])[1].encode()
        said = before if content is None else before + mark + content
        for start in range(0, len(said), 37_001):
            await call.item(said[start : start + 20])
            await call.item(said[start + 20 : start + 37_001])
        return {"status": status, "name": "web.1"}

    return play


def test_a_file_is_copied_byte_by_byte(control, type_in, tmp_path):
    control.answers["dynos.exec"] = plays(b"welcome from .profile\n", BYTES)
    status, _, said = type_in("ps:copy -a demo -d web.2 /app/data.bin")
    assert (status, "Copying /app/data.bin from web.2 of ⬢ demo to data.bin... done" in said) == (0, True)
    assert (tmp_path / "data.bin").read_bytes() == BYTES
    asked = control.asked("dynos.exec")
    assert (asked["dyno"], asked["body"]["force_no_tty"]) == ("web.2", True)


def test_an_empty_file_too_and_elsewhere(control, type_in, tmp_path):
    control.answers["dynos.exec"] = plays(b"", b"")
    assert type_in(f"ps:copy -a demo x -o {tmp_path}/here")[0] == 0
    assert (tmp_path / "here").read_bytes() == b""


def test_a_copy_into_a_directory_keeps_its_name(control, type_in, tmp_path):
    control.answers["dynos.exec"] = plays(b"", b"x")
    assert type_in(f"ps:copy -a demo /app/data.bin -o {tmp_path}")[0] == 0
    assert (tmp_path / "data.bin").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (
            plays(b"welcome\nthere is no such file\n", None, 1),
            "cannot copy x from web.1: there is no such file",
        ),
        (plays(b"", b"half of it", 137), "could not be read to its end (status 137)"),
        (plays(b"", None, 137), "could not be read to its end (status 137)"),
    ],
)
def test_a_copy_that_is_not_whole_is_none(control, type_in, tmp_path, play, why):
    (tmp_path / "x").write_text("as it was")
    control.answers["dynos.exec"] = play
    status, _, said = type_in("ps:copy -a demo x")
    assert status == 1
    assert why in said
    assert (tmp_path / "x").read_text() == "as it was"
    assert not (tmp_path / "x.part").exists()


def test_a_copy_that_cannot_be_written_says_so(control, type_in):
    control.answers["dynos.exec"] = plays(b"", b"x")
    status, _, said = type_in("ps:copy -a demo x -o /nowhere/x")
    assert (status, "cannot write /nowhere/x.part: No such file or directory" in said) == (1, True)


@pytest.mark.parametrize(
    ("text", "pairs"), [("80", [(80, 80)]), ("8000:80", [(8000, 80)]), ("1,2:3", [(1, 1), (2, 3)])]
)
def test_ports_are_read(text, pairs):
    assert ports(text) == pairs


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "1:2:3", ":80", "-1", "8\uff10"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(Usage):
        ports(text)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_port_leads_into_the_dyno(control):
    async def echo(call):
        await call.item({"name": "web.1"})
        async for value in call.inputs():
            if value == {"eof": True}:
                await call.item(b" bye")
                return {"status": 0, "name": "web.1"}
            await call.item(value.upper())
            await call.item({"took": len(value)})
        return None

    control.answers["dynos.forward"] = echo
    control.answers["dynos.info"] = {"name": "web.1"}
    port = free_port()
    env = {**os.environ, "DYNOD_RUN": control.run}
    argv = [*DYNO, "ps:forward", "-a", "demo", f"{port}:5432"]
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE) as child:
        try:
            said = b""
            while b"CTRL+C" not in said:
                assert select.select([child.stderr], [], [], 20)[0]
                more = os.read(child.stderr.fileno(), 4096)
                assert more, said
                said += more
            assert f"Listening on 127.0.0.1:{port} and forwarding to web.1:5432" in said.decode()
            both = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(2)]
            for number, sock in enumerate(both):
                sock.sendall(f"hello {number}".encode())
                assert sock.recv(100) == f"HELLO {number}".encode()
            for sock in both:
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(100) == b" bye"
                assert sock.recv(100) == b""
                sock.close()
            child.send_signal(signal.SIGINT)
            assert child.wait(20) == 130
        finally:
            child.kill()  # if anything failed: it would be waited for without an end
    assert control.calls[-1][1] == {"app": "demo", "dyno": "web.1", "body": {"port": 5432}}


def test_a_port_that_is_taken_is_named(control, type_in):
    control.answers["dynos.info"] = {"name": "web.1"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        status, _, said = type_in(f"ps:forward -a demo {port}")
    assert (status, f"cannot listen on 127.0.0.1:{port}" in said) == (1, True)


def test_a_port_that_is_taken_is_told_in_one_sentence(control, type_in):
    control.answers["dynos.info"] = {}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, said = type_in(f"ps:forward {port}:80 -a demo")
    assert (status, said) == (
        1,
        f" !    cannot listen on 127.0.0.1:{port}: Address already in use; name another as LOCAL:REMOTE\n",
    )
