"""A load of requests, inside the machine: ask on and on until SIGTERM, then write down how many failed. Standard library only.

`python3 -m lab.load URL HOST RESULT`: RESULT gets JSON: requests, failed (the first texts), slowest (seconds), worst gap between answers.
"""

import http.client
import json
import signal
import sys
import threading
import time
import urllib.parse
from typing import Any

ASKERS = 3


class Tally:
    """What the askers found."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self.requests = 0
        self.failed: list[str] = []
        self.slowest = self.gap = 0.0
        self._last = time.monotonic()

    def note(self, began: float, why: str) -> None:
        """Write down one request; `why` is empty when it was answered well."""
        now = time.monotonic()
        with self._lock:
            self.requests += 1
            self.slowest = max(self.slowest, now - began)
            if why:
                self.failed.append(f"{time.time():.1f} {why}")
            else:
                self.gap = max(self.gap, now - self._last)
                self._last = now

    def summary(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "failed": len(self.failed),
            "first": self.failed[:5],
            "slowest": round(self.slowest, 2),
            "gap": round(self.gap, 2),
        }


def ask(tally: Tally, url: str, host: str) -> None:
    """Ask until it is time to stop: every request a connection of its own, as the worst of clients."""
    where = urllib.parse.urlsplit(url)
    while not tally.stop.is_set():
        began = time.monotonic()
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        try:
            connection.request("GET", where.path or "/", headers={"Host": host, "Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            tally.note(began, "" if answer.status == 200 else f"status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            tally.note(began, f"{type(error).__name__}: {error}")
        finally:
            connection.close()


def main(url: str, host: str, result: str) -> None:
    """Ask until SIGTERM."""
    tally = Tally()
    signal.signal(signal.SIGTERM, lambda *_: tally.stop.set())
    askers = [threading.Thread(target=ask, args=(tally, url, host)) for _ in range(ASKERS)]
    for asker in askers:
        asker.start()
    tally.stop.wait()
    for asker in askers:
        asker.join()
    with open(result, "w", encoding="utf-8") as file:
        json.dump(tally.summary(), file)


if __name__ == "__main__":
    main(*sys.argv[1:4])
