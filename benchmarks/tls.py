"""TLS 1.3 beside nginx, HAProxy and Caddy: CPU per request, kept alive and with a new handshake each, and over HTTP/2; as benchmarks/proxy.py
measures. One ECDSA certificate for all, access logs on.
"""

import contextlib
import tempfile

from benchmarks.loads import h2load, measure, summary, wrk
from benchmarks.peers import check, contenders
from benchmarks.proxy import CONNECTIONS


def main() -> None:
    """Print the tables."""
    check()
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        everyone = contenders(home, stack)
        for count in CONNECTIONS:
            case = f"small GET over TLS 1.3, kept alive, {count} connections"
            measure(everyone, case, wrk(count, tls=True))
            case = f"small GET over TLS 1.3, a new handshake each, {count} connections"
            measure(everyone, case, wrk(count, ["-H", "Connection: close"], tls=True))
        measure(everyone, "small GET over HTTP/2, 8 connections of 10 streams", h2load(8, 10))
        summary(everyone)


if __name__ == "__main__":
    main()
