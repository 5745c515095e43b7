"""What sleep costs the first request: a frozen app thawed, a stopped one started, beside the same app awake.

A whole `dynod up` whose apps sleep after a third of a second, one app of a small Python server, one keep-alive connection to the router.
"thawed": with freeze-when-idle; asked once the dyno host has done with it, memory reclaimed and all (`at once`: the request after the next
one, when the app has its pages back). "woken": the dyno was stopped, so the app starts anew; "own start" is what the same command takes
outside, from exec to the port that accepts, and "ours" is the difference. The goals are 5 ms to thaw and 50 ms of ours to wake.
"""

import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

from dynod.jail import packets
from tests.support.whole import Whole

ROUNDS = 15
APP = "sleeper"
SERVER = """
import os, socket
server = socket.create_server(("0.0.0.0", int(os.environ["PORT"])), backlog=64)
while True:
    taken, _ = server.accept()
    while taken.recv(65536):
        taken.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
"""
COMMAND = "exec python3 -I server"


def main():
    if os.geteuid() != 0:
        print("cannot measure wakes: needs root")
        return
    with tempfile.TemporaryDirectory(prefix="wake-") as base:
        os.chmod(base, 0o755)
        Path(base, "dynod.toml").write_text("idle_after = 0.33\n")
        platform = Whole(base, "--config", f"{base}/dynod.toml").wait_ready()
        try:
            measure(platform)
        finally:
            platform.stop()


def measure(platform):
    tree = platform.clone("shell", APP)
    (tree / "server").write_text(SERVER)
    (tree / "Procfile").write_text(f"web: {COMMAND}\n")
    platform.commit(tree, "serve")
    platform.push(tree)
    platform.dyno("features:enable", "freeze-when-idle", "-a", APP)
    rows = {"awake": awake(platform), **thawed(platform)}
    platform.dyno("features:disable", "freeze-when-idle", "-a", APP)
    platform.dyno("ps:scale", "web=1:eco", "-a", APP)
    rows["woken"] = woken(platform)
    rows["own start"] = [own_start(tree) for _ in range(ROUNDS)]
    print(f"ms from a request to its answer, {ROUNDS} each")
    print(f"{'':<12}{'p50':>9}{'p95':>9}{'least':>9}")
    for name, values in rows.items():
        p95 = statistics.quantiles(values, n=20)[-1]
        print(f"{name:<12}{statistics.median(values):>9.2f}{p95:>9.2f}{min(values):>9.2f}")
    ours = statistics.median(rows["woken"]) - statistics.median(rows["own start"])
    thaw = statistics.median(rows["thawed"]) - statistics.median(rows["awake"])
    print(f"thaw: {thaw:.2f} ms more than awake (goal 5); wake: {ours:.2f} ms of ours (goal 50)")


def asking(platform):
    url = urllib.parse.urlsplit(platform.ready["router"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=80)
    connection.connect()
    return contextlib.closing(connection)


def ask(connection):
    """Give the milliseconds of one request."""
    begun = time.perf_counter()
    connection.request("GET", "/", headers={"Host": f"{APP}.localhost"})
    answer = connection.getresponse()
    answer.read()
    taken = (time.perf_counter() - begun) * 1000
    if answer.status != 200:
        raise SystemExit(f"cannot measure wakes: the app answered {answer.status}")
    return taken


def awake(platform):
    with asking(platform) as connection:
        ask(connection)
        return [ask(connection) for _ in range(ROUNDS)]


def thawed(platform):
    first, second = [], []
    for _ in range(ROUNDS):
        asleep(platform)
        frozen(platform)
        with asking(platform) as connection:
            first.append(ask(connection))
            second.append(ask(connection))
    return {"thawed": first, "at once": second}


def woken(platform):
    times = []
    for _ in range(ROUNDS):
        with platform.tail(APP) as lines:
            asleep(platform)
            while "Process exited with status 143" not in lines():
                pass
        with asking(platform) as connection:
            times.append(ask(connection))
    return times


def asleep(platform):
    platform.until(lambda: {each["state"] for each in platform.json("ps", "-a", APP)} == {"idle"}, APP)


def frozen(platform):
    """Ask the dyno host for what it does already: its answer comes when that is done."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as host:
        host.connect(f"{platform.run}/host.sock")
        packets.widen(host)
        packets.send(host, {"op": "list", "seq": 1})
        rows = packets.receive(host)[0]["dynos"]
        for row in rows:
            if row["frozen"]:
                packets.send(host, {"op": "freeze", "seq": 2, "id": row["id"]})
                packets.receive(host)


def own_start(tree):
    """Give the milliseconds from exec until the port accepts, outside of everything."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.perf_counter()
    argv = ["bash", "-c", COMMAND]
    with subprocess.Popen(argv, cwd=tree, env={"PATH": "/usr/bin:/bin", "PORT": str(port)}) as child:
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
        taken = (time.perf_counter() - begun) * 1000
        child.kill()
    return taken
