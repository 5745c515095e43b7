"""What a router that waits costs: memory per idle connection and WebSocket, looking up one of 10,000 routes, stalls while a table of them
comes in; and two workers beside one.

Memory is the worker's own (PSS) before and after, both sides of each WebSocket included; what the kernel keeps for sockets is said apart, of
the whole machine. Stalls are told by a client that asks all the time: the slowest of its requests while tables come in, beside
the slowest while none does. `CONNECTIONS=1000` takes less time.
"""

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial

from benchmarks.loads import cpu_seconds
from benchmarks.peers import OTHER_CORE, PROXY_CORE, free_port, listening, started, wait_for
from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from dynod.model.settings import routes_socket
from dynod.wire import table as table_codec
from dynod.wire.rpc import Notification, encode
from router.link import AT_ONCE
from router.table import Routes

COUNT = int(os.environ.get("CONNECTIONS", "10000"))
ROUTES = 10_000
SWAPS = 15
FILES = 65_536
GET = b"GET / HTTP/1.1\r\nHost: app0.localhost\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: app0.localhost\r\nUser-Agent: idle\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Answers(asyncio.Protocol):
    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        if data.startswith(b"GET"):
            self._transport.write(SWITCHED if b"Upgrade: websocket" in data else HELLO)


class House:
    """A router of so many workers, its backend, and the table it has."""

    def __init__(self, home, stack, workers):
        self.run, self.state = f"{home}/run{workers}", f"{home}/state{workers}"
        os.makedirs(self.run)
        os.makedirs(f"{self.state}/router")
        self.backend = free_port()
        stack.enter_context(
            started(OTHER_CORE, [sys.executable, "-m", "benchmarks.idle", "backend", str(self.backend)])
        )
        wait_for(lambda: listening(self.backend), "the backend")
        with open(f"{self.state}/router/table", "wb") as file:
            file.write(table_codec.encode(self.table(1)))
        argv = [sys.executable, "-m", "router", "--run", self.run, "--state", self.state]
        core = PROXY_CORE if workers == 1 else f"{PROXY_CORE},{OTHER_CORE}"
        process = stack.enter_context(
            started(core, [*argv, "--listen", "127.0.0.1:0", "--workers", str(workers)])
        )
        wait_for(lambda: os.path.exists(f"{self.run}/router.json"), "the router")
        with open(f"{self.run}/router.json", encoding="utf-8") as file:
            told = json.load(file)
        self.port = int(told["listen"].rpartition(":")[2])
        self.master, self.workers = process.pid, told["pids"]

    def table(self, generation, routes=1):
        apps = {
            f"id-{n}": AppRoute(
                f"id-{n}",
                f"app{n}",
                Standing.SERVING,
                (Backend(f"dyno-{n}", "web.1", "127.0.0.1", self.backend),),
            )
            for n in range(routes)
        }
        return RouteTable(generation, apps, {f"app{n}.localhost": f"id-{n}" for n in range(routes)})


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024


def kernel():
    """Bytes in the buffers of all TCP sockets (proc(5)), and how many sockets there are."""
    with open("/proc/net/sockstat", encoding="ascii") as file:
        words = next(line for line in file if line.startswith("TCP:")).split()
    return int(words[words.index("mem") + 1]) * resource.getpagesize(), int(words[words.index("inuse") + 1])


