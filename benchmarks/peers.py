"""The contenders: the router, nginx, HAProxy and Caddy as reverse proxies with keep-alive to the same backends, access logs on, one core each.

Settings are Debian's defaults but for what a reverse proxy has to be told, what makes the work alike (forwarding headers, a request id)
and what would hold a peer back: pools as large as the load, and uploads that nginx streams, as the others do, in place of files.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dynod.host.authority import authority, issue, pem
from dynod.host.certificates import key_text, moment, new_key
from dynod.model.certs import CertTable, Served
from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from dynod.wire import certs as certs_codec
from dynod.wire import table as table_codec

HOST = "localhost"  # what a TLS client asks for is what stands in its address
PARTS = "parts.localhost"  # the backend for uploads and WebSockets, which the peers tell by path
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, OTHER_CORE = CORES[0], CORES[-1]
ONE, BOTH = (1, str(PROXY_CORE)), (2, f"{PROXY_CORE},{OTHER_CORE}")  # so many workers, on these cores
NEEDED = ("wrk", "h2load", "nginx", "taskset")

BACKEND = """
worker_processes 1; daemon off; pid {home}/backend.pid; error_log {home}/backend.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h; server {{ listen 127.0.0.1:{port} backlog=4096;
  location / {{ return 200 "hello, world\\n"; }}
  location /varied {{ add_header X-Trace $request_id; return 200 "hello, world\\n"; }}
  location /64k {{ root {home}; }}
}} }}
"""
NGINX = """
worker_processes {workers}; daemon off; pid {home}/nginx.{workers}.pid; error_log {home}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log {home}/access.log; keepalive_requests 100000000;
  client_body_temp_path {home}/nb; proxy_temp_path {home}/np; client_max_body_size 0;
  proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
  upstream back {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 100000000; }}
  upstream parts {{ server 127.0.0.1:{parts}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {home}/both.pem; ssl_certificate_key {home}/both.pem; ssl_protocols TLSv1.3;
    location / {{ proxy_pass http://back; }}
    location /upload {{ proxy_pass http://parts; proxy_request_buffering off; }}
    location /echo {{
      proxy_pass http://parts; proxy_set_header Host $http_host;
      proxy_set_header Connection "Upgrade"; proxy_set_header Upgrade $http_upgrade;
    }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 4096
  log {home}/datagrams local0
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend all
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{tls} ssl crt {home}/both.pem alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Request-Id %[uuid]
  use_backend parts if {{ path_beg /upload /echo }}
  default_backend back
backend back
  server b 127.0.0.1:{backend}
backend parts
  server p 127.0.0.1:{parts}
"""
CADDY = """
{{
  admin off
  auto_https off
  servers {{
    protocols h1 h2
  }}
}}
(all) {{
  bind 127.0.0.1
  log {{
    output file {home}/caddy.log
  }}
  reverse_proxy /upload* 127.0.0.1:{parts}
  reverse_proxy /echo* 127.0.0.1:{parts}
  reverse_proxy 127.0.0.1:{backend} {{
    transport http {{
      keepalive_idle_conns_per_host 512
    }}
  }}
}}
http://:{port} {{
  import all
}}
https://:{tls} {{
  tls {home}/both.pem {home}/both.pem {{
    protocols tls1.3 tls1.3
  }}
  import all
}}
"""


@dataclass
class Contender:
    """`pid` and its descendants are charged; `cpu` and `rate` collect a figure per round and case."""

    name: str
    port: int
    tls: int
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


@contextlib.contextmanager
def started(core: int | str, argv: list[str], **more: object) -> Iterator[subprocess.Popen[bytes]]:
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


def certificate(home: str) -> Served:
    """Make one ECDSA certificate with its key for all contenders."""
    from cryptography import x509

    now, key = moment(time.time()), new_key()
    made = issue(authority(f"{home}/ca", now), key, [x509.DNSName(HOST)], HOST, now)
    served = Served(pem(made).decode(), key_text(key))
    write(f"{home}/both.pem", served.chain + served.key)
    return served


class Around:
    """Backends, sink and certificate, in place before the first contender starts."""

    def __init__(self, home: str, stack: contextlib.ExitStack) -> None:
        self.home = home
        self.log = f"{home}/logplex.sock"
        self.backend, self.parts = free_port(), free_port()
        os.chmod(home, 0o755)  # nginx's worker drops to another user
        write(f"{home}/64k", "x" * 65536)
        self.served = certificate(home)
        conf = write(f"{home}/backend.conf", BACKEND.format(home=home, port=self.backend))
        parts = [sys.executable, "-m", "benchmarks.parts"]
        stack.enter_context(started(OTHER_CORE, ["nginx", "-c", conf]))
        stack.enter_context(started(OTHER_CORE, [*parts, "backend", str(self.parts)]))
        stack.enter_context(started(OTHER_CORE, [*parts, "sink", self.log, f"{home}/datagrams"]))
        wait_for(lambda: listening(self.backend) and listening(self.parts), "the backends")
        wait_for(lambda: os.path.exists(self.log), "the log sink")

    def words(self, workers: int) -> dict[str, object]:
        """Give the places of a configuration; its ports are its own."""
        return {
            "workers": workers,
            "home": self.home,
            "backend": self.backend,
            "parts": self.parts,
            "port": free_port(),
            "tls": free_port(),
        }


def router(around: Around, stack: contextlib.ExitStack, where: tuple[int, str] = ONE) -> Contender:
    workers, cores = where
    run, state = f"{around.home}/run{workers}", f"{around.home}/state{workers}"
    os.makedirs(run)
    os.makedirs(f"{state}/router")
    os.symlink(around.log, f"{run}/logplex.sock")
    routes = {
        name: AppRoute(name, name, Standing.SERVING, (Backend(name, "web.1", "127.0.0.1", port),))
        for name, port in (("bench", around.backend), ("parts", around.parts))
    }
    for name, data in (
        ("table", table_codec.encode(RouteTable(1, routes, {HOST: "bench", PARTS: "parts"}))),
        ("certs", certs_codec.encode(CertTable(1, (around.served,), {HOST: 0}))),
    ):
        with open(f"{state}/router/{name}", "wb") as file:
            file.write(data)
    argv = [sys.executable, "-m", "router", "--run", run, "--state", state, "--workers", str(workers)]
    argv += ["--listen", "127.0.0.1:0", "--tls", "127.0.0.1:0"]
    process = stack.enter_context(started(cores, argv))
    wait_for(lambda: os.path.exists(f"{run}/router.json"), "the router")
    with open(f"{run}/router.json", encoding="utf-8") as file:
        told = json.load(file)
    port, tls = (int(told[key].rpartition(":")[2]) for key in ("listen", "tls"))
    return Contender("router", port, tls, process.pid)


def peer(
    name: str,
    text: str,
    argv: list[str],
    around: Around,
    stack: contextlib.ExitStack,
    where: tuple[int, str] = ONE,
) -> Contender:
    workers, cores = where
    words = around.words(workers)
    conf = write(f"{around.home}/{name}{workers}.conf", text.format(**words))
    env = {**os.environ, "HOME": around.home}
    process = stack.enter_context(started(cores, [*argv, conf], env=env))
    port, tls = int(str(words["port"])), int(str(words["tls"]))
    wait_for(lambda: listening(port) and listening(tls), name)
    return Contender(name, port, tls, process.pid)


def contenders(home: str, stack: contextlib.ExitStack) -> list[Contender]:
    """Start them all; those that are not installed are missing from the tables."""
    around = Around(home, stack)
    made = [router(around, stack)]
    for name, text, argv in (
        ("nginx", NGINX, ["nginx", "-c"]),
        ("haproxy", HAPROXY, ["haproxy", "-db", "-f"]),
        ("caddy", CADDY, ["caddy", "run", "--adapter", "caddyfile", "--config"]),
    ):
        if shutil.which(name):
            made.append(peer(name, text, argv, around, stack))
    return made


def check() -> None:
    """Refuse to begin without what no table can do without."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"cannot measure: {', '.join(missing)} missing (make bench installs them)")
