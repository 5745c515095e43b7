"""Let a disk forget within a change of one kind: `python forget.py LOG PID KIND PART SCRIPT`, beside changes.py (PID), whose lines go to LOG.

A second drawn at random falls into a push, which takes longer than all else together. So the first change of a KIND tells how long one
takes, and in a later one SCRIPT runs once PART of that has passed; a change that ends before leaves it to the next. Then says how many
lines had been said by then: what they acknowledge came before.
"""

import os
import select
import subprocess
import sys
import time

KINDS = {"count": "config", "web": "scale", "worker": "scale"}  # the others are called as they are said


class Watch:
    """Hears changes.py's lines; `moment` is when to act, None while no change of the kind is under way."""

    def __init__(self, kind: str, part: float) -> None:
        self.kind, self.part = kind, part
        self.heard = 0
        self.moment: float | None = None
        self._began = 0.0
        self._lasts: float | None = None

    def hear(self, line: str, now: float) -> None:
        self.heard += 1
        word, what, *_ = line.split()
        if KINDS.get(what, what) != self.kind:
            return
        if word == "try":
            self._began = now
            self.moment = None if self._lasts is None else now + self.part * self._lasts
            return
        self.moment = None
        if word == "did":  # what was refused took no time
            self._lasts = now - self._began


def wait(watch: Watch, log: int) -> None:
    """Return within a change of the watch's kind; what was said already is heard first."""
    rest = b""
    while True:
        left = None if watch.moment is None else max(0.0, watch.moment - time.monotonic())
        if not select.select([log], [], [], left)[0]:
            return
        data = os.read(log, 1 << 16)
        if not data:
            raise SystemExit("the changes ended before the disk could forget")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            watch.hear(line.decode(), time.monotonic())


def main(log: str, pid: str, kind: str, part: str, script: str) -> None:
    watch = Watch(kind, float(part))
    ready = ["bash", "-euc", f"read -r _\n{script}"]  # started before: a shell takes a while to start
    follow = ["tail", "-n", "+1", "-f", f"--pid={pid}", log]
    with (
        subprocess.Popen(ready, stdin=subprocess.PIPE, stdout=sys.stderr) as shell,
        subprocess.Popen(follow, stdout=subprocess.PIPE) as tail,
    ):
        assert tail.stdout is not None
        try:
            wait(watch, tail.stdout.fileno())
            shell.communicate(b"\n")
        finally:
            tail.terminate()
            if shell.stdin is not None:
                shell.stdin.close()  # never told: it ends, and nothing is done
    if shell.returncode:
        raise SystemExit(f"the disk did not forget: status {shell.returncode}")
    print(watch.heard)


if __name__ == "__main__":
    main(*sys.argv[1:6])
