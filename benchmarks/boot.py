"""Boot: from the ask to the first byte that the isolated process wrote, dynod beside bubblewrap and runc, interleaved.

Each asker makes a pipe, starts its clock, asks, and reads one byte of what the isolated program wrote to it: `echo hi`.
bubblewrap and runc are spawned by posix_spawn with the pipe as their output, the cheapest way there is; dynod is asked over
its socket and the pipe goes with the plan. "answered" is until dynod has said that the dyno is up.
On for dynod: mount, pid, net (a ready namespace), ipc, uts and cgroup namespaces; idmapped slug and skeleton in an overlay;
binds; own /proc and /dev; own uid, a new one at each boot; no capabilities; no_new_privs; memory, pids and cpu limits; a disk of 4 GiB.
The dyno host runs at nice -10, as always; its dynos do not. bubblewrap: --unshare-all, binds, no overlay, no cgroup, no limits. runc: its default spec on the same root, with the limits.
"""

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dynod.jail import packets
from dynod.model.jail import Bind, JailPlan, Limits, Stdio

ROUNDS = 120
SUSTAINED = 200
AT_ONCE = 4
WARM = 4
PAUSE = 0.01
UID_FIRST = 800_000
SLUG_UID = UID_FIRST - 1
LIMITS = Limits(memory=512 * 1024**2, tasks=256, cpu=1, disk=4 * 1024**3, inodes=262_144)
ECHO = ("/usr/bin/echo", "hi")


def main():
    if os.geteuid() != 0:
        print("cannot measure boots: needs root")
        return
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boot-")))
        os.chmod(top, 0o755)
        make_stack(top)
        netns = stack.enter_context(namespace())
        host = stack.enter_context(dyno_host(top))
        ways = {"dynod": lambda: host.first_byte(netns)}
        if shutil.which("bwrap"):
            ways["bubblewrap"] = lambda: spawned(bubblewrap(top))
        if shutil.which("runc"):
            write_bundle(top)
            ways["runc"] = lambda: spawned(
                ("runc", "run", "-b", str(top / "bundle"), f"boot-{next(NUMBERS)}")
            )
        times = {name: [] for name in ways}
        order = random.Random(1)
        for _ in range(ROUNDS):
            # In a new order each time: what the kernel clears up after one must not always fall to the same next.
            for name in order.sample(list(ways), len(ways)):
                times[name].append(ways[name]())
        times["(answered)"] = host.answered
        table(times)
        print(
            f"sustained, {AT_ONCE} asked at once, booted, run, exited and cleared up: {host.sustained(netns):.0f} boots/s"
        )
        print(f"a waiting dyno's init: {host.init_memory(netns):.2f} MB PSS")


def table(times):
    ours = statistics.median(times["dynod"])
    print(f"ask to first byte, {ROUNDS} each, interleaved; ratio of the medians, dynod to it")
    print(f"{'':<12}{'p50 ms':>9}{'p95 ms':>9}{'least':>9}{'ratio':>9}")
    for name, values in times.items():
        p95 = statistics.quantiles(values, n=20)[-1]
        p50 = statistics.median(values)
        print(f"{name:<12}{p50:>9.2f}{p95:>9.2f}{min(values):>9.2f}{ours / p50:>8.2f}x")


# The same stack for all: the machine's /usr below a skeleton, and a slug


def make_stack(top):
    app, skeleton = top / "state/slugs/s/app", top / "state/stack/s"
    app.mkdir(parents=True)
    (app / "Procfile").write_text("web: echo\n")
    for path in (app.parent, app, app / "Procfile"):
        os.chown(path, SLUG_UID, SLUG_UID)
    for name in ("etc", "usr", "proc", "dev", "tmp", "app", "sys"):
        (skeleton / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (skeleton / name).symlink_to(f"usr/{name}")
    (skeleton / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")


def bubblewrap(top):
    skeleton = top / "state/stack/s"
    links = [
        word for name in ("bin", "sbin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")
    ]
    return (
        "bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--ro-bind", str(skeleton / "etc"), "/etc", *links,
        "--bind", str(top / "state/slugs/s/app"), "/app", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
        "--chdir", "/app", *ECHO,
    )  # fmt: skip


def write_bundle(top):
    bundle = top / "bundle"
    bundle.mkdir()
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=list(ECHO))
    spec["root"] = {"path": str(top / "state/stack/s"), "readonly": True}
    spec["mounts"] += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}]
    spec["linux"]["resources"] |= {
        "memory": {"limit": LIMITS.memory},
        "pids": {"limit": LIMITS.tasks},
        "cpu": {"shares": 1024},
    }
    (bundle / "config.json").write_text(json.dumps(spec))


