"""The official `heroku` CLI switches what the router does with an app: affinity, keep-alive to dynos, maintenance, pages of one's own."""

import contextlib
import http.client
import os
import re
import urllib.parse

import pytest

from tests.e2e.heroku_client import MARKS, Heroku, fresh, heroku, programs, ready

__all__ = ["heroku", "programs", "ready"]  # fixtures
pytestmark = MARKS

APP = """\
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/none":
            self.close_connection = True
            return
        text = f"{os.environ['DYNO']} {self.client_address[1]} {self.headers['Connection']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
"""


class Browser:
    """One connection to the router, for an app, with at most one cookie."""

    def __init__(self, ready, app):
        self._host = f"{app}.localhost"
        self._http = http.client.HTTPConnection(urllib.parse.urlsplit(ready["router"]).netloc, timeout=100)
        self.cookie = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.close()

    def get(self, path="/"):
        headers = {"Host": self._host} | ({"Cookie": self.cookie} if self.cookie else {})
        self._http.request("GET", path, headers=headers)
        response = self._http.getresponse()
        return response.status, response.read().decode(), response.getheader("Set-Cookie")

    def dyno_and_port(self):
        status, text, _ = self.get()
        assert status == 200
        return text.split()[:2]


@pytest.fixture(scope="module")
def app(heroku):
    name, tree = fresh(), f"{heroku.home}/routed"
    os.mkdir(tree)
    for file, text in (("Procfile", "web: exec python3 answer\n"), ("answer", APP)):
        with open(f"{tree}/{file}", "w") as out:
            out.write(text)
    heroku.git("init", "-q", "-b", "main", cwd=tree)
    heroku.git("add", ".", cwd=tree)
    heroku.git("commit", "-qm", "First", cwd=tree)
    heroku("apps:create", name, cwd=tree)
    heroku.git("push", "heroku", "main", cwd=tree)
    made = Heroku(heroku.env, heroku.home, name)
    made.on("ps:wait")
    yield made
    heroku("apps:destroy", "-a", name, "--confirm", name)


@pytest.fixture
def opened(app, ready):
    """Open connections to the app; they are closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(Browser(ready, app.app))


def test_a_browser_stays_with_a_dyno_while_the_app_wants_it(app, opened):
    app.on("ps:scale", "web=3")
    app.on("ps:wait")
    browser = opened()
    assert browser.get()[2] is None
    assert "... done" in app.on("features:enable", "http-session-affinity")
    status, text, told = browser.get()
    assert status == 200
    assert re.fullmatch(
        r"heroku-session-affinity=[A-Za-z0-9_-]{43}; Version=1; Expires=\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT; Max-Age=86400; "
        rf"Domain={app.app}\.localhost; Path=/; HttpOnly",
        told,
    )
    browser.cookie = told.partition(";")[0]
    home = text.split()[0]
    for _ in range(20):
        _, text, told = browser.get()
        assert (text.split()[0], told) == (home, None)
    app.on("ps:restart", "--dyno-name", home)
    app.on("ps:wait")
    _, _, told = browser.get()
    assert told.partition(";")[0] not in {"", browser.cookie}
    assert "... done" in app.on("features:disable", "http-session-affinity")
    assert browser.get()[2] is None
    app.on("ps:scale", "web=1")


def test_connections_to_dynos_are_kept_unless_the_app_does_not_want_it(app, opened):
    app.on("ps:scale", "web=1")
    app.on("ps:wait")
    browser = opened()
    assert len({tuple(browser.dyno_and_port()) for _ in range(5)}) == 1
    assert browser.get()[1].endswith(" None")
    assert "... done" in app.on("labs:enable", "http-disable-keepalive-to-dyno")
    assert browser.get()[1].endswith(" close")
    assert len({tuple(browser.dyno_and_port()) for _ in range(5)}) == 5
    assert "... done" in app.on("labs:disable", "http-disable-keepalive-to-dyno", "--confirm", app.app)
    browser.get()
    assert len({tuple(browser.dyno_and_port()) for _ in range(5)}) == 1


def test_maintenance_and_errors_show_the_apps_own_pages(app, opened):
    app.on("ps:wait")
    browser = opened()
    app.on("maintenance:on")
    status, text, _ = browser.get()
    assert (status, "Offline for Maintenance" in text, "iframe" in text) == (503, True, False)
    app.on("config:set", "MAINTENANCE_PAGE_URL=https://m.example/?a=1&b", "ERROR_PAGE_URL=https://e.example/")
    assert '<iframe src="https://m.example/?a=1&amp;b">' in browser.get()[1]
    app.on("maintenance:off")
    app.on("ps:wait")
    browser = opened()
    assert browser.get()[0] == 200
    status, text, _ = browser.get("/none")
    assert (status, '<iframe src="https://e.example/">' in text) == (503, True)
    said = app.on("logs", "--num", "100", "--source", "heroku", "--dyno-name", "router")
    assert re.search(r'at=info code=H80 desc="Maintenance mode" method=GET path="/" ', said)
    assert re.search(
        r'at=error code=H13 desc="Connection closed without response" method=GET path="/none" ', said
    )
