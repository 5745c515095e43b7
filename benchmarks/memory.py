"""What the platform's programs keep in memory: each program's share (PSS) with its children, right after a start and after some use.

A whole `dynod up` in a network namespace of its own, so that what else is on the machine is not there to be read. PSS counts a page that
n processes share as 1/n for each; what other programs of the machine share with ours (the interpreter, the C library) makes ours look
smaller, so this belongs on a machine where little else runs Python. "own": pages that nobody else has. "after use": one push, a thousand
requests, one of them over TLS, and the dyno itself left out. `up` is not counted: under systemd there is none. Embryos, which wait to
become the next dynos (`warm`), are counted apart.
"""

import contextlib
import http.client
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

import psutil

from tests.support.whole import Whole

ASKED = 100  # MiB of all of them
SETTLE = 10.0  # seconds after which a start is over
STARTS = 3
REQUESTS = 1000
INSIDE = "inside"
EMBRYOS = "embryos"


def main():
    if os.geteuid() != 0:
        print("cannot measure the programs' memory: needs root")
        return
    inside = 'ip link set lo up && exec "$@"'
    argv = ["sh", "-c", inside, "sh", sys.executable, "-m", "benchmarks.memory", INSIDE]
    subprocess.run(["unshare", "--net", *argv], check=True)


def measure():
    fresh, used = [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="memory-") as base:
            os.chmod(base, 0o755)
            platform = Whole(base).wait_ready()
            try:
                pause(SETTLE)
                fresh.append(programs(platform))
                use(platform)
                pause(SETTLE)
                used.append(programs(platform))
            finally:
                platform.stop()
    columns = f"{'processes':>9} {'PSS':>7} {'own':>7} {'PSS after use':>14}"
    print(f"{f'MiB, median of {STARTS} starts':<28} {columns}")
    for name in fresh[0]:
        count = fresh[0][name][0]
        pss, own = (statistics.median(each[name][n] for each in fresh) for n in (1, 2))
        later = statistics.median(each[name][1] for each in used)
        print(f"{name:<28} {count:>9} {pss:7.1f} {own:7.1f} {later:14.1f}")
    for what, left_out in (("all but up and embryos", {"up", EMBRYOS}), ("and the embryos", {"up"})):
        now, later = (statistics.median(total(each, left_out) for each in rows) for rows in (fresh, used))
        print(f"{what:<28} {'':>9} {now:7.1f} {'':>7} {later:14.1f}   asked: {ASKED}")


def total(rows, left_out):
    return sum(pss for name, (_, pss, _) in rows.items() if name not in left_out)


def programs(platform):
    """By program: how many processes, their PSS and what is theirs alone, in MiB; dynos and what runs in them left out."""
    ready = platform.ready["pids"]
    named = {
        pid: name for name, given in ready.items() for pid in (given if isinstance(given, list) else [given])
    }
    up = psutil.Process(platform.up.pid)
    rows = {}
    for child in up.children():
        family = [child, *child.children(recursive=True)]
        name = next((named[each.pid] for each in family if each.pid in named), " ".join(child.cmdline()[-1:]))
        ours = [each for each in family if not in_a_dyno(each)]
        rows[name] = share(each.pid for each in ours if not waits(each))
        if embryos := [each.pid for each in ours if waits(each)]:
            rows[EMBRYOS] = share(embryos)
    return {**dict(sorted(rows.items(), key=lambda row: -row[1][1])), "up": share([up.pid])}


def waits(process):
    """Whether it is an embryo."""
    with contextlib.suppress(psutil.Error):
        return process.name() == "dyno-init" and "python" in process.exe()
    return False


def in_a_dyno(process):
    """Whether it is a dyno's PID 1 or runs beside one."""
    with contextlib.suppress(OSError):
        return not waits(process) and spaces(process.pid) > spaces(os.getpid())
    return False


def spaces(pid):
    """In how many pid namespaces a process has a number."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return len(next(line for line in status.splitlines() if line.startswith("NSpid:")).split())


def share(pids):
    count, pss, own = 0, 0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
            rows = {line.split()[0]: int(line.split()[1]) for line in lines}
            count += 1
            pss += rows["Pss:"]
            own += rows["Private_Clean:"] + rows["Private_Dirty:"]
    return count, pss / 1024, own / 1024


def use(platform):
    """Do what a machine that is used has done: a push, requests, some over TLS, the command line."""
    platform.deploy("shell", "hello")
    platform.until(lambda: platform.get("hello")[0] == 200, "hello")
    url = urllib.parse.urlsplit(platform.ready["router"])
    with contextlib.closing(http.client.HTTPConnection(url.hostname, url.port, timeout=60)) as connection:
        for _ in range(REQUESTS):
            connection.request("GET", "/", headers={"Host": "hello.localhost"})
            connection.getresponse().read()
    secure = urllib.parse.urlsplit(platform.ready["router_tls"])
    trust = ssl.create_default_context(cafile=platform.ready["ca"])
    trust.check_hostname = False
    with contextlib.closing(
        http.client.HTTPSConnection(secure.hostname, secure.port, context=trust)
    ) as connection:
        connection.request("GET", "/", headers={"Host": "hello.localhost"})
        connection.getresponse().read()
    platform.dyno("ps", "-a", "hello")


def pause(seconds):
    threading.Event().wait(seconds)


if __name__ == "__main__":
    measure() if sys.argv[1:] == [INSIDE] else main()