def slab():
    """Bytes of the kernel's own structures."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Slab:"))


def ask(connection, words, until):
    connection.sendall(words)
    said = b""
    while not said.endswith(until):
        said += connection.recv(65_536)


def idle(home, what, count, words, until):
    """Open so many, have each answered once, and see what they cost a fresh worker while nothing happens."""
    with contextlib.ExitStack() as stack:
        house = House(f"{home}/{until.hex()}", stack, 1)
        pid = house.workers[0]
        for _ in range(20):  # what the first ones bring about is nobody's
            with socket.create_connection(("127.0.0.1", house.port)) as first:
                ask(first, words, until)
        before, (buffers, sockets), structures = pss(pid), kernel(), slab()
        for _ in range(count):
            ask(stack.enter_context(socket.create_connection(("127.0.0.1", house.port))), words, until)
        settled = asyncio.run(_settled(pid))
        each = (settled - before) / count
        after, there = kernel()
        print(
            f"{f'{count} {what}':<34} {each / 1024:9.1f} {15:6} {(slab() - structures) / count / 1024:10.1f}"
            f" {(after - buffers) / count / 1024:9.1f} {(there - sockets) / count:8.1f}"
        )


async def _settled(pid):
    """Read until the worker has sent its lines and grows no more."""
    last = 0
    while (now := pss(pid)) != last:
        last = now
        await asyncio.sleep(0.5)
    return now


def lookups():
    """Time a host that was not asked for before, in tables of three sizes."""
    print(f"\n{'routes':<34} {'ns per lookup':>14}")
    for routes in (10, 1000, ROUTES):
        backend = Backend("d", "web.1", "127.0.0.1", 1)
        apps = {
            f"id-{n}": AppRoute(f"id-{n}", f"app{n}", Standing.SERVING, (replace(backend, id=f"d{n}"),))
            for n in range(routes)
        }
        found = Routes(RouteTable(1, apps, {f"app{n}.localhost": f"id-{n}" for n in range(routes)}))
        hosts = [f"app{n * 7919 % routes}.localhost".encode() for n in range(10_000)]
        best = []
        for _ in range(7):
            began = time.thread_time()
            for host in hosts:
                found.find(host)
            best.append((time.thread_time() - began) / len(hosts) * 1e9)
        print(f"{routes:<34} {min(best):14.0f}")


class Asking(threading.Thread):
    """A client of its own thread that asks all the time and keeps how long each answer took."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self._port = port
        self.on = True
        self.took = []

    def run(self):
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self.on:
                began = time.perf_counter()
                ask(connection, GET, b"hello")
                self.took.append(time.perf_counter() - began)

    def slowest(self):
        took, self.took = self.took, []
        return max(took) * 1000


def turns():
    """Take the parts of a swap as link.py does, by the processor's time: what a neighbour on the machine does is left out."""
    route = partial(AppRoute, standing=Standing.SERVING)
    apps = {
        f"{n:036}": route(f"{n:036}", f"app{n}", backends=(Backend(f"d{n:035}", "web.1", "127.0.0.1", 1),))
        for n in range(ROUTES)
    }
    table = RouteTable(1, apps, {f"app{n}.localhost": f"{n:036}" for n in range(ROUTES)})
    decoder = table_codec.Decoder()
    held = decoder.decode(table_codec.encode(table))
    routes = Routes(held)
    steps, swaps = [], []
    for generation in range(2, 2 + SWAPS):
        reading = decoder.decoding(table_codec.encode(replace(table, generation=generation)))
        longest, over = 0.0, False
        while not over:
            spent, (held, over) = charged(partial(step, reading))
            longest = max(longest, spent)
        spent, routes = charged(partial(swapped, held, routes))
        steps.append(longest + AT_ONCE * 1000)
        swaps.append(spent)
    changes = []
    for generation in range(100, 100 + SWAPS):
        id = f"{generation:036}"
        after = replace(
            held, generation=generation, apps={**held.apps, id: replace(held.apps[id], backends=())}
        )
        data = table_codec.change(held, after)
        read, held = charged(partial(table_codec.changed, held, data))
        spent, routes = charged(partial(swapped, held, routes))
        changes.append(read + spent)
    print(
        f"\n{f'longest turn of the loop, ms of CPU, {ROUTES} routes':<50} {'median':>9} {'most':>9} {'asked':>6}"
    )
    for what, spent in (
        ("reading a whole table, between requests", steps),
        ("and routing by it", swaps),
        ("one app changed: reading and routing by it", changes),
    ):
        print(f"{what:<50} {statistics.median(spent):9.2f} {max(spent):9.2f} {2:6}")


def step(reading):
    try:
        next(reading)
    except StopIteration as end:
        return end.value, True
    return None, False


def swapped(table, before):
    routes = Routes(table, before)
    list(routes.left(before))
    return routes


def charged(deed):
    began = time.thread_time()
    made = deed()
    return (time.thread_time() - began) * 1000, made


