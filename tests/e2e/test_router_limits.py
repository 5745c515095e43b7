"""What dynod.toml says of the router reaches its workers: places at a dyno, those that wait, H11, connections of one address."""

import contextlib
import http.client
import socket
import threading
import urllib.parse

import pytest
from support import whole

pytestmark = pytest.mark.e2e

SETTINGS = (
    "router_workers = 2\nrouter_in_flight = 2\nrouter_backlog = 1\nrouter_connections_per_address = 20\n"
)
MANY = 12  # of which the two workers let in one each at once, and two each to wait
APP = """\
import os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock, busy, most = threading.Lock(), 0, 0
os.mkfifo("go")

def wait():
    with open("go") as fifo:
        fifo.read()
    go.set()

go = threading.Event()
threading.Thread(target=wait, daemon=True).start()

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        if self.path == "/":
            go.wait()
        with lock:
            busy -= 1
        text = str(most).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    base = tmp_path_factory.mktemp("l")
    base.chmod(0o755)
    (base / "dynod.toml").write_text(SETTINGS)
    made = whole.start(base, "--config", str(base / "dynod.toml"))
    yield made
    assert made.stop() == 0


def test_no_more_requests_reach_a_dyno_than_it_has_places_and_too_many_are_h11(platform):
    tree = platform.clone("shell", "busy")
    (tree / "server").write_text(APP)
    (tree / "Procfile").write_text("web: exec python3 server\n")
    platform.commit(tree, "serve")
    platform.push(tree)
    assert platform.get("busy", "/up")[0] == 200  # those that wait for a boot are not refused
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(platform.get("busy"))) for _ in range(MANY)]
    with platform.tail("busy") as next_line:
        for thread in threads:
            thread.start()
        refused = 0
        while refused < MANY - 6:  # more, if one worker got most of them
            refused += 'at=error code=H11 desc="Backlog too deep"' in next_line()
    platform.dyno("run:inside", "web.1", "-a", "busy", "--", "echo go > go")
    for thread in threads:
        thread.join()
    served = [int(text) for status, text in answers if status == 200]
    assert sorted({status for status, _ in answers}) == [200, 503]
    assert max(served) <= 2
    assert len(served) <= 6


def test_one_address_gets_so_many_connections(platform):
    """Twenty of each of the two workers: the hundredth connection has none left."""
    url = urllib.parse.urlsplit(platform.ready["router"])
    opened = [socket.create_connection((url.hostname, url.port)) for _ in range(100)]
    try:
        for one in opened:
            one.settimeout(60)
            one.sendall(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        answered = 0
        for one in opened:
            with contextlib.suppress(ConnectionError):
                answered += one.recv(12) == b"HTTP/1.1 404"
        assert 20 <= answered <= 40
        other = http.client.HTTPConnection(
            url.hostname, url.port, source_address=("127.0.0.9", 0), timeout=60
        )
        other.request("GET", "/", headers={"Host": "nobody.localhost"})
        assert other.getresponse().status == 404
        other.close()
    finally:
        for one in opened:
            one.close()
