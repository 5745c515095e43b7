"""TLS beside nginx: CPU per request over TLS 1.3, kept alive and with a new handshake each, and over HTTP/2; as benchmarks/proxy.py measures.

One ECDSA certificate for all, access logs on. HTTP/2 by h2load, where it is (nghttp2-client).
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial

from benchmarks import proxy
from benchmarks.proxy import (
    BACKEND,
    CONNECTIONS,
    OTHER_CORE,
    PROXY_CORE,
    ROUNDS,
    SECONDS,
    SINK,
    Contender,
    cpu_seconds,
    free_port,
    listening,
    started,
    wait_for,
    write,
)
from dynod.host.authority import authority, issue, pem
from dynod.host.certificates import key_text, moment, new_key
from dynod.model.certs import CertTable, Served
from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from dynod.wire import certs as certs_codec
from dynod.wire import table as table_codec

HOST = "localhost"  # what wrk asks for in its handshake is what stands in its address
NGINX = """
worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log {home}/access.log; keepalive_requests 100000000;
  client_body_temp_path {home}/nb; proxy_temp_path {home}/np;
  upstream back {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {home}/crt; ssl_certificate_key {home}/key; ssl_protocols TLSv1.3;
    location / {{
      proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
    }}
  }}
}}
"""


def certificate(home: str) -> Served:
    """Make one with its key, as nginx and the router want it."""
    from cryptography import x509

    now, key = moment(time.time()), new_key()
    made = issue(authority(f"{home}/ca", now), key, [x509.DNSName(HOST)], HOST, now)
    return Served(pem(made).decode(), key_text(key))


def wrk(how: list[str], port: int, seconds: int) -> tuple[int, float]:
    argv = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *how]
    said = subprocess.run(
        [*argv, f"https://{HOST}:{port}/hello"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in said:
        raise SystemExit(f"cannot measure: requests failed\n{said}")
    requests, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert requests
    assert rate
    return int(requests[1]), float(rate[1])


def h2load(port: int, seconds: int) -> tuple[int, float]:
    argv = [
        "taskset",
        "-c",
        str(OTHER_CORE),
        "h2load",
        "-c8",
        "-m10",
        f"-D{seconds}",
        f"https://{HOST}:{port}/hello",
    ]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    done = re.search(r"(\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said)
    if done is None or not int(done[1]):
        raise SystemExit(f"cannot measure: requests failed\n{said}")
    return int(done[1]), int(done[1]) / seconds


def measure(contenders: list[Contender], case: str, load) -> None:
    for contender in contenders:
        load(contender.port, 1)
    for _ in range(ROUNDS):
        for contender in contenders:
            before = cpu_seconds(contender.pid)
            requests, rate = load(contender.port, SECONDS)
            spent = cpu_seconds(contender.pid) - before
            contender.cpu.setdefault(case, []).append(spent / requests * 1e6)
            contender.rate.setdefault(case, []).append(rate)
    proxy.show(contenders, case)


def main() -> None:
    """Print the table."""
    missing = [name for name in ("wrk", "nginx", "taskset") if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"cannot measure TLS: {', '.join(missing)} missing (make bench installs them)")
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        os.chmod(home, 0o755)  # nginx's worker drops to another user
        served = certificate(home)
        for name, text in (("crt", served.chain), ("key", served.key)):
            write(f"{home}/{name}", text)
        backend = free_port()
        conf = write(f"{home}/backend.conf", BACKEND.format(home=home, port=backend))
        stack.enter_context(started(OTHER_CORE, ["nginx", "-c", conf]))
        wait_for(lambda: listening(backend), "the backend")
        run, state = f"{home}/run", f"{home}/state"
        os.makedirs(run)
        os.makedirs(f"{state}/router")
        route = AppRoute("bench", "bench", Standing.SERVING, (Backend("b", "web.1", "127.0.0.1", backend),))
        for name, data in (
            ("table", table_codec.encode(RouteTable(1, {"bench": route}, {HOST: "bench"}))),
            ("certs", certs_codec.encode(CertTable(1, (served,), {HOST: 0}))),
        ):
            with open(f"{state}/router/{name}", "wb") as file:
                file.write(data)
        stack.enter_context(started(OTHER_CORE, [sys.executable, "-c", SINK, f"{run}/logplex.sock"]))
        wait_for(lambda: os.path.exists(f"{run}/logplex.sock"), "the log sink")
        argv = [sys.executable, "-m", "router", "--run", run, "--state", state, "--workers", "1"]
        argv += ["--listen", "127.0.0.1:0", "--tls", "127.0.0.1:0"]
        process = stack.enter_context(started(PROXY_CORE, argv))
        wait_for(lambda: os.path.exists(f"{run}/router.json"), "the router")
        with open(f"{run}/router.json", encoding="utf-8") as file:
            port = int(json.load(file)["tls"].rpartition(":")[2])
        contenders = [Contender("router", port, process.pid)]
        port = free_port()
        conf = write(f"{home}/nginx.conf", NGINX.format(home=home, port=port, backend=backend))
        process = stack.enter_context(started(PROXY_CORE, ["nginx", "-c", conf]))
        wait_for(lambda port=port: listening(port), "nginx")
        contenders.append(Contender("nginx", port, process.pid))
        measure(contenders, "small GET over TLS 1.3, kept alive", partial(wrk, []))
        measure(
            contenders,
            "small GET over TLS 1.3, a new handshake each",
            partial(wrk, ["-H", "Connection: close"]),
        )
        if shutil.which("h2load"):
            measure(contenders, "small GET over HTTP/2, 8 connections of 10 streams", h2load)
        else:
            print("\nHTTP/2 not measured: h2load is missing (package nghttp2-client)")


if __name__ == "__main__":
    main()
