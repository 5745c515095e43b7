"""Eco apps fall asleep, worker and web, and wake on a request; others are frozen and thawed; without hours left none wakes."""

import os
import signal
import textwrap

import pytest
from support import whole

pytestmark = pytest.mark.e2e

WEB = textwrap.dedent("""
    import http.server, os

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = STARTED
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    STARTED = os.urandom(8).hex().encode()
    http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
    """)


def _platform(tmp_path_factory, *settings):
    base = tmp_path_factory.mktemp("z")
    base.chmod(0o755)
    (base / "dynod.toml").write_text("\n".join(settings))
    return whole.start(base, "--config", str(base / "dynod.toml"))


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A platform whose apps sleep after a second, with two apps of web and worker."""
    made = _platform(tmp_path_factory, "idle_after = 1.0")
    for app in ("sleepy", "frosty"):
        tree = made.clone("shell", app)
        (tree / "server").write_text(WEB)
        (tree / "Procfile").write_text("web: exec python3 server\nworker: exec sleep 1000000\n")
        made.commit(tree, "serve")
        made.push(tree)
    yield made
    assert made.stop() == 0


def _states(platform, app):
    return {dyno["name"]: dyno["state"] for dyno in platform.json("ps", "-a", app)}


def _asleep(platform, app):
    platform.until(lambda: set(_states(platform, app).values()) == {"idle"}, app)


def _said(next_line, process, last):
    """The platform's texts on a process, up to and with `last`."""
    texts = []
    while not texts or texts[-1] != last:
        who, _, text = next_line().partition(": ")
        if f"heroku[{process}]" in who:
            texts.append(text)
    return texts


def test_an_eco_app_sleeps_and_a_request_wakes_it(platform):
    with platform.tail("sleepy") as web, platform.tail("sleepy") as worker:
        platform.dyno("ps:scale", "web=1:eco", "worker=1:eco", "-a", "sleepy")
        before = _said(web, "web.1", "Process exited with status 143")
        for process, lines in (("web.1", web), ("worker.1", worker)):
            said = before if lines is web else _said(lines, process, "Process exited with status 143")
            if "Idling" not in said:  # that was the end of the dyno of the old size
                said = _said(lines, process, "Process exited with status 143")
            assert said[said.index("Idling") :] == [
                "Idling",
                "State changed from up to down",
                "Stopping all processes with SIGTERM",
                "Process exited with status 143",
            ]
        assert _states(platform, "sleepy") == {"web.1": "idle", "worker.1": "idle"}

        status, _ = platform.get("sleepy")
        assert status == 200
        for process, lines in (("web.1", web), ("worker.1", worker)):
            said = _said(lines, process, "State changed from starting to up")
            assert said[:2] == ["Unidling", "State changed from down to starting"]
            assert said[2].startswith("Starting process with command `exec ")
            assert len(said) == 4
    _asleep(platform, "sleepy")


def test_a_deploy_wakes_a_sleeping_app(platform):
    _asleep(platform, "sleepy")
    before = {dyno["id"] for dyno in platform.json("ps", "-a", "sleepy")}
    platform.dyno("config:set", "A=b", "-a", "sleepy")
    platform.until(
        lambda: not before & {dyno["id"] for dyno in platform.json("ps", "-a", "sleepy")}, "sleepy"
    )
    _asleep(platform, "sleepy")


def test_a_frozen_app_is_the_same_process_after_it_thawed(platform):
    platform.dyno("features:enable", "freeze-when-idle", "-a", "frosty")
    platform.dyno("ps:scale", "worker=1", "-a", "frosty")
    started = platform.get("frosty")
    assert started[0] == 200
    _asleep(platform, "frosty")
    for _ in range(2):
        assert platform.get("frosty") == started
        _asleep(platform, "frosty")
    with platform.tail("frosty") as lines:
        platform.dyno("ps:restart", "-a", "frosty")
        said = _said(lines, "web.1", "Process exited with status 143")
        assert (
            said.index("Idling") < said.index("Unidling") < said.index("Stopping all processes with SIGTERM")
        )
    after = platform.get("frosty")
    assert after[0] == 200
    assert after != started


def test_a_killed_daemon_leaves_sleepers_asleep_and_wakes_them_after_it_is_back(platform):
    _asleep(platform, "sleepy")
    _asleep(platform, "frosty")
    os.kill(platform.pids("control")[0], signal.SIGKILL)
    assert platform.get("sleepy")[0] == 200  # held until it is back
    assert platform.get("frosty")[0] == 200
    _asleep(platform, "sleepy")


def test_without_hours_left_requests_get_h82(tmp_path_factory):
    made = _platform(tmp_path_factory, "eco_hours = 0.0005")  # 1.8 seconds
    try:
        tree = made.clone("shell", "poor")
        made.push(tree)
        made.dyno("ps:scale", "web=1:eco", "-a", "poor")
        _asleep(made, "poor")
        with made.tail("poor") as lines:
            assert made.get("poor")[0] == 503
            while 'code=H82 desc="You\'ve used up your dyno hour pool"' not in lines():
                pass
        assert set(_states(made, "poor").values()) == {"idle"}
        assert "remaining this month: 0h 0m (0%)" in made.dyno("ps", "-a", "poor").stdout
        refused = made.dyno("run", "--size", "eco", "-a", "poor", "--", "true", check=False)
        assert (refused.returncode, "hours of this month are used up" in refused.stderr) == (1, True)
    finally:
        assert made.stop() == 0
