"""The way into a lab machine, both ends of it in this process: what is run, heard and answered, and what a half line does."""

import os
import socket
import threading

import pytest

from lab import __main__ as commands
from lab import agent, image
from lab.machine import Machine, Ports
from lab.way import LabError, Way


@pytest.fixture
def way(tmp_path):
    """A way to an agent that runs here."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def inside():
            sock, _ = listener.accept()
            with sock, sock.makefile("rwb", buffering=0) as port:
                agent.serve(port)

        thread = threading.Thread(target=inside)
        thread.start()
        made = Way(path, lambda: "")
        made.open(20)
        yield made
        made.close()
        thread.join(20)
        assert not thread.is_alive()


def test_status_output_and_errors_come_back_apart(way):
    done = way.run(["sh", "-c", "cat; echo bad >&2; exit 3"], b"good\n", "/", {}, 20, lambda *_: None)
    assert (done.status, done.out, done.err) == (3, "good\n", "bad\n")


def test_directory_and_environment_are_as_asked(way, tmp_path):
    done = way.run(
        ["sh", "-c", 'pwd; echo "$WORD"'], b"", str(tmp_path), {"WORD": "told"}, 20, lambda *_: None
    )
    assert done.out == f"{tmp_path}\ntold\n"


def test_much_output_is_heard_as_it_comes_and_whole_at_the_end(way):
    heard = []
    done = way.run(
        ["head", "-c", "300000", "/dev/zero"],
        b"",
        "/",
        {},
        20,
        lambda kind, data: heard.append((kind, len(data))),
    )
    assert len(done.out) == sum(size for _, size in heard) == 300_000
    assert len(heard) > 1


def test_what_cannot_be_run_says_so(way):
    done = way.run(["/nowhere/program"], b"", "/", {}, 20, lambda *_: None)
    assert (done.status, "cannot run /nowhere/program" in done.err) == (127, True)


def test_half_a_line_of_somebody_before_does_no_harm(way):
    way._sock.sendall(b'{"id": "lost", "argv": ["tru')
    assert way.run(["true"], b"", "/", {}, 20, lambda *_: None).status == 0


def test_who_waits_too_long_is_told(way, tmp_path):
    os.mkfifo(gate := tmp_path / "gate")
    with pytest.raises(LabError, match="cannot wait longer"):
        way.run(["sh", "-c", f"read line <{gate}"], b"", "/", {}, 0.1, lambda *_: None)
    gate.write_text("go on\n")


def test_a_machine_that_is_gone_is_named(tmp_path):
    with pytest.raises(LabError, match="qemu ended"):
        Way(tmp_path / "agent.sock", lambda: "qemu ended with 1").open(20)


def test_qemus_words_lead_router_and_api_inside_and_keep_the_disk_honest(tmp_path):
    machine = Machine(tmp_path, Ports(8080, 5000), accel=("-accel", "tcg"), extra=("1G",))
    words = " ".join(machine._argv(image.Base("k", "i", "d")))
    assert "hostfwd=tcp:127.0.0.1:8080-:8080,hostfwd=tcp:127.0.0.1:5000-:5000" in words
    assert words.count("cache=none") == 2
    assert "mount_tag=tree,security_model=none,readonly=on" in words


def test_the_image_is_named_by_its_recipe(monkeypatch):
    before = image.digest()
    assert before == image.digest()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "more"))
    assert image.digest() != before


def test_wrong_words_end_with_two():
    with pytest.raises(SystemExit) as ended:
        commands.main(["nope"])
    assert ended.value.code == 2
