"""A dyno host of the test's own, on a small stack: the machine's /usr below a skeleton, and a slug with one app directory."""

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from waiting import LONGER

from dynod.jail import packets

PATIENCE = 30.0 * LONGER
UID_FIRST = 700_000
UID_COUNT = 100
SLUG_UID = UID_FIRST - 1
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/app"}
CGROUPS = Path("/sys/fs/cgroup")
ALONE = (CGROUPS / "cgroup.controllers").exists()  # version 2 is all there is
LIMITS = {
    "memory": ("memory", "memory.limit_in_bytes", "memory.max"),
    "tasks": ("pids", "pids.max", "pids.max"),
    "cpu": ("cpu", "cpu.shares", "cpu.weight"),
}


class TestHost:
    """Start, ask, end. Every wait is for the event itself, with a cap."""

    __test__ = False

    def __init__(self):
        self.top = Path(tempfile.mkdtemp(prefix="dynod-jail-"))
        os.chmod(self.top, 0o755)
        self.run, self.state = self.top / "run", self.top / "state"
        self._make_stack()
        self.process = None
        self.said = ""
        self._heard = threading.Condition()
        self.sockets = []
        self.made = 0
        self._groups = {}  # version 2 cannot rename a group: id -> its embryo's

    def _make_stack(self):
        slug, stack = self.state / "slugs/s1", self.state / "stack/test"
        (slug / "app/lib").mkdir(parents=True)
        (slug / "app/hello").write_text("from the slug\n")
        (slug / "app/lib/code").write_text("code\n")
        (slug / "app/plain").write_text("not executable\n")
        for path in (slug, *slug.rglob("*")):
            os.chown(path, SLUG_UID, SLUG_UID)
        for name in ("etc", "usr", "proc", "dev", "tmp", "mnt"):
            (stack / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (stack / name).symlink_to(f"usr/{name}")
        (stack / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")

    @property
    def instance(self):
        return hashlib.sha256(os.path.realpath(self.run).encode()).hexdigest()[:8]

    def cgroup(self, tree, id):
        """The directory of a dyno's group, or of all groups with id ""; `tree` counts on version 1."""
        top = CGROUPS if ALONE else CGROUPS / tree
        return top / "dynod" / self.instance / self._groups.get(id, id)

    def limit(self, name, id):
        """A limit that is in force; processors as Standard-1X dynos."""
        tree, *files = LIMITS[name]
        found = int((self.cgroup(tree, id) / files[ALONE]).read_text())
        return found if name != "cpu" else found / (100 if ALONE else 1024)

    # The host's life

    def start(self, *options, end_dynos=True, under=()):
        """`under`: a program that starts the host and becomes it."""
        argv = [
            *under,
            sys.executable,
            "-P",
            "-m",
            "dynod.jail",
            "--run",
            str(self.run),
            "--state",
            str(self.state),
        ]
        argv += ["--uid-first", str(UID_FIRST), "--uid-count", str(UID_COUNT), "--warm", "2", *options]
        argv += ["--end-dynos"] if end_dynos else []
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        line = self.process.stderr.readline().decode()
        if "serves" not in line:
            self.process.wait(PATIENCE)
            raise AssertionError(line + self.process.stderr.read().decode())
        self.said = ""
        self._reader = threading.Thread(target=self._listen, args=[self.process.stderr], daemon=True)
        self._reader.start()
        self.client = self.connect()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(PATIENCE)
        sock.connect(str(self.run / "host.sock"))
        packets.widen(sock)
        self.sockets.append(sock)
        return sock

    def kill(self):
        """SIGKILL, as a crash."""
        self.process.kill()
        self._gone()

    def terminate(self):
        self.process.terminate()
        self._gone()

    def _gone(self):
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        self.process = None

    def close(self):
        """End all, and hold that nothing is left."""
        if self.process is None:
            self.start()
        elif "--end-dynos" not in self.process.args:
            self.kill()
            self.start()
        self.terminate()
        left = [str(path) for top in ("", "*/") for path in CGROUPS.glob(f"{top}dynod/{self.instance}")]
        left += [str(path) for path in self.run.iterdir()]
        left += [str(path) for path in (self.state / "dynos").glob("*")]
        subprocess.run(["rm", "-rf", str(self.top)], check=True)
        assert left == [], left
        assert "Traceback" not in self.said, self.said

    def _listen(self, stderr):
        with stderr:
            for line in stderr:
                with self._heard:
                    self.said += line.decode()
                    self._heard.notify_all()

    def says(self, words):
        """Wait until the host has said this since its start."""
        with self._heard:
            assert self._heard.wait_for(lambda: words in self.said, PATIENCE), self.said

    # What may be asked

    def ask(self, op, sock=None, **more):
        sock = sock or self.client
        packets.send(sock, {"op": op, "seq": 1, **more})
        said, fds = packets.receive(sock)
        return said, fds

    def send(self, sock, op, **more):
        """Ask without waiting for the answer, which `receive` takes."""
        packets.send(sock, {"op": op, "seq": 1, **more})

    def receive(self, sock):
        return packets.receive(sock)[0]

    def plan(self, *argv, id=None, **change):
        self.made += 1
        id = id or f"d{self.made}"
        return {
            "id": id,
            "hostname": "host-of-" + id,
            "uid": UID_FIRST + self.made % UID_COUNT,
            "lower": [[str(self.state / "slugs/s1"), True], [str(self.state / "stack/test"), False]],
            "binds": [{"source": "/usr", "target": "/usr", "writable": False, "idmap": False}],
            "scratch": str(self.state / "dynos" / id),
            "netns": "",
            "limits": {"memory": 256 * 1024**2, "tasks": 64, "cpu": 1, "files": 1000},
            "argv": list(argv),
            "env": ENV,
            "cwd": "/app",
            "stdio": "pipe",
            "labels": {"app": "app-1", "name": "web.1"},
            "columns": 80,
            "lines": 24,
            **change,
        }

    def boot(self, plan):
        """Boot; give the reply and its descriptors, which the test closes."""
        said, fds = self.ask("boot", plan=plan)
        assert said["op"] == "booted", said
        self._groups[plan["id"]] = record(self, plan["id"])["cgroup"]
        return said, fds

    def refused(self, plan):
        said, fds = self.ask("boot", plan=plan)
        assert said["op"] == "failed", said
        assert fds == []
        return said["error"]

    def ended(self, id):
        """Wait for the exit of a dyno; give the packet."""
        watcher = self.connect()
        packets.send(watcher, {"op": "watch"})
        while True:
            said, _ = packets.receive(watcher)
            if said["op"] == "exited" and said["id"] == id:
                self.sockets.remove(watcher)
                watcher.close()
                return said

    def forget(self, id):
        said, _ = self.ask("forget", id=id)
        assert said["op"] == "done", said

    def sh(self, script, **change):
        """Run a shell script to its end in a dyno of its own; give status and output."""
        plan = self.plan("sh", "-c", script, **change)
        _, (stdin, stdout) = self.boot(plan)
        os.close(stdin)
        output = read_all(stdout)
        status = self.ended(plan["id"])["status"]
        self.forget(plan["id"])
        return status, output

    def rows(self):
        return {row["id"]: row for row in self.ask("list")[0]["dynos"]}


def read_all(fd):
    """Read to the end, and close."""
    data = b""
    while chunk := read_some(fd):
        data += chunk
    os.close(fd)
    return data.decode()


def read_some(fd):
    ready, _, _ = select.select([fd], [], [], PATIENCE)
    assert ready, "nothing came"
    try:
        return os.read(fd, 65536)
    except OSError:  # a terminal whose other side is gone
        return b""


def read_until(fd, text):
    """Read until `text` came; give all that came."""
    data = b""
    give_up = time.monotonic() + PATIENCE
    while text.encode() not in data:
        assert time.monotonic() < give_up, data
        chunk = read_some(fd)
        assert chunk, f"it ended after {data!r}"
        data += chunk
    return data.decode()


def close_all(fds):
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def wait_gone(pidfd):
    ready, _, _ = select.select([pidfd], [], [], PATIENCE)
    assert ready, "it lives on"
    os.close(pidfd)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def record(host, id):
    return json.loads((host.run / "host" / id / "record").read_text())
