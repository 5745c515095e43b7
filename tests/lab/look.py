"""What is on the machine after it lost its power, as one JSON object: `python look.py APP [STATE RUN]`, by the platform's own Python.

Waits until the app's dynos are as its formation says, at most five minutes.
"""

import contextlib
import hashlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dynod.cli.client import Client

PATIENCE = 300.0
PROGRAMS = {"web": "python3 -m http.server", "worker": "/bin/bash ./worker.sh"}


def databases(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("ledger.db", "observations.db"):
        with sqlite3.connect(f"file:{state}/{name}?mode=ro", uri=True) as db:
            found[name] = db.execute("PRAGMA integrity_check").fetchone()[0]
            if name == "ledger.db":
                revisions = [row[0] for row in db.execute("SELECT revision FROM ledger ORDER BY revision")]
                found["gaps"] = [one for before, one in itertools.pairwise(revisions) if one != before + 1]
                found["entries"] = len(revisions)
    return found


def unlike(tree: Path) -> bool:
    """Whether an unpacked slug differs from its archive, or the archive from its name."""
    archive = tree.with_name(f"{tree.name}.tgz")
    with archive.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != tree.name:
            return True
    with tarfile.open(archive) as tar:
        for member in tar:
            path = tree / member.name
            if member.isfile():
                content = tar.extractfile(member)
                if not path.is_file() or content is None or path.read_bytes() != content.read():
                    return True
            elif not os.path.lexists(path):
                return True
    return False


def slugs(state: Path) -> dict[str, Any]:
    names = os.listdir(state / "slugs")
    whole = [state / "slugs" / name for name in names if len(name) == 64]  # a SHA-256 in hex
    return {
        "half made": [name for name in names if name.startswith((".", "new"))],
        "unlike their archive": [path.name for path in whole if unlike(path)],
        "unpacked": len(whole),
    }


def repositories(state: Path) -> list[str]:
    """Those which git finds broken."""
    said = []
    for path in sorted((state / "git").glob("*.git")):
        done = subprocess.run(
            ["git", "-c", f"safe.directory={path}", "-C", path, "fsck", "--full"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said.append(f"{path.name}: {done.stderr.strip()[-300:]}")
    return said


def locked(state: Path) -> list[str]:
    """What nobody can push to any more."""
    return sorted(str(path.relative_to(state)) for path in (state / "git").rglob("*.lock"))


def pushed(state: Path, app: str) -> str:
    """What the newest commit of an app's repository says; changes.py has each say its page."""
    path = state / "git" / f"{app}.git"
    words = ["git", "-c", f"safe.directory={path}", "-C", path, "log", "-1", "--format=%s", "main"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def running(client: Client, app: str, run: str) -> tuple[dict[str, int], dict[str, int]]:
    """(formation, what runs by count of processes), once they agree."""
    formation = {row["type"]: row["quantity"] for row in client.call("formation.list", {"app": app})}
    until = time.monotonic() + PATIENCE
    while True:
        up = Counter(row["type"] for row in client.call("dynos.list", {"app": app}) if row["state"] == "up")
        found = {kind: up[kind] for kind in formation}
        processes = {kind: len(programs(run, PROGRAMS[kind])) for kind in formation}
        if found == processes == formation or time.monotonic() > until:
            return formation, processes
        threading.Event().wait(0.5)


def programs(run: str, program: str) -> list[str]:
    """Pids of a program in this platform's dynos."""
    instance = hashlib.sha256(os.path.realpath(run).encode()).hexdigest()[
        :8
    ]  # as the dyno host names its groups
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words.startswith(program) and f"/dynod/{instance}/" in (path / "cgroup").read_text():
                found.append(path.name)
    return found


def main(app: str, at: str = "/var/lib/dynod", run: str = "/run/dynod") -> None:
    state = Path(at)
    client = Client(f"{run}/control.sock")
    newest = max(client.call("releases.list", {"app": app}), key=lambda row: int(row["version"]))
    slug = newest["slug"]["id"]
    info = client.call("slugs.info", {"app": app, "slug": slug})
    tree = state / "slugs" / info["checksum"].removeprefix("SHA256:")
    formation, processes = running(client, app, run)
    print(
        json.dumps(
            {
                **databases(state),
                **slugs(state),
                "repositories that err": repositories(state),
                "locked": locked(state),
                "pushed": pushed(state, client.call("apps.info", {"app": app})["id"]),
                "count": client.call("config.info", {"app": app}).get("COUNT", "0"),
                "slug": slug,
                "version": newest["version"],
                "page": (tree / "app/www/index.html").read_text(),
                "formation": formation,
                "running": processes,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:4])
