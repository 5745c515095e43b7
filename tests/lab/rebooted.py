"""What runs of the apps that apps.py made, inside the machine, as one JSON object: `python rebooted.py DYNOS`, by the platform's own Python.

Asks each app's page until it is served, then waits until DYNOS dynos are up: seconds since the kernel started, taken then. Asks no more than
that meanwhile, since the machine is busy with starting them. `python rebooted.py crashed` waits until a dyno waits for its next try.
"""

import contextlib
import http.client
import json
import sqlite3
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dynod.cli.client import Client

STATE, RUN = Path("/var/lib/dynod"), Path("/run/dynod")
AGAIN = 0.5


def uptime() -> float:
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 1)


def served(app: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/", headers={"Host": f"{app}.localhost", "Connection": "close"})
        return connection.getresponse().status == 200
    return False


def dynos(client: Client, apps: list[str]) -> list[dict[str, Any]]:
    return [{**row, "of": app} for app in apps for row in client.call("dynos.list", {"app": app})]


def states(client: Client, apps: list[str]) -> Counter[str]:
    return Counter(row["state"] for row in dynos(client, apps))


def starts() -> Counter[int]:
    """How often dynos were started since the machine was: {times: how many dynos}."""
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    with contextlib.closing(sqlite3.connect(f"file:{STATE}/observations.db?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT app, name FROM observation WHERE what = 'starting' AND at > ?", (began,))
        return Counter(Counter(rows).values())


def main(wanted: str) -> None:
    client = Client(str(RUN / "control.sock"))
    apps = sorted(row["name"] for row in client.call("apps.list", {}) if row["name"].startswith("app"))
    again = threading.Event()
    if wanted == "crashed":
        while not states(client, apps)["crashed"]:
            again.wait(AGAIN)
        return
    for app in apps:
        while not served(app):
            again.wait(AGAIN)
    pages = uptime()
    while states(client, apps) != {"up": int(wanted)}:
        again.wait(AGAIN)
    up = uptime()
    names = Counter((row["of"], row["name"]) for row in dynos(client, apps))
    print(json.dumps({"apps": len(apps), "pages": pages, "up": up, "names": len(names), "starts": starts()}))


if __name__ == "__main__":
    main(sys.argv[1])
