"""A fleet: what many dynos cost. 100 at once, 1,000 that idle, one more among them, a dead control plane, 200 apps that crash-loop.

A whole `dynod up`; its apps are one tiny server in C, so that what is measured is the platform's. "routed": the table that the routers go
by, as it lies on the disk, names every dyno; afterwards requests are sent until each has answered. CPU is that of the platform's cgroup:
processes that live for a moment are in it, and the dynos' own start (a shell that becomes the server) is too. Memory is PSS. The kernel's
own is what it grew by, per dyno. `python -m benchmarks.fleet 100 20` does the same in small.
"""

import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time

from benchmarks.many import Fleet, Group, kernel_memory, pause, slug
from tests.support.whole import Whole

DYNOS, LOOPING = 1000, 200
PER_APP = 100  # Heroku's most
FEW = 10
BATCH, BATCHES = 20, 5  # boots at a time when their cost is measured
MINUTE = 60.0
CRASHES = 10
PS = 9


def main():
    if os.geteuid() != 0:
        print("cannot measure a fleet: needs root")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all of it is taken down then too
    small = sys.argv[1:3] if sys.argv[0].endswith("fleet.py") else []
    dynos, looping = map(int, (*small, *(DYNOS, LOOPING)[len(small) :]))
    with tempfile.TemporaryDirectory(prefix="fleet-") as base:
        os.chmod(base, 0o755)
        archive = slug(base)
        platform = Whole(base)
        group = Group(platform)
        try:
            platform.wait_ready()
            with contextlib.closing(Fleet(platform, archive)) as fleet:
                print(f"{'':<70}{'found':>10}        asked")
                measure(fleet, group, dynos, looping)
        finally:
            begun = time.monotonic()
            platform.stop()
            row("Ctrl-C in the midst of it, until nothing is left", time.monotonic() - begun, "s")
            group.remove()


def row(what, value, unit, asked=""):
    print(f"{what:<70}{value:>10.2f} {unit:<7}{asked}", flush=True)


def measure(fleet, group, dynos, looping):
    hundred(fleet, group)
    few = boots(fleet, group, FEW)
    apps = many(fleet, dynos)
    memory(fleet, dynos)
    idle(fleet, f"{dynos} idle")
    row(
        "dyno ps of one of the apps (p50)",
        statistics.median(fleet.ps(apps[0]) for _ in range(PS)),
        "ms",
        "200",
    )
    crashes(fleet, apps[0])
    lots = boots(fleet, group, dynos)
    row(f"CPU of a boot, {dynos} to {FEW}", lots[0] / few[0], "x", "1.3")
    row(f"time of a boot, {dynos} to {FEW}", lots[1] / few[1], "x", "1.3")
    adoption(fleet, apps, dynos)
    for app in apps:
        fleet.scale(app, 0)
    fleet.settled(FEW)
    loops(fleet, group, looping)


# -- one to a hundred, and one more ------------------------------------------------------------------------------------


def hundred(fleet, group):
    app = fleet.app("hundred")
    fleet.routed({app: 1})
    cpu, begun = group.cpu(), time.monotonic()
    fleet.platform.dyno("ps:scale", f"web={PER_APP}", "-a", app)
    fleet.routed({app: PER_APP})
    took, cpu = time.monotonic() - begun, group.cpu() - cpu
    fleet.answering(app, PER_APP)
    row(f"dyno ps:scale web={PER_APP} of an app with 1, until all are routed", took, "s", "2")
    row("  CPU of it", cpu, "s")
    begun = time.monotonic()
    fleet.scale(app, FEW)
    fleet.settled(FEW)
    row(f"web={PER_APP} to web={FEW}, until all of it is cleared up", time.monotonic() - begun, "s")


def boots(fleet, group, there):
    """Boot a batch more and take it away again, some times over; give the CPU and the time of one boot."""
    app = f"probe-{there}"
    fleet.app(app)
    cpus, times = [], []
    for _ in range(BATCHES):
        fleet.scale(app, 0)
        fleet.settled(there)
        cpu, begun = group.cpu(), time.monotonic()
        fleet.scale(app, BATCH)
        fleet.routed({app: BATCH})
        times.append((time.monotonic() - begun) / BATCH * 1000)
        cpus.append((group.cpu() - cpu) / BATCH * 1000)
    fleet.scale(app, 0)
    fleet.settled(there)
    cpu, took = statistics.median(cpus), statistics.median(times)
    row(f"{BATCH} boots at once, {there} there: CPU of each", cpu, "ms")
    row(f"{BATCH} boots at once, {there} there: time of each", took, "ms")
    return cpu, took


# -- many --------------------------------------------------------------------------------------------------------------


