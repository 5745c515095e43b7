"""A new version takes over from the old one, program by program, while requests and dynos go on: nothing is failed, ended or lost."""

import json
import re
import textwrap
from pathlib import Path

import pytest
from support import services
from support.load import Load

pytestmark = pytest.mark.e2e

APP = "lasting"
FIRST, NEXT = "0.0.1", "99.0.0"
MORE = '    known_later: str = "said by 99"\n'
WEB = textwrap.dedent("""
    import http.server, os, signal, threading

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler)
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    """)
WORKER = textwrap.dedent("""
    import os, signal, threading

    kept, over = [], threading.Event()

    def eat(*_):
        kept.append(bytearray(b"x") * (80 << 20))

    signal.signal(signal.SIGUSR1, eat)
    signal.signal(signal.SIGUSR2, lambda *_: os._exit(7))
    count = 0
    while True:
        print("counted", count, flush=True)
        count += 1
        over.wait(0.01)
    """)


@pytest.fixture
def served(tmp_path):
    tmp_path.chmod(0o755)
    base = tmp_path / "b"
    base.mkdir()
    made = services.Served(
        base, services.checkout(tmp_path / "current", FIRST), "[sizes.small]", 'memory = "64MB"'
    )
    try:
        deploy(made)
        yield made
    finally:
        made.stop()


def deploy(made):
    tree = made.clone("shell", APP)
    (tree / "server").write_text(WEB)
    (tree / "counter").write_text(WORKER)
    (tree / "Procfile").write_text("web: exec python3 server\nworker: exec python3 counter\n")
    made.commit(tree, "serve")
    made.push(tree)
    made.dyno("features:enable", "preboot", "-a", APP)
    made.dyno("ps:scale", "web=2", "worker=1:small", "-a", APP)
    made.until(lambda: set(states(made).values()) == {"up"} and len(states(made)) == 3, APP)


def dynos(platform):
    return {dyno["name"]: dyno["id"] for dyno in platform.json("ps", "-a", APP)}


def states(platform):
    return {dyno["name"]: dyno["state"] for dyno in platform.json("ps", "-a", APP)}


def inside(platform, dyno, *words):
    return platform.dyno("run:inside", "-a", APP, dyno, "--", *words).stdout


def births(platform):
    """When PID 1 and the app of each dyno began, as they see it themselves."""
    return {name: inside(platform, name, "stat", "-c", "%Y", "/proc/1") for name in dynos(platform)}


def counted(platform):
    lines = platform.dyno("logs", "-a", APP, "-n", "1500", "--dyno", "worker.1").stdout
    return [int(number) for number in re.findall(r"app\[worker\.1\]: counted (\d+)$", lines, re.MULTILINE)]


def test_make_install_over_an_older_version_fails_no_request_and_ends_no_dyno(served, tmp_path):
    new = services.checkout(tmp_path / "new", NEXT)
    file = new / "dynod/jail/records.py"  # the next version knows more of a dyno
    file.write_text(re.sub(r"    inodes: int = 0\n", rf"\g<0>{MORE}", file.read_text()))
    ids, began = dynos(served), births(served)
    with Load(served.ready["router"], APP) as load:
        served.upgrade(new)
        assert served.version() == NEXT
        load.wait_more(200)
        assert load.failed == []

        # the same dynos, and the new host does for them all that the old one did
        assert dynos(served) == ids
        assert births(served) == began
        assert set(states(served).values()) == {"up"}
        numbers = counted(served)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert inside(served, "web.1", "echo", "hello") == "hello\n"

        with served.tail(APP, "--dyno", "worker.1") as lines:
            inside(served, "worker.1", "pkill", "-USR1", "-f", "counter")
            while "Error R14 (Memory quota exceeded)" not in lines():
                pass
            inside(served, "worker.1", "pkill", "-USR2", "-f", "counter")
            while "Process exited with status 7" not in lines():
                pass

        # the old ones leave as they cycle
        served.dyno("ps:restart", "-a", APP)
        served.until(lambda: renewed(served, ids), APP)
        assert [record(served, dyno)["known_later"] for dyno in dynos(served).values()] == ["said by 99"] * 3

        # and who goes back to the old version keeps the dynos of the new one
        ids, began = dynos(served), births(served)
        served.upgrade(services.checkout(tmp_path / "again", FIRST))
        assert served.version() == FIRST
        load.wait_more(200)
        assert (dynos(served), births(served)) == (ids, began)
        assert load.failed == []


def renewed(platform, ids):
    return not set(ids.values()) & set(dynos(platform).values()) and set(states(platform).values()) == {"up"}


def record(platform, dyno):
    return json.loads(Path(f"{platform.run}/host/{dyno}/record").read_text())


def test_an_upgrade_has_every_unit_and_who_is_asked_before_who_asks():
    order = [unit for unit, _ in services.upgrade_order()]
    assert sorted(order) == sorted(path.stem for path in services.UNITS.glob("*.service"))
    for asked in ("dyno-net", "dyno-host", "dyno-logplex"):
        assert order.index(asked) < order.index("dynod")