@contextlib.contextmanager
def namespace():
    name = f"boot-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    try:
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


# The askers


def numbers():
    number = 0
    while True:
        number += 1
        yield number


NUMBERS = numbers()


def spawned(argv):
    """Spawn with a pipe as its output; give the milliseconds to the first byte."""
    program = shutil.which(argv[0])
    read, write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    start = time.perf_counter()
    pid = os.posix_spawn(program, argv, os.environ, file_actions=actions)
    os.close(write)
    said = os.read(read, 1)
    took = (time.perf_counter() - start) * 1e3
    os.waitpid(pid, 0)
    os.close(read)
    if not said:
        raise RuntimeError(f"{argv[0]} said nothing")
    return took


class Host:
    def __init__(self, top, sock):
        self.top, self.sock, self.answered = top, sock, []

    def ask(self, op, **more):
        packets.send(self.sock, {"op": op, "seq": 1, **more})
        return packets.receive(self.sock)

    def plan(self, netns, argv=ECHO):
        number = next(NUMBERS)
        state = self.top / "state"
        return JailPlan(
            id=f"b{number}",
            hostname=f"b{number}",
            uid=UID_FIRST + number,
            lower=((str(state / "slugs/s"), True), (str(state / "stack/s"), False)),
            binds=(Bind("/usr", "/usr"),),
            scratch=str(state / f"dynos/b{number}"),
            netns=netns,
            limits=LIMITS,
            argv=argv,
            env={"PATH": "/usr/bin:/bin", "HOME": "/app", "PORT": "5000"},
            cwd="/app",
            stdio=Stdio.PIPE,
            labels={"app": "bench"},
        ).to_json()

    def first_byte(self, netns):
        plan = self.plan(netns)
        self.settle()
        stdin, stdout = os.pipe(), os.pipe()
        start = time.perf_counter()
        packets.send(self.sock, {"op": "boot", "seq": 1, "plan": plan}, [stdin[0], stdout[1]])
        packets.close([stdin[0], stdout[1]])
        byte = os.read(stdout[0], 1)
        took = (time.perf_counter() - start) * 1e3
        said, _ = packets.receive(self.sock)
        self.answered.append((time.perf_counter() - start) * 1e3)
        packets.close([stdin[1], stdout[0]])
        if not byte:
            raise RuntimeError(said.get("error", "the dyno said nothing"))
        self.forget(plan["id"])
        return took

    def settle(self):
        """Sequential asks: each finds the pool as the last one left it, filled again. Waits without burning a processor."""
        while self.ask("stat")[0]["ready"] < WARM:
            select.select([], [], [], PAUSE)

    def forget(self, id):
        while self.ask("forget", id=id)[0]["op"] != "done":
            select.select([], [], [], PAUSE)

    def sustained(self, netns):
        watcher = connect(self.top)
        packets.send(watcher, {"op": "watch"})
        self.settle()
        start = time.perf_counter()
        asked = over = 0
        while over < SUSTAINED:
            while asked < SUSTAINED and asked - over < AT_ONCE:
                packets.send(watcher, {"op": "boot", "seq": 1, "plan": self.plan(netns)})
                asked += 1
            said, fds = packets.receive(watcher)
            packets.close(fds)
            match said["op"]:
                case "exited":
                    packets.send(watcher, {"op": "forget", "seq": 2, "id": said["id"]})
                case "done":
                    over += 1
                case "failed":
                    raise RuntimeError(said["error"])
        watcher.close()
        return SUSTAINED / (time.perf_counter() - start)

    def init_memory(self, netns):
        plan = self.plan(netns, ("/usr/bin/cat",))
        said, fds = self.ask("boot", plan=plan)
        rollup = Path(f"/proc/{said['pid']}/smaps_rollup").read_text()
        packets.close(fds)
        self.forget(plan["id"])
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


def connect(top):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(top / "run/host.sock"))
    packets.widen(sock)
    return sock


@contextlib.contextmanager
def dyno_host(top):
    argv = [
        sys.executable,
        "-P",
        "-m",
        "dynod.jail",
        "--run",
        str(top / "run"),
        "--state",
        str(top / "state"),
    ]
    argv += ["--uid-first", str(UID_FIRST), "--uid-count", "10000", "--warm", str(WARM), "--end-dynos"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    try:
        line = process.stderr.readline().decode()
        if "serves" not in line:
            raise RuntimeError(line)
        yield Host(top, connect(top))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


if __name__ == "__main__":
    main()
