"""Preboot under a running load: deploys, restarts and scales, and not one failed request (issue 3's promise, in small)."""

import json
import textwrap

import pytest
from support.load import Load

pytestmark = pytest.mark.e2e

APP = "steady"
ROUNDS = 3

SERVER = textwrap.dedent("""
    import http.server, os, signal, threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = os.environ["HEROKU_TEST_RELEASE"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler)
    server.daemon_threads = False  # what was begun is answered before the end
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    """)


@pytest.fixture(scope="module")
def steady(platform):
    """The platform with a prebooted app of two web dynos that end well."""
    tree = platform.clone("shell", APP)
    (tree / "httpd").write_text(SERVER)
    (tree / "Procfile").write_text("web: HEROKU_TEST_RELEASE=$(cat release) exec python3 httpd\n")
    (tree / "release").write_text("0")
    platform.commit(tree, "serve")
    platform.push(tree)
    platform.dyno("features:enable", "preboot", "-a", APP)
    platform.dyno("ps:scale", "web=2", "-a", APP)
    _settled(platform, 2)
    platform.tree = tree
    return platform


def _dynos(platform):
    return {dyno["name"]: (dyno["id"], dyno["state"]) for dyno in platform.json("ps", "-a", APP)}


def _settled(platform, count):
    platform.until(lambda: [state for _, state in _dynos(platform).values()] == ["up"] * count, APP)


def _replaced(platform, before):
    """Wait until every dyno is another one."""
    ids = {ident for ident, _ in before.values()}
    platform.until(lambda: not ids & {ident for ident, _ in _dynos(platform).values()}, APP)


def _fine(platform, load):
    """Wait for more answers; none may have failed. The message has what the router and the dyno manager said of it."""
    load.wait_more(50)
    lines = platform.dyno("logs", "-n", "1500", "-a", APP).stdout.splitlines()
    assert load.failed == [], "\n".join(line for line in lines if "heroku[web" in line or "code=" in line)


def test_deploys_restarts_and_scales_fail_no_request(steady):
    with Load(steady.ready["router"], APP) as load:
        for number in range(1, ROUNDS + 1):
            before = _dynos(steady)
            (steady.tree / "release").write_text(str(number))
            steady.commit(steady.tree, f"release {number}")
            steady.push(steady.tree)
            _replaced(steady, before)
            _fine(steady, load)

            before = _dynos(steady)
            steady.dyno("ps:restart", "-a", APP)
            _replaced(steady, before)
            _fine(steady, load)

            steady.dyno("ps:scale", "web=3", "-a", APP)
            _settled(steady, 3)
            _fine(steady, load)
            steady.dyno("ps:scale", "web=2", "-a", APP)
            _fine(steady, load)
            _settled(steady, 2)
    assert load.failed == []
    assert load.answered > 12 * ROUNDS
    assert steady.get(APP) == (200, str(ROUNDS))


def test_a_release_that_cannot_boot_leaves_the_old_one_serving(steady):
    before = _dynos(steady)
    procfile = steady.tree / "Procfile"
    procfile.write_text("web: echo I cannot; exit 1\n")
    steady.commit(steady.tree, "broken")
    with Load(steady.ready["router"], APP) as load, steady.tail(APP, "--dyno", "web.1") as next_line:
        steady.push(steady.tree)
        while "Process exited with status 1" not in next_line():
            pass
        load.wait_more(50)
    assert load.failed == []
    assert {ident for ident, _ in _dynos(steady).values()} == {ident for ident, _ in before.values()}
    newest = json.loads(steady.dyno("releases", "-a", APP, "--json").stdout)[0]
    assert newest["status"] == "succeeded"  # it was released; its dynos are tried again behind the old ones
