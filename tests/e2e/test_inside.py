"""Into dynos of a whole platform: a command beside the app, a file out, a port in; and one-offs whose client goes."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.e2e
CLI = [sys.executable, "-P", "-m", "dynod.cli"]


@pytest.fixture(scope="module")
def app(platform):
    platform.deploy("shell", "inside")
    platform.until(lambda: platform.get("inside")[0] == 200, "inside")
    return "inside"


def background(platform, *words, **streams):
    env = {**os.environ, "DYNOD_RUN": platform.run}
    return subprocess.Popen([*CLI, *words], env=env, start_new_session=True, **streams)


def read_until(fd, text):
    seen = b""
    while text.encode() not in seen:
        assert select.select([fd], [], [], 60)[0], seen
        data = os.read(fd, 65536)
        assert data, seen
        seen += data
    return seen.decode()


def test_a_command_runs_beside_the_app(platform, app):
    (web,) = [one for one in platform.json("ps", "-a", app) if one["type"] == "web"]
    script = "echo $DYNO $HOME $PWD; cat /proc/2/cmdline | tr '\\0' ' '; cat; exit 5"
    done = platform.dyno("run:inside", "web.1", "-a", app, "--", script, input="typed\n", check=False)
    assert done.returncode == 5
    assert done.stdout.startswith("web.1 /app /app\n")
    assert "http.server" in done.stdout
    assert done.stdout.endswith("typed\n")
    (after,) = [one for one in platform.json("ps", "-a", app) if one["type"] == "web"]
    assert after["id"] == web["id"]
    log = platform.dyno("logs", "-a", app, "--source", "app", "-n", "100").stdout
    assert "app[api]: Starting process in web.1 with command `echo $DYNO" in log


def test_a_shell_at_a_terminal(platform, app):
    keyboard, terminal = pty.openpty()
    with background(
        platform, "ps:exec", "-a", app, stdin=terminal, stdout=terminal, stderr=terminal
    ) as child:
        os.close(terminal)
        read_until(keyboard, "up, web.1\r\n")  # what is typed before the terminal is raw is thrown away
        os.write(keyboard, b"echo in $DYNO; tty\n")
        assert "/dev/pts/" in read_until(keyboard, "in web.1\r\n/dev/pts/")
        os.write(keyboard, b"exit 4\n")
        assert child.wait(60) == 4
    os.close(keyboard)


def test_what_does_not_run_cannot_be_entered(platform, app):
    for words in (
        ["run:inside", "web.9", "ls"],
        ["ps:copy", "-d", "web.9", "x"],
        ["ps:forward", "-d", "web.9", "1"],
    ):
        done = platform.dyno(*words, "-a", app, check=False)
        assert (done.returncode, "find" in done.stderr) == (1, True), done.stderr


def test_a_file_comes_out_whole(platform, app, tmp_path):
    script = "head -c 3000000 /dev/urandom > /tmp/data; sha256sum < /tmp/data"
    want = platform.dyno("run:inside", "web.1", "-a", app, script).stdout.split()[0]
    platform.dyno("ps:copy", "/tmp/data", "-a", app, cwd=tmp_path)
    done = subprocess.run(["sha256sum", tmp_path / "data"], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == want
    for name, why in (("/app", "it is a directory"), ("/nowhere", "there is no such file")):
        done = platform.dyno("ps:copy", name, "-a", app, "-o", str(tmp_path / "x"), check=False)
        assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_port_of_the_dyno_is_reached(platform, app):
    port = platform.dyno("run:inside", "web.1", "-a", app, "echo $PORT").stdout.strip()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        local = listener.getsockname()[1]
    with background(platform, "ps:forward", f"{local}:{port}", "-a", app, stderr=subprocess.PIPE) as child:
        read_until(child.stderr.fileno(), "CTRL+C")
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{local}/", timeout=60) as answer:
                assert answer.status == 200
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130


def test_sessions_end_with_their_dyno(platform, app):
    with background(
        platform, "run:inside", "web.1", "-a", app, "--", "echo up; exec sleep 1000",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        read_until(child.stdout.fileno(), "up")
        platform.dyno("ps:restart", "web.1", "-a", app)
        assert child.wait(60) in {137, 143}
    platform.until(lambda: platform.get(app)[0] == 200, app)


def test_a_one_off_that_ignores_its_clients_end_lives_on_detached(platform, app):
    words = ("run", "-a", app, "--", "trap '' HUP; echo up; exec sleep 1000")
    with background(platform, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        read_until(child.stdout.fileno(), "up")
        (name,) = [one["name"] for one in platform.json("ps", "-a", app) if one["type"] == "run"]
        with platform.tail(app, "--dyno-name", name) as next_line:
            child.kill()
            said = []
            while "R16" not in "".join(said):
                said.append(next_line().partition(": ")[2])
    closed = "Client connection closed. Sending SIGHUP to all processes"
    assert [line for line in said if "SIGHUP to all" in line] == [closed] * 3
    assert [one["state"] for one in platform.json("ps", "-a", app) if one["name"] == name] == ["up"]
    platform.dyno("ps:stop", name, "-a", app)
    platform.until(lambda: name not in platform.dyno("ps", "-a", app).stdout, app)


def test_one_eco_one_off_at_a_time(platform, app):
    first = platform.dyno("run:detached", "-a", app, "--size", "eco", "--json", "sleep 1000")
    done = platform.dyno("run:detached", "-a", app, "--size", "eco", "true", check=False)
    assert done.returncode == 1
    assert "cannot start another Eco one-off dyno of inside: 1 run and at most 1 may" in done.stderr
    name = json.loads(first.stdout)["name"]
    platform.dyno("ps:stop", name, "-a", app)
    platform.until(lambda: name not in platform.dyno("ps", "-a", app).stdout, app)
