"""The router beside nginx, HAProxy and Caddy: CPU per request of several kinds at 1, 32 and 256 connections, and latency at half of
nginx's highest rate. One run, same backends, same pinning: the proxy has one core, all else the other (peers.py, loads.py).

ROUNDS=9 asks for more rounds, CONNECTIONS=32 for fewer rows; `measure` is all that a new row needs.
"""

import contextlib
import os
import tempfile

from benchmarks.loads import echo, measure, show_latencies, summary, wrk
from benchmarks.peers import HOST, PARTS, check, contenders, write

CONNECTIONS = [int(word) for word in os.environ.get("CONNECTIONS", "1 32 256").split()]
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
VARIED = f"""
local count = 0
request = function()
  count = count + 1
  return wrk.format("GET", "/varied?" .. count, {{ Host = "{HOST}", ["X-Trace"] = "trace-" .. count }})
end
"""
UPLOAD = f"""
wrk.method = "POST"
wrk.headers["Host"] = "{PARTS}"
wrk.body = string.rep("x", 1048576)
"""


def main() -> None:
    """Print the tables."""
    check()
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        everyone = contenders(home, stack)
        varied = write(f"{home}/varied.lua", VARIED)
        upload = write(f"{home}/upload.lua", UPLOAD)
        browser = [word for header in BROWSER for word in ("-H", header)]
        for count in CONNECTIONS:
            measure(everyone, f"small GET, {count} connections", wrk(count))
        for count in CONNECTIONS:
            case = f"GET with a browser's headers, {count} connections"
            measure(everyone, case, wrk(count, browser))
            case = f"small GET, no two heads the same, {count} connections"
            measure(everyone, case, wrk(count, ["-s", varied]))
            measure(everyone, f"64 KiB response, {count} connections", wrk(count, path="64k"))
            case = f"1 MiB upload, {count} connections"
            measure(everyone, case, wrk(count, ["-s", upload], path="upload"), seconds=3)
            measure(everyone, f"WebSocket echo of 62 bytes, {count} connections", echo(count), seconds=3)
        summary(everyone)
        nginx = next(one for one in everyone if one.name == "nginx")
        for count in CONNECTIONS:
            rates = nginx.rate.get(f"small GET, {count} connections")
            if rates:
                show_latencies(everyone, count, max(rates) / 2)


if __name__ == "__main__":
    main()
