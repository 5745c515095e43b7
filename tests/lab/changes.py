"""Changes on and on, inside the machine: pushes, config vars, formations, rollbacks, until the machine or the platform ends.

`python changes.py APP SEED`, by the platform's own Python. One change at a time; `try WHAT VALUE` is said before each, `did WHAT VALUE`
after the platform acknowledged it, `not WHAT VALUE` when it refused. COUNT is a config var; a push makes the page say its value, a
rollback's is the slug that it took. What a `did` says is what a client was told: it must be there after a power cut; a `try` without its
`did` may have happened or not.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dynod.cli.client import Client
from dynod.model.refused import Refused

RUN = os.environ.get("DYNOD_RUN", "/run/dynod")
TREE = Path(tempfile.gettempdir()) / "pushes"  # anew each time
EXAMPLE = Path(__file__).parents[2] / "examples/shell"
GIT = ("git", "-c", "user.name=lab", "-c", "user.email=lab@localhost")
FILES = 40  # of some size each, so that a slug takes a while to be unpacked


class Changes:
    """What may be changed, one method each; `say` tells the test."""

    def __init__(self, app: str, seed: str) -> None:
        self.app, self.chance = app, random.Random(seed)
        self.client = Client(f"{RUN}/control.sock")

    def call(self, method: str, **params: Any) -> Any:
        return self.client.call(method, {"app": self.app, **params})

    def config(self) -> None:
        count = str(int(self.call("config.info").get("COUNT", "0")) + 1)
        say("try", "count", count)
        self.call("config.update", body={"COUNT": count})
        say("did", "count", count)

    def scale(self) -> None:
        kind, quantity = self.chance.choice(
            [("worker", 0), ("worker", 1), ("worker", 2), ("web", 1), ("web", 2)]
        )
        say("try", kind, quantity)
        self.call("formation.update-one", type=kind, body={"quantity": quantity})
        say("did", kind, quantity)

    def rollback(self) -> None:
        rows = [row for row in self.call("releases.list") if row["slug"]]
        row = self.chance.choice(sorted(rows, key=lambda row: row["version"])[-8:])
        slug = row["slug"]["id"]
        say("try", "rollback", slug)
        try:
            self.call("releases.create", body={"release": str(row["version"])})
        except Refused as refused:  # the newest one, or one whose slug was tidied away
            say("not", "rollback", slug, refused)
        else:
            # Config vars go back with it.
            say("did", "rollback", slug, self.call("config.info").get("COUNT", "0"))

    def push(self) -> None:
        page = str(time.time_ns())
        say("try", "push", page)
        (TREE / "www/index.html").write_text(f"page {page}\n")
        for number in range(FILES):
            (TREE / f"www/file{number}").write_text(f"{page} {self.chance.random()}\n" * 2000)
        for argv in (
            (*GIT, "add", "-A"),
            (*GIT, "commit", "-q", "-m", page),
            (*GIT, "push", "-q", "-f", "heroku", "main"),
        ):
            subprocess.run(argv, cwd=TREE, check=True, stdout=subprocess.DEVNULL)
        say("did", "push", page)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(app: str, seed: str) -> None:
    """Change until something ends."""
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.copytree(EXAMPLE, TREE)
    subprocess.run([*GIT, "init", "-q", "-b", "main"], cwd=TREE, check=True)
    subprocess.run(["dyno", "git:remote", "-a", app], cwd=TREE, check=True, stdout=subprocess.DEVNULL)
    changes = Changes(app, seed)
    kinds = (changes.config, changes.scale, changes.rollback, changes.push)
    os.nice(5)
    while True:
        changes.chance.choices(kinds, (5, 4, 2, 2))[0]()


if __name__ == "__main__":
    main(*sys.argv[1:3])
