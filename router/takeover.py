"""A new version of the router takes over from the old one, under its pid: what must outlive the old program passes through exec(2).

SIGUSR2 asks for it. The master tries whether the new program starts at all, becomes it, starts new workers on the same sockets, and
tells the old ones to leave once the new ones serve (HAProxy's way). Systemd, `dynod up` and the workers' death signal notice nothing,
since the process is the same. Rejected: a second master beside the first, as nginx has it: its pid is news to all of those, and
while both live nobody owns the old workers.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

VARIABLE = "DYNOD_ROUTER_TAKEOVER"
TRIAL = 30.0  # seconds for the new program to show that it starts


@dataclass(frozen=True, slots=True)
class Legacy:
    """What passes. Versions may differ: a field that one of them does not know is let go, or has its default."""

    listeners: tuple[int, ...] = ()
    tls: tuple[int, ...] = ()
    workers: tuple[int, ...] = ()  # pids, also of those that are leaving already
    tickets: str = ""  # what TLS tickets are sealed with (tickets.py)


def write(legacy: Legacy) -> bytes:
    """Write it for a program of any version."""
    return json.dumps(asdict(legacy)).encode()


def read(data: bytes) -> Legacy:
    """Read what another version wrote."""
    said = json.loads(data)
    listeners, tls, workers = (
        tuple(int(each) for each in said.get(name, ())) for name in ("listeners", "tls", "workers")
    )
    return Legacy(listeners, tls, workers, str(said.get("tickets", "")))


def _argv() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]


def refusal() -> str:
    """Say why the program that is installed now does not start; '' if it does."""
    try:
        done = subprocess.run([*_argv(), "--check"], capture_output=True, timeout=TRIAL, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (
        done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
    )


def become(legacy: Legacy, environment: dict[str, str]) -> NoReturn:
    """Become the program that is installed now."""
    # Not in the environment: who may look at that should not see keys.
    passed = os.memfd_create("takeover", 0)
    os.write(passed, write(legacy))
    for fd in (*legacy.listeners, *legacy.tls):
        os.set_inheritable(fd, True)
    os.execve(sys.executable, _argv(), {**os.environ, **environment, VARIABLE: str(passed)})


def inherited(environ: Any = os.environ) -> Legacy | None:
    """Return what the program before us left, once; None at a first start."""
    word = environ.pop(VARIABLE, "")
    if not word:
        return None
    with open(int(word), "rb") as file:
        file.seek(0)
        legacy = read(file.read())
    for fd in (*legacy.listeners, *legacy.tls):
        os.set_inheritable(fd, False)
    return legacy