def many(fleet, dynos):
    kernel = kernel_memory()
    full, rest = divmod(dynos - FEW, PER_APP)
    wanted = {fleet.app(f"many-{number}"): PER_APP for number in range(full)}
    if rest:
        wanted[fleet.app("many-last")] = rest
    fleet.routed(dict.fromkeys(wanted, 1))
    begun = time.monotonic()
    for app, count in wanted.items():
        fleet.scale(app, count)
    fleet.routed(wanted)
    took = time.monotonic() - begun
    for app, count in wanted.items():
        fleet.answering(app, count)
    row(f"{dynos - FEW} more dynos, until all are routed", took, "s")
    for name, now in kernel_memory().items():
        row(f"  the kernel's {name} for each", (now - kernel[name]) / (dynos - FEW) / 1024, "MiB")
    return list(wanted)


def memory(fleet, dynos):
    shares = fleet.shares()
    apps = shares.pop("app")
    for name, kib in sorted(shares.items()):
        row(f"  PSS of {name}", kib / 1024, "MiB")
    row(f"memory of the platform for each of {dynos} dynos", shares.total() / dynos / 1024, "MiB", "1")
    row("  the apps' own, for each", apps / dynos / 1024, "MiB")


def idle(fleet, when):
    """Nothing is asked and nothing happens: who wakes up all the same?"""
    before, begun = fleet.activity(), time.monotonic()
    pause(MINUTE)
    after, minutes = fleet.activity(), (time.monotonic() - begun) / 60
    total = 0.0
    for name in sorted(after):
        switches, cpu = (now - was for now, was in zip(after[name], before[name], strict=True))
        row(f"  {when}: {name} woke up", switches / minutes, "/min", "0" if name == "dyno-init" else "")
        if name != "app":
            total += cpu
            row(f"  {when}: CPU of {name}", cpu / minutes * 1000, "ms/min")
    row(f"{when}: the platform, of one core", total / minutes / 60 * 100, "%")


def crashes(fleet, app):
    """Kill apps from outside, one after the other: until the host has their replacement in hand, and until it is routed."""
    asked, routed = [], []
    for number in range(1, CRASHES + 1):
        key = (app, f"web.{number}")
        old = fleet.backends()[key]
        with fleet.births() as born:
            begun = time.monotonic()
            fleet.kill(old)
            born()
            asked.append((time.monotonic() - begun) * 1000)
        fleet.until(lambda key=key, old=old: fleet.backends().get(key, old) != old)
        routed.append((time.monotonic() - begun) * 1000)
    row(
        "a crash among them, until the host makes its replacement (p50)",
        statistics.median(asked),
        "ms",
        "100",
    )
    row("  the slowest", max(asked), "ms", "100")
    row("  until the replacement is routed (p50)", statistics.median(routed), "ms")


def adoption(fleet, apps, dynos):
    """kill -9 of the control plane: until it answers, and until it has met the dyno host and knows every dyno again."""
    (pid,) = fleet.platform.pids("control")
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    fleet.reconnect(lambda: fleet.states(apps[0]))
    row(f"kill -9 of the control plane among {dynos}, until it answers", time.monotonic() - begun, "s")
    for app in apps:
        fleet.reconnect(lambda app=app: fleet.call("dynos.explain", app=app, dyno="web.1"))
    row("  until it knows every dyno again", time.monotonic() - begun, "s")
    states = sum((fleet.states(app) for app in apps), start=type(fleet.states(apps[0]))())
    row("  dynos that are up then", states["up"], "", f"{dynos - FEW}")


# -- crash loops -------------------------------------------------------------------------------------------------------


def loops(fleet, group, looping):
    apps = [fleet.app(f"loop-{number}", "loop") for number in range(looping)]
    cpu, begun, times = group.cpu(), time.monotonic(), []
    for app in apps:
        fleet.scale(app, 1, "loop")
    waiting = set(apps)
    while waiting:
        times.append(fleet.ps(apps[0]))
        waiting = {app for app in waiting if fleet.states(app) != {"crashed": 1}}
    row(f"{looping} apps crash together, until all of them have to wait", time.monotonic() - begun, "s")
    row("  CPU of it, two boots each", group.cpu() - cpu, "s")
    row("  dyno ps meanwhile, the slowest", max(times), "ms")
    fleet.settled(FEW)
    cpu, begun = group.cpu(), time.monotonic()
    idle(fleet, f"{looping} in back-off")
    share = (group.cpu() - cpu) / (time.monotonic() - begun) * 100
    row(f"{looping} in back-off: everything, of one core", share, "%", "20")
    row("  dyno ps (p50)", statistics.median(fleet.ps(apps[0]) for _ in range(PS)), "ms", "200")


if __name__ == "__main__":
    main()
