"""The standard library alone: a slow chunked answer, and uploads of any size that are hashed as they come and never kept."""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CHUNK = 64 * 1024
PAGE = b"GET /stream?chunks=10&pause=1 answers slowly; PUT or POST /upload takes a file of any size\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/stream":
            query = parse_qs(url.query)
            self.stream(int(query.get("chunks", ["10"])[0]), float(query.get("pause", ["1"])[0]))
        else:
            self.answer(200 if url.path == "/" else 404, "text/plain; charset=utf-8", PAGE)

    def do_POST(self) -> None:
        digest = hashlib.sha256()
        size = 0
        for chunk in self.body():
            digest.update(chunk)
            size += len(chunk)
        text = json.dumps({"bytes": size, "sha256": digest.hexdigest()})
        self.answer(200, "application/json", text.encode() + b"\n")

    do_PUT = do_POST

    def stream(self, chunks: int, pause: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        waiting = threading.Event()
        for number in range(1, chunks + 1):
            line = f"chunk {number} of {chunks}\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            if number < chunks:
                waiting.wait(pause)
        self.wfile.write(b"0\r\n\r\n")

    def body(self) -> Iterator[bytes]:
        """The request's body, by its length or chunk by chunk."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(1024).split(b";")[0], 16):
                yield from self.exactly(size)
                self.rfile.readline(1024)
            while self.rfile.readline(65536).strip():
                pass
        else:
            yield from self.exactly(int(self.headers.get("Content-Length", 0)))

    def exactly(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self.rfile.read(min(CHUNK, size))
            if not chunk:
                raise ConnectionError("the upload ended early")
            size -= len(chunk)
            yield chunk

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