def spread(home):
    """Two workers beside one at the same load: CPU per request, and how evenly the kernel spreads connections and requests.

    Twice the rate needs a core for each worker and one more for the load; with fewer, the price of a request is what can be told.
    """
    print(f"\n{'workers':<34} {'us/request':>10} {'requests/s':>11} {'shares of the work':>20}")
    found = {}
    for workers in (1, 2):
        with contextlib.ExitStack() as stack:
            house = House(f"{home}/spread", stack, workers)
            how = [
                "wrk",
                "-t1",
                "-c64",
                "-d3s",
                "-H",
                "Host: app0.localhost",
                f"http://127.0.0.1:{house.port}/",
            ]
            rounds, rates, shares = [], [], []
            for _ in range(5):
                before = [cpu_seconds(pid) for pid in house.workers]
                said = subprocess.run(how, check=True, capture_output=True, text=True).stdout
                spent = [cpu_seconds(pid) - was for pid, was in zip(house.workers, before, strict=True)]
                requests = int(re.search(r"(\d+) requests in", said)[1])
                rounds.append(sum(spent) / requests * 1e6)
                rates.append(requests / 3)
                shares.append(min(spent) / sum(spent))
            found[workers] = statistics.median(rounds)
            even = f"{min(shares):.0%} and more" if workers > 1 else "all"
            print(f"{workers:<34} {found[workers]:10.1f} {max(rates):11.0f} {even:>20}")
    print(
        f"two workers at {2 * found[1] / found[2]:.2f} x one's requests per CPU-second of two cores; asked: 1.8 x one's rate on two cores"
    )


def stalls(house):
    """Hand over table after table, whole as to a worker that connects, and with one app changed as at any deploy."""
    link = socket.socket(socket.AF_UNIX)
    link.bind(routes_socket(house.run))
    link.listen()
    worker, _ = link.accept()
    asking = Asking(house.port)
    asking.start()
    generation = 1
    rows = {}
    table = house.table(1, ROUTES)
    for what in ("no table", "a whole table", "one app changed"):
        slowest = []
        for _ in range(SWAPS):
            generation += 1
            asking.slowest() if asking.took else None
            if what == "no table":
                time.sleep(0.3)  # noqa: TID251  # as long as a swap takes
            else:
                if what == "a whole table":
                    table = replace(table, generation=generation)
                    message = whole(table)
                else:
                    message, table = change(table, generation)
                worker.sendall(message)
                applied(worker, generation)
                time.sleep(0.05)  # noqa: TID251  # the request that was stalled comes to its end
            slowest.append(asking.slowest())
        rows[what] = slowest
    asking.on = False
    asking.join()
    print(f"\n{f'slowest request, ms, {ROUTES} routes':<34} {'median':>9} {'least':>9} {'most':>9}")
    for what, slowest in rows.items():
        print(f"{what:<34} {statistics.median(slowest):9.2f} {min(slowest):9.2f} {max(slowest):9.2f}")


def whole(table):
    return encode(Notification("table", table_codec.encode(table)))


def change(table, generation):
    """Make what the control plane sends when one app has another dyno; return it, and the table that comes of it."""
    app = table.apps["id-5"]
    apps = {**table.apps, "id-5": replace(app, backends=(replace(app.backends[0], id=f"dyno-{generation}"),))}
    after = replace(table, generation=generation, apps=apps)
    return encode(Notification("change", table_codec.change(table, after))), after


def applied(worker, generation):
    said = b""
    wanted = encode(Notification("applied", [generation]))
    while wanted not in said:
        said += worker.recv(65_536)


def main():
    """Print the tables."""
    most = files()
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        print(f"{'':<34} {'KiB each':>9} {'asked':>6} {'kernel KiB':>10} {'buffers':>9} {'sockets':>8}")
        idle(home, "idle keep-alive connections", COUNT, GET, b"hello")
        idle(home, "idle WebSockets, both sides", min(COUNT, most // 2 - 100), UPGRADE, b"\r\n\r\n")
        lookups()
        turns()
        stalls(House(home, stack, 1))
        spread(home)


def files():
    """Have as many descriptors as may be; a container's root may not raise its limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < FILES:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
            return FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def backend(port):
    files()

    async def serve():
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port, backlog=1024)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    backend(int(sys.argv[2])) if sys.argv[1:2] == ["backend"] else main()
