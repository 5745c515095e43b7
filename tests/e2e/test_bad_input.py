"""What a machine does to a platform: no uid, a full disk, no process, a slug that is gone or spoiled, a clock that jumps.

Each time: a line in the app's log that names the dyno and the cause, a state that is true, `dyno why` that says the same, and a dyno that runs
again by itself once the cause is gone. The parts are real: a small file system under STATE, a range of four uids, cgroups
with limits, and a clock that is shifted under every program by a preloaded library.
"""

import contextlib
import glob
import hashlib
import os
import re
import shutil
import struct
import subprocess
import time
from datetime import datetime

import pytest
import whole
from waiting import run, until

pytestmark = pytest.mark.e2e("mount", "cc")

APP, OTHER = "bad", "good"
UIDS = 4
TOML = f"""\
uid_count = {UIDS}
warm = 1
boot_timeout = 5
stop_grace = 5
disk_ceiling = "none"
log_rate = 100

[sizes.tiny]
memory = "96MB"
processes = 24
"""
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
/* Shifts the wall clock, and no other, by the seconds that stand in a shared file. */
static long *shift(void) {
    static long *at, none;
    if (!at) {
        int fd = open(getenv("WALL_SHIFT") ? getenv("WALL_SHIFT") : "", O_RDONLY | O_CLOEXEC);
        at = fd < 0 ? &none : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) at = &none;
    }
    return at;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, now);
    if (!done && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += *shift();
    return done;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec, now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
"""


@pytest.fixture(scope="module")
def shift(tmp_path_factory):
    """Set the platform's wall clock so many seconds ahead."""
    base = tmp_path_factory.mktemp("clock")
    (base / "clock.c").write_text(CLOCK)
    library = base / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, base / "clock.c", "-ldl"], check=True)
    with open(base / "shift", "w+b", buffering=0) as file:
        file.write(struct.pack("l", 0))

        def ahead(seconds):
            os.pwrite(file.fileno(), struct.pack("l", seconds), 0)

        ahead.env = {"LD_PRELOAD": str(library), "WALL_SHIFT": str(base / "shift")}
        yield ahead


@pytest.fixture(scope="module")
def platform(tmp_path_factory, shift):
    """A platform of its own, STATE on a file system of 200 MB."""
    base = tmp_path_factory.mktemp("w")
    base.chmod(0o755)
    (base / "dynod.toml").write_text(TOML)
    (base / "s").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m,nr_inodes=30000,mode=755", "tmpfs", base / "s"], check=True
    )
    try:
        before = dict(os.environ)
        os.environ.update(shift.env)
        try:
            made = whole.Whole(base, "--config", str(base / "dynod.toml"))
        finally:
            for name in shift.env:
                os.environ.pop(name)
                os.environ.update({name: before[name]} if name in before else {})
        try:
            made.wait_ready()
        except BaseException:
            made.up.kill()
            made.up.wait()
            raise
        made.archives = {}
        for app in (APP, OTHER):
            tree = made.clone("shell", app)
            (tree / "mark").write_text(app)  # or both had the same slug
            made.commit(tree, "mark")
            made.push(tree)
            until_state(made, app, "web.1", "up")
            (made.archives[app],) = set((base / "s/slugs").glob("*.tgz")) - set(made.archives.values())
        yield made
        made.up.send_signal(2)
        assert made.up.wait(whole.STOP_CAP) == 0
    finally:
        subprocess.run(["umount", base / "s"], check=True)
    assert whole.left(base) == []


# -- what is looked at -------------------------------------------------------------------------------------------------


def state(platform, app, name):
    return {dyno["name"]: dyno["state"] for dyno in platform.json("ps", "-a", app)}.get(name)


def until_state(platform, app, name, wanted):
    platform.until(lambda: state(platform, app, name) == wanted, app)


def said(platform, app, name):
    """The platform's lines about a dyno, newest last."""
    words = ("logs", "-a", app, "-n", "1500", "-d", name, "-s", "heroku")
    lines = platform.dyno(*words).stdout.splitlines()
    assert all(re.match(rf"\S+ heroku\[{re.escape(name)}\]: ", line) for line in lines)
    return [line.partition(": ")[2] for line in lines]


def last_crash(platform, app, name):
    causes = platform.json("why", name, "-a", app)
    return next(cause["reason"] for cause in reversed(causes) if cause["event"] == "crashed")


@contextlib.contextmanager
def fails(platform, name, line, app=APP):
    """Within, the dyno cannot be started any more; a line of its log that `line` finds says why, and so do its state and its history."""
    start = len(said(platform, app, name))
    with platform.tail(app) as next_line:  # not to miss what the block makes it say
        yield
        while not (found := [text for text in said(platform, app, name)[start:] if re.search(line, text)]):
            next_line()
    assert state(platform, app, name) in {"crashed", "starting"}  # starting: it is being tried once more
    assert name in found[0] or found[0].startswith("Error R")
    lines = said(platform, app, name)[start:]
    assert lines[lines.index(found[0]) :][:3].count("State changed from starting to crashed") == 1
    assert re.search(line, last_crash(platform, app, name))
    assert state(platform, OTHER, "web.1") == "up"


