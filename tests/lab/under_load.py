"""What a fault costs while clients ask and an app writes its log: requests that failed, dynos that ended, lines that are missing."""

import json
import re
from dataclasses import asdict, dataclass

from tests.lab.conftest import figure

DYNOS = "for app in hello counting; do dyno ps -a $app --json; done"
START = (
    "rm -f /root/load.json; systemd-run -q --unit=load -p WorkingDirectory=/srv/dynod -p OOMScoreAdjust=-1000 "
    "python3 -m lab.load http://127.0.0.1:8080/ {app}.localhost /root/load.json; sleep 3"
)


@dataclass(frozen=True, slots=True)
class Cost:
    """`seconds` that the fault took; `lines` counted whole, of which `missing` came to nobody."""

    seconds: float
    requests: int
    failed: int
    first: tuple[str, ...]
    slowest: float
    gap: float
    lines: int
    missing: int
    dynos_ended: int

    def figure(self, what, **more):
        told = {name: value for name, value in asdict(self).items() if name != "first" or value}
        figure(what, **more, **told)
        return self


def running(machine):
    """Name, id and beginning of life of every dyno of both apps."""
    said = machine.sh(DYNOS).replace("]\n[", ",").replace("][", ",")
    return {(row["app"]["name"], row["name"], row["id"]) for row in json.loads(said)}


def processes(machine, program="^python3 (-u )?-m http.server|^/bin/bash ./count.sh"):
    """Pids of the dynos' own programs; not of what they have forked and what is about to become another program."""
    rows = [line.split(None, 2) for line in machine.sh("ps -eo pid=,ppid=,args=").splitlines()]
    found = {pid: parent for pid, parent, argv in rows if re.match(program, argv)}
    return {pid for pid, parent in found.items() if parent not in found}


def numbers(machine):
    """What the counting app is heard to have said in its present life: first and last number, and how many between are missing."""
    said = machine.sh("dyno logs -a counting -n 1500 -d worker.1 | sed -n 's/.*: number //p'")
    every = [int(word) for word in said.split()]
    heard = every[
        max((place for place in range(1, len(every)) if every[place] < every[place - 1]), default=0) :
    ]
    return heard[0], heard[-1], len(set(range(heard[0], heard[-1] + 1)) - set(heard))


def cost(machine, app, script, cap=600.0):
    """Run a script while requests are made; say what it cost. The script's own time is taken inside."""
    before, pids = running(machine), processes(machine)
    machine.sh(START.format(app=app))
    done = machine.sh(f"began=$(date +%s%N); {script}\necho $((($(date +%s%N) - began) / 1000000))", cap=cap)
    machine.sh("sleep 3; systemctl stop load")
    tally = json.loads(machine.sh("cat /root/load.json"))
    first, last, missing = numbers(machine)
    ended = len(before - running(machine)) + len(pids - processes(machine))
    seconds = round(int(done.split()[-1]) / 1000, 1)
    return Cost(
        seconds=seconds,
        **{name: tuple(value) if name == "first" else value for name, value in tally.items()},
        lines=last - first + 1,
        missing=missing,
        dynos_ended=ended,
    )
