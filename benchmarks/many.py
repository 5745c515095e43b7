"""A platform with many dynos as benchmarks/fleet.py sees it from outside: its API, its routing table, its processes, its CPU.

Way in: `Fleet` and `Group`. Nothing here measures; fleet.py does.
"""

import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.parse
from collections import Counter
from pathlib import Path

import psutil

from dynod.cli.client import Client, Unreachable
from dynod.jail import packets
from dynod.model.refused import Refused
from dynod.wire import table

CAP = 200.0  # seconds until a wait is given up
SERVER = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    char answer[256], request[8192], *name = getenv("DYNO");
    int length = snprintf(answer, sizeof answer,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(name), name);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64))
        return 1;
    for (;;) {
        int taken = accept(listener, NULL, NULL);

        if (read(taken, request, sizeof request) > 0 && write(taken, answer, length) < 0)
            return 1;
        close(taken);
    }
}
"""
COMMANDS = {"web": "exec ./server", "loop": "exit 1"}
_V1, _V2 = "/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"
_libc = ctypes.CDLL(None, use_errno=True)


def slug(base):
    """A slug with the tiny server in it: its path."""
    source, binary, made = f"{base}/server.c", f"{base}/server", f"{base}/slug.tgz"
    Path(source).write_text(SERVER)
    subprocess.run(["cc", "-O2", "-static", "-o", binary, source], check=True)
    with tarfile.open(made, "w:gz") as tar:
        tar.add(binary, "./app/server")
    return made


class Group:
    """A cgroup around `dynod up`, so that processes which live for a moment are counted too."""

    def __init__(self, platform):
        self._v1 = os.path.exists(f"{_V1}/cpuacct.usage")
        root = _V1 if self._v1 else _V2
        self._own = f"{root}/fleet-{os.getpid()}"
        self._dynos = (
            f"{root}/dynod/{hashlib.sha256(os.path.realpath(platform.run).encode()).hexdigest()[:8]}"
        )
        os.mkdir(self._own)
        Path(self._own, "cgroup.procs").write_text(str(platform.up.pid))  # before it has started anything

    def cpu(self):
        """Seconds of the platform and of its dynos; the latter may be counted in another place."""
        return sum(self._read(group) for group in (self._own, self._dynos) if os.path.isdir(group))

    def remove(self):
        os.rmdir(self._own)

    def _read(self, group):
        if self._v1:
            return int(Path(group, "cpuacct.usage").read_text()) / 1e9
        return int(Path(group, "cpu.stat").read_text().split()[1]) / 1e6


class Fleet:
    def __init__(self, platform, archive):
        self.platform = platform
        self._archive = Path(archive).read_bytes()
        self._client = Client(f"{platform.run}/control.sock")
        url = urllib.parse.urlsplit(platform.ready["api"])
        trust = ssl.create_default_context(cafile=platform.ready["ca"])
        self._https = http.client.HTTPSConnection(url.hostname, url.port, context=trust)
        self._host = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._host.connect(f"{platform.run}/host.sock")
        packets.widen(self._host)
        self._net = Client(f"{platform.run}/net.sock")

    def close(self):
        for each in (self._client, self._https, self._host, self._net):
            each.close()

    # -- what is asked of it ---------------------------------------------------------------------------------------

    def call(self, method, body=None, **path):
        return self._client.call(method, {**path, **({} if body is None else {"body": body})})

    def app(self, name, kind="web"):
        """An app with a release of the tiny server (web) or of what exits at once (loop), made by the API, without git."""
        self.call("apps.create", {"name": name})
        announced = self.call("slugs.create", {"process_types": {kind: COMMANDS[kind]}}, app=name)
        self._https.request("PUT", urllib.parse.urlsplit(announced["blob"]["url"]).path, self._archive)
        answer = self._https.getresponse()
        answer.read()
        if answer.status >= 300:
            raise SystemExit(f"cannot measure a fleet: a slug was answered with {answer.status}")
        self.call("releases.create", {"slug": announced["id"]}, app=name)
        return name

    def scale(self, app, count, kind="web"):
        self.call("formation.update", {"updates": [{"type": kind, "quantity": str(count)}]}, app=app)

    def states(self, app):
        return Counter(each["state"] for each in self.call("dynos.list", app=app))

    def ps(self, app):
        """Run `dyno ps` as a person does; give its milliseconds."""
        begun = time.monotonic()
        argv = [sys.executable, "-P", "-m", "dynod.cli", "ps", "-a", app]
        subprocess.run(
            argv, env={**os.environ, "DYNOD_RUN": self.platform.run}, stdout=subprocess.DEVNULL, check=True
        )
        return (time.monotonic() - begun) * 1000

    def reconnect(self, ask):
        """Ask a control plane that is away until it answers; one look every few milliseconds."""
        give_up = time.monotonic() + CAP
        while True:
            try:
                self._client.close()
                self._client = Client(f"{self.platform.run}/control.sock")
                self._https.close()  # it connects anew by itself
                return ask()
            except (Unreachable, Refused) as error:
                if time.monotonic() > give_up:
                    raise SystemExit(f"cannot measure a fleet: {error}") from error
                pause(0.005)

    # -- what there is ---------------------------------------------------------------------------------------------

    def backends(self):
        """The routing table on the disk: (app, dyno) -> the backend's id."""
        read = table.decode(Path(self.platform.state, "router/table").read_bytes())
        return {(app.name, back.dyno): back.id for app in read.apps.values() for back in app.backends}

    def routed(self, wanted):
        """Wait until so many dynos of each app are routed, and no other of them."""

        def there():
            found = Counter(app for app, _ in self.backends())
            return all(found[app] == count for app, count in wanted.items())

        self.until(there)

    def until(self, check):
        """Wait until `check()` is true; it is asked again when the table on the disk was renewed."""
        give_up = time.monotonic() + CAP
        with watch(f"{self.platform.state}/router", IN_MOVED_TO) as changed:
            while not check():
                if time.monotonic() > give_up:
                    raise SystemExit(
                        f"cannot measure a fleet: the wait took over {CAP:.0f} s\n{self.platform.logs()}"
                    )
                changed(1.0)

    def answering(self, app, count):
        """Send requests until so many dynos of the app have answered."""
        seen, give_up = set(), time.monotonic() + CAP
        url = urllib.parse.urlsplit(self.platform.ready["router"])
        with contextlib.closing(
            http.client.HTTPConnection(url.hostname, url.port, timeout=CAP)
        ) as connection:
            while len(seen) < count:
                connection.request("GET", "/", headers={"Host": f"{app}.localhost"})
                answer = connection.getresponse()
                said = answer.read().decode()
                if answer.status != 200 or time.monotonic() > give_up:
                    raise SystemExit(f"cannot measure a fleet: {app} answered {answer.status} {said}")
                seen.add(said)

    def held(self):
        """How many dynos the dyno host holds, ended ones too, and how many networks are taken."""
        packets.send(self._host, {"op": "stat", "seq": 1})
        said, _ = packets.receive(self._host)
        return said["live"] + said["ended"], len(self._net.call("list", None))

    def settled(self, count):
        """Wait until so many dynos are left, and as many networks. Looks now and then: nobody tells."""
        give_up = time.monotonic() + CAP
        while (held := self.held()) != (count, count):
            if time.monotonic() > give_up:
                raise SystemExit(f"cannot measure a fleet: {count} dynos should be left, {held} are there")
            pause(0.02)

    def kill(self, dyno):
        """Kill a dyno's app from outside, as a crash."""
        record = json.loads(Path(self.platform.run, "host", dyno, "record").read_text())
        for child in psutil.Process(record["pid"]).children():
            child.send_signal(signal.SIGKILL)

    @contextlib.contextmanager
    def births(self):
        """Yields a function that waits until the dyno host takes a new dyno in hand."""
        with watch(f"{self.platform.run}/host", IN_CREATE) as changed:
            yield lambda: changed(CAP)

    # -- its processes ---------------------------------------------------------------------------------------------

    def processes(self):
        """Every process of the platform's by what it is; "app" for what dynos run."""
        pids = self.platform.ready["pids"]
        named = {
            pid: name
            for name, given in pids.items()
            for pid in (given if isinstance(given, list) else [given])
        }
        named[self.platform.up.pid] = "up"
        for process in psutil.Process(self.platform.up.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                title = process.name()
                if title in {"server", "bash", "sh"}:
                    named[process.pid] = "app"
                elif process.pid not in named:
                    named[process.pid] = _kind(process, title)
        named[self.platform.up.pid] = "up"
        return named

    def shares(self):
        """KiB of PSS by kind of process."""
        found = Counter()
        for pid, kind in self.processes().items():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                found[kind] += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return found

    def activity(self):
        """By kind of process: how often it went to sleep and woke up again, and its CPU in seconds."""
        switches, cpu = Counter(), Counter()
        for pid, kind in self.processes().items():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                times = psutil.Process(pid).cpu_times()
                cpu[kind] += times.user + times.system
                for task in os.listdir(f"/proc/{pid}/task"):
                    status = Path(f"/proc/{pid}/task/{task}/status").read_text()
                    switches[kind] += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        return {kind: (switches[kind], cpu[kind]) for kind in switches}


def _kind(process, title):
    if title == "dyno-init":
        return "dyno-init" if process.exe().startswith("/memfd:") or not process.exe() else "embryo"
    line = process.cmdline()
    return "router master" if "router" in line else title


def kernel_memory():
    """What the kernel holds for its own ends, in KiB."""
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    names = ("Slab", "KernelStack", "PageTables", "Percpu")
    return {name: int(rows[name].split()[0]) for name in names}


IN_CREATE, IN_MOVED_TO = 0x100, 0x80


@contextlib.contextmanager
def watch(directory, mask):
    """Yields a function that waits, so many seconds at most, until something of that kind happened in the directory."""
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0 or _libc.inotify_add_watch(fd, os.fsencode(directory), mask) < 0:
        raise OSError(ctypes.get_errno(), "cannot watch", directory)

    def changed(seconds):
        if select.select([fd], [], [], seconds)[0]:
            os.read(fd, 65536)

    try:
        yield changed
    finally:
        os.close(fd)


def pause(seconds):
    """Let time pass without burning a processor."""
    select.select([], [], [], seconds)