def mends(platform, name, app=APP):
    until_state(platform, app, name, "up")
    assert platform.get(app)[0] == 200
    (why,) = [cause for cause in platform.json("why", name, "-a", app) if cause["event"] == "started"][-1:]
    assert why["reason"].startswith("it could not be started and has waited: ")


def cannot_run(platform):
    """A one-off that cannot be started ends at once for whoever waits at it."""
    done = platform.dyno("run", "-a", APP, "--", "true", check=False, timeout=60)
    assert done.returncode != 0
    assert re.search(rf"cannot start run\.\d+ of {APP}; see `dyno logs -a {APP}`", done.stderr + done.stdout)


# -- the eight -----------------------------------------------------------------------------------------------------------


def test_no_free_uid(platform):
    """Four dynos at a time: the fifth waits, and is there once another gave its uid back."""
    with fails(platform, "web.4", rf"^cannot start web\.4: all {UIDS} user ids are in use; "):
        platform.dyno("ps:scale", "web=4", "-a", APP)
    assert [state(platform, APP, f"web.{number}") for number in (1, 2, 3)] == ["up"] * 3
    cannot_run(platform)
    platform.dyno("ps:scale", "web=0", "-a", OTHER)
    mends(platform, "web.4")
    platform.dyno("ps:scale", "web=1", "-a", APP)
    platform.until(lambda: len(platform.json("ps", "-a", APP)) == 1, APP)
    platform.dyno("ps:scale", "web=1", "-a", OTHER)
    until_state(platform, OTHER, "web.1", "up")


def test_a_full_disk(platform):
    """What a dyno writes, what the ledger takes, what the engine notes: all of it is on this disk."""
    disk = platform.base / "s"
    with fails(platform, "web.1", r"^cannot start web\.1: .*No space left on device"):
        fill(disk)
        refused = platform.dyno("config:set", "FULL=yes", "-a", APP, check=False)
        assert (refused.returncode, "the disk is full" in refused.stderr) == (1, True)
        assert "FULL" not in platform.json("config", "-a", APP)
        platform.dyno("ps:restart", "web.1", "-a", APP)
    push = platform.push(platform.base / f"tree-{APP}", "-f", check=False)
    assert "Traceback" not in push
    empty(disk)
    mends(platform, "web.1")
    platform.dyno("config:set", "FULL=no", "-a", APP)
    assert platform.json("config", "-a", APP)["FULL"] == "no"
    until_state(platform, APP, "web.1", "up")


def fill(disk):
    """Take the last byte and the last inode."""
    with open(disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(1 << 16))
    (disk / "many").mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        for number in range(1 << 20):
            os.mknod(disk / "many" / str(number))


def empty(disk):
    (disk / "ballast").unlink()
    shutil.rmtree(disk / "many")


def test_a_slug_that_vanished(platform):
    archive = platform.archives[APP]
    tree = archive.with_suffix("")
    with fails(
        platform, "web.1", r"^cannot start web\.1: slug v\d+ is missing; put /\S+\.tgz back, or push again$"
    ):
        archive.rename(f"{archive}.away")
        tree.rename(f"{tree}.away")
        platform.dyno("ps:restart", "web.1", "-a", APP)
    cannot_run(platform)
    os.rename(f"{archive}.away", archive)
    mends(platform, "web.1")
    shutil.rmtree(f"{tree}.away")


