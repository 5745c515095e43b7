"""What this machine has that a test session may leave behind: noted before, compared after.

`note(mark)` reads it all; `left(before, after, mark)` names what is new. A thing is surely ours when it carries the
session's mark (its temporary directory's name, which is in every path below it, or DYNOD_TEST_SESSION in a process's environment).
What carries no mark (a network link, an nftables table) is ours as well when nobody else tests here. DYNOD_TEST_SHARED=1, or
another session that runs right now, says that somebody does, and then such things are only told, not failed for.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
from dataclasses import dataclass

MARK = "DYNOD_TEST_SESSION"
PREFIX = "dt-"  # short: a unix socket's path has 107 bytes


@dataclass(frozen=True)
class Left:
    """One thing that was not there before; `ours` if it carries the mark."""

    kind: str
    name: str
    ours: bool

    def __str__(self):
        return f"{self.kind}: {self.name}"


def note(mark):
    """Read what is there now: kind -> {key: (words that tell whose it is)}."""
    return {
        "process": _processes(mark),
        "mount": _mounts(),
        "loop device": _loop_devices(),
        "cgroup": _cgroups(),
        "network namespace": _namespaces(),
        "network link": _links(),
        "nftables table": _tables(),
        "file": _files(mark),
    }


def left(before, after, mark):
    """Return what is in `after` and was not in `before`."""
    return [
        Left(kind, name, mark in words)
        for kind, things in after.items()
        for name, words in things.items()
        if name not in before.get(kind, {})
    ]


def settle(mark, seconds=5.0):
    """Give marked processes that are just ending the time to end: wait for each pidfd."""
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        waiting = 0
        for name in _processes(mark):
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(int(name.split()[0]))
                stack.callback(os.close, pidfd)
                poll.register(pidfd, select.POLLIN)
                waiting += 1
        while waiting and (ended := poll.poll(seconds * 1000)):
            for pidfd, _ in ended:
                poll.unregister(pidfd)
                waiting -= 1


def _processes(mark):
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat") as file:
                stat = file.read()
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state in "ZX":
                # Ours to reap if we are the parent and nobody's concern if not: its parent is on this list then.
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read().decode(errors="replace")
            places = " ".join(_link(f"/proc/{pid}/{name}") for name in ("cwd", "root"))
            if mark in command or mark in environ or mark in places or int(parent) == os.getpid():
                name = f"{pid} {command[:120] or stat.split()[1]}"
                found[name] = f"{mark} {places}"
    return found


def hold(base):
    """Lock the session's directory for as long as this process lives: how other sessions know of it."""
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def others(base):
    """Whether another test session runs on this machine now."""
    directory, mark = os.path.split(base)
    for name in os.listdir(directory):
        if name.startswith(PREFIX) and name != mark:
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
                finally:
                    os.close(fd)
    return False


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _mountinfo():
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields = line.split()
            kind = fields[fields.index("-") + 1]
            yield fields[4], kind, line


def _mounts():
    """Those of namespaces are looked at by themselves. /run/netns is what `ip netns add` makes a mount of once, for good (ip-netns(8))."""
    return {
        f"{point} ({kind})": line
        for point, kind, line in _mountinfo()
        if kind != "nsfs" and point != "/run/netns"
    }


def _namespaces():
    return {point: line for point, kind, line in _mountinfo() if kind == "nsfs"}


def _loop_devices():
    """By the file behind each; a mount that is nowhere shows only here."""
    found = {}
    for name in os.listdir("/sys/block"):
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file") as file:
            behind = file.read().strip()
            found[f"/dev/{name} {behind}"] = behind
    return found


def _cgroups():
    roots = [point for point, kind, _ in _mountinfo() if kind in {"cgroup", "cgroup2"}]
    return {path: path for root in roots for path, _, _ in os.walk(root) if "dynod" in path[len(root) :]}


def _ask(*command):
    """Run a tool that speaks JSON; nothing if it is missing or not allowed."""
    if shutil.which(command[0]) is None:
        return None
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(answer.stdout) if answer.returncode == 0 and answer.stdout.strip() else None


def _links():
    return {
        link["ifname"]: json.dumps(link)
        for link in _ask("ip", "-j", "link") or []
        if link.get("ifname", "").startswith(("veth", "dv", "dynod"))
    }


def _tables():
    rows = (_ask("nft", "-j", "list", "tables") or {}).get("nftables", [])
    tables = (row["table"] for row in rows if "table" in row)
    return {f"{t['family']} {t['name']}": t["name"] for t in tables if t["name"].startswith("dynod")}


def _files(mark):
    found = {}
    for place in ("/run", "/tmp", "/var/lib", "/dev/shm"):
        with contextlib.suppress(OSError):
            for name in os.listdir(place):
                if name.startswith("dynod") and mark not in name:
                    found[f"{place}/{name}"] = name
    return found
