"""The router beside nginx and Caddy: CPU per small keep-alive request, access logs on everywhere, same backend, same pinning.

The proxy has one core, backend, load generator and log sink have the other. CPU is what the kernel charged to the proxy's processes
(/proc/PID/schedstat). Rounds are short and interleaved; a ratio is the median of the rounds' own ratios, so that what disturbs one
round disturbs both sides of it. `least` is the round with the fewest disturbances.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from dynod.wire import table as table_codec

HOST = "bench.localhost"
CONNECTIONS = 32
SECONDS = 1
ROUNDS = 9
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, OTHER_CORE = CORES[0], CORES[-1]
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br",
    "Accept-Language: en-US,en;q=0.9",
    "Cache-Control: max-age=0",
    "Sec-Fetch-Site: none",
    "Sec-Fetch-Mode: navigate",
    "Cookie: session=abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
)

BACKEND = """
worker_processes 1; daemon off; pid {home}/backend.pid; error_log {home}/backend.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{port};
  location / {{ return 200 "hello, world\\n"; }}
  location /varied {{ add_header X-Trace $request_id; return 200 "hello, world\\n"; }}
}} }}
"""
VARIED = """
local count = 0
request = function()
  count = count + 1
  return wrk.format("GET", "/varied?" .. count, {{ Host = "{host}", ["X-Trace"] = "trace-" .. count }})
end
"""
NGINX = """
worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log {home}/access.log; keepalive_requests 100000000;
  client_body_temp_path {home}/nb; proxy_temp_path {home}/np;
  upstream back {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
    }}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  log {{
    output file {home}/caddy.log
  }}
  reverse_proxy 127.0.0.1:{backend}
}}
"""
SINK = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(8)
import threading
def drain(conn):
    while conn.recv(1 << 20): pass
while True: threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()
"""


@dataclass
class Contender:
    """`pid` and its descendants are charged; `cpu` and `rate` collect a figure per round."""

    name: str
    port: int
    pid: int
    cpu: dict[str, list[float]] = field(default_factory=dict)
    rate: dict[str, list[float]] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ready: Callable[[], bool], what: str) -> None:
    for _ in range(500):
        if ready():
            return
        time.sleep(0.02)  # noqa: TID251  # programs that are not ours tell nobody when they are up
    raise SystemExit(f"cannot start {what}")


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    return [pid, *(deeper for child in children for deeper in descendants(child))]


def cpu_seconds(root: int) -> float:
    total = 0
    for pid in descendants(root):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total / 1e9


@contextlib.contextmanager
def started(core: int, argv: list[str], **more: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write(path: str, text: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def load(port: int, how: list[str], seconds: int) -> tuple[int, float]:
    """Run wrk; return how many requests were answered with 200 and how many per second."""
    argv = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *how]
    said = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}/hello"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"cannot measure: requests failed\n{said}")
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert requests
    assert rate
    return int(requests[1]), float(rate[1])


def measure(contenders: list[Contender], case: str, how: list[str]) -> None:
    for contender in contenders:
        load(contender.port, how, 1)
    for _ in range(ROUNDS):
        for contender in contenders:
            before = cpu_seconds(contender.pid)
            requests, rate = load(contender.port, how, SECONDS)
            spent = cpu_seconds(contender.pid) - before
            contender.cpu.setdefault(case, []).append(spent / requests * 1e6)
            contender.rate.setdefault(case, []).append(rate)


def router(home: str, backend: int) -> tuple[list[str], str]:
    run, state = f"{home}/run", f"{home}/state"
    os.makedirs(run)
    os.makedirs(f"{state}/router")
    route = AppRoute("bench", "bench", Standing.SERVING, (Backend("b", "web.1", "127.0.0.1", backend),))
    with open(f"{state}/router/table", "wb") as file:
        file.write(table_codec.encode(RouteTable(1, {"bench": route}, {HOST: "bench"})))
    argv = [
        sys.executable,
        "-m",
        "router",
        "--run",
        run,
        "--state",
        state,
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "1",
    ]
    return argv, run


def show(contenders: list[Contender], case: str) -> None:
    print(f"\n{case}: CPU per request, one core, {CONNECTIONS} keep-alive connections, access log on")
    print(f"{'proxy':<10} {'us/request':>11} {'least':>7} {'requests/s':>11} {'x nginx':>8} {'x Caddy':>8}")
    rounds = {contender.name: contender.cpu[case] for contender in contenders}
    for contender in contenders:
        own = rounds[contender.name]
        over = [ratio(own, rounds.get(name)) for name in ("nginx", "caddy")]
        rate = max(contender.rate[case])
        print(
            f"{contender.name:<10} {statistics.median(own):11.1f} {min(own):7.1f} {rate:11.0f} {' '.join(over)}"
        )


def ratio(own: list[float], other: list[float] | None) -> str:
    if other is None:
        return f"{'-':>8}"
    return f"{statistics.median(mine / theirs for mine, theirs in zip(own, other, strict=True)):8.2f}"


def main() -> None:
    """Print the table."""
    missing = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    if missing:
        raise SystemExit(
            f"cannot measure the router: {', '.join(missing)} missing (make bench installs them)"
        )
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        os.chmod(home, 0o755)  # nginx's worker drops to another user
        backend = free_port()
        conf = write(f"{home}/backend.conf", BACKEND.format(home=home, port=backend))
        stack.enter_context(started(OTHER_CORE, ["nginx", "-c", conf]))
        wait_for(lambda: listening(backend), "the backend")
        argv, run = router(home, backend)
        stack.enter_context(started(OTHER_CORE, [sys.executable, "-c", SINK, f"{run}/logplex.sock"]))
        wait_for(lambda: os.path.exists(f"{run}/logplex.sock"), "the log sink")
        process = stack.enter_context(started(PROXY_CORE, argv))
        wait_for(lambda: os.path.exists(f"{run}/router.json"), "the router")
        with open(f"{run}/router.json", encoding="utf-8") as file:
            port = int(json.load(file)["listen"].rpartition(":")[2])
        contenders = [Contender("router", port, process.pid)]
        port = free_port()
        conf = write(f"{home}/nginx.conf", NGINX.format(home=home, port=port, backend=backend))
        process = stack.enter_context(started(PROXY_CORE, ["nginx", "-c", conf]))
        wait_for(lambda port=port: listening(port), "nginx")
        contenders.append(Contender("nginx", port, process.pid))
        if shutil.which("caddy"):
            port = free_port()
            conf = write(f"{home}/Caddyfile", CADDY.format(home=home, port=port, backend=backend))
            argv = ["caddy", "run", "--adapter", "caddyfile", "--config", conf]
            process = stack.enter_context(started(PROXY_CORE, argv, env={**os.environ, "HOME": home}))
            wait_for(lambda port=port: listening(port), "Caddy")
            contenders.append(Contender("caddy", port, process.pid))
        script = write(f"{home}/varied.lua", VARIED.format(host=HOST))
        cases = {
            "small GET": ["-H", f"Host: {HOST}"],
            "GET with a browser's headers": [
                word for header in (f"Host: {HOST}", *BROWSER) for word in ("-H", header)
            ],
            "small GET, no two heads the same, neither request nor response": ["-s", script],
        }
        for case, how in cases.items():
            measure(contenders, case, how)
            show(contenders, case)


if __name__ == "__main__":
    main()