def test_a_corrupt_slug(platform):
    """R17 to Heroku's letter, `does match` included, each time it is tried; the good bytes mend it."""
    archive = platform.archives[APP]
    tree = archive.with_suffix("")
    bad = bytearray(archive.read_bytes())
    bad[len(bad) // 2] ^= 0x40
    actual = hashlib.sha256(bad).hexdigest()
    line = (
        "Error R17 (Checksum error) -> Checksum does match expected value. "
        f"Expected: SHA256:{archive.stem} Actual: SHA256:{actual}"
    )
    with fails(platform, "web.1", f"^{re.escape(line)}$"):
        archive.rename(f"{archive}.good")
        archive.write_bytes(bad)
        tree.rename(f"{tree}.away")
        platform.dyno("ps:restart", "web.1", "-a", APP)
    assert not tree.exists()  # nothing of the bad one was unpacked
    os.rename(f"{archive}.good", archive)
    mends(platform, "web.1")
    shutil.rmtree(f"{tree}.away")


def test_a_failed_fork(platform):
    """The cgroup above all dynos takes no further process."""
    instance = hashlib.sha256(os.path.realpath(platform.run).encode()).hexdigest()[:8]
    (most,) = glob.glob(f"/sys/fs/cgroup/pids/dynod/{instance}/pids.max") or glob.glob(
        f"/sys/fs/cgroup/dynod/{instance}/pids.max"
    )
    with fails(platform, "web.1", r"^cannot start web\.1: .*(fork|Resource temporarily unavailable)"):
        write(most, "1")
        platform.dyno("ps:restart", "web.1", "-a", APP)
    write(most, "max")
    mends(platform, "web.1")
    assert platform.get(OTHER)[0] == 200  # which could not even make a thread meanwhile


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def test_a_size_that_is_no_more_and_one_that_never_was(platform):
    """Refused by name where it is asked for; where it is in use it stays what it was, whatever dynod.toml says now."""
    refused = platform.dyno("ps:type", "web=huge", "-a", APP, check=False)
    assert (refused.returncode, "cannot find dyno size 'huge'; sizes are Eco, " in refused.stderr) == (
        1,
        True,
    )
    platform.dyno("ps:type", "web=tiny", "-a", APP)
    until_state(platform, APP, "web.1", "up")
    limits = [line for line in platform.json("explain", "web.1", "-a", APP) if line.startswith("cgroup ")]
    assert [line.partition(": ")[2] for line in limits] == [
        f"memory {(2 * 96 + 32) << 20} bytes, 24 tasks, cpu x1"
    ]
    toml = platform.base / "dynod.toml"
    toml.write_text(TOML.partition("[sizes.tiny]")[0])
    before = platform.json("ps", "-a", APP)
    (serve,) = platform.pids("control")
    os.kill(serve, 9)
    run(until(lambda: another(platform, serve), watch=[platform.run]))
    platform.dyno("ps:restart", "web.1", "-a", APP)
    until_state(platform, APP, "web.1", "up")
    (after,) = platform.json("ps", "-a", APP)
    assert (after["size"], after["id"] != before[0]["id"]) == ("tiny", True)
    toml.write_text(TOML)


def another(platform, serve):
    """Whether a new control plane serves."""
    with contextlib.suppress(OSError, ValueError):
        return platform.pids("control") != [serve] and platform.dyno("apps", check=False).returncode == 0
    return False


def test_a_flood_of_its_log(platform):
    """It is counted and dropped, its writer waits for nobody, and neither the disk nor a neighbour's log notices."""
    platform.dyno("run:detached", "-a", APP, "timeout 3 yes the flood; echo over with $?")

    def lines():
        return platform.dyno("logs", "-a", APP, "-n", "1500").stdout.splitlines()

    platform.until(lambda: any("Error L12: " in line for line in lines()), APP)
    platform.dyno("run:detached", "-a", OTHER, "echo calm and heard")
    platform.until(lambda: "calm and heard" in platform.dyno("logs", "-a", OTHER).stdout, OTHER)
    platform.until(
        lambda: any(re.search(r"State changed from up to complete", line) for line in lines()), APP
    )
    platform.until(lambda: flood_over(lines()), APP)
    (dropped, *_) = [int(found[1]) for line in lines() if (found := re.search(L12, line))]
    assert dropped > 10_000
    assert (
        sum(path.stat().st_size for path in (platform.base / "s/logs").rglob("*") if path.is_file())
        < 10 << 20
    )


L12 = r"heroku\[run\.\d+\]: Error L12: (\d+) messages dropped since \S+\+00:00\.$"


def flood_over(lines):
    """Whether all of it was counted: what was dropped last is told when its dyno has gone, behind what was kept."""
    counts = [at for at, line in enumerate(lines) if re.search(L12, line)]
    kept = [at for at, line in enumerate(lines) if line.endswith("]: the flood")]
    return any("over with 124" in line for line in lines) or max(counts, default=-1) > max(kept, default=-1)


def test_a_clock_that_jumps(platform, shift):
    """Days ahead and back: no dyno is cycled, no deadline comes early or late, and lines are in order."""
    before = {app: platform.json("ps", "-a", app)[0]["id"] for app in (APP, OTHER)}
    lines = {app: said(platform, app, "web.1") for app in before}
    for days in (40, -40, 0):
        shift(days * 86_400)
        assert [platform.get(app)[0] for app in before] == [200, 200]
        # A step for its loop, which looks at deadlines.
        platform.dyno("run:detached", "-a", OTHER, f"echo jumped {days} days")
        platform.until(lambda: f"jumped {days} days" in platform.dyno("logs", "-a", OTHER).stdout, OTHER)  # noqa: B023  # at once
    assert {app: platform.json("ps", "-a", app)[0]["id"] for app in before} == before
    assert {app: said(platform, app, "web.1") for app in before} == lines
    shift(-3600)
    platform.dyno("config:set", "LATE=yes", "-a", APP)
    until_state(platform, APP, "web.1", "up")
    shift(0)
    last = platform.dyno("logs", "-a", APP, "-n", "1").stdout.split()[0]
    assert abs(time.time() - datetime.fromisoformat(last).timestamp()) < 600 + 3600
