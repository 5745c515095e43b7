"""Memory for real: above the quota there is R14, at twice it R15 and a new dyno; and what is told of it afterwards."""

import pytest

from dynod.core.quota import ceiling

pytestmark = pytest.mark.e2e

PROCFILE = """\
over: exec python3 eat.py 600
twice: exec python3 eat.py 1030
far: exec python3 eat.py 4000
"""
EAT = """\
import pathlib, signal, sys
pathlib.Path("written").write_text("x" * 1000)
pathlib.Path("Procfile").unlink()
print("last words", flush=True)
kept = [bytearray(b"x") * (1 << 20) for _ in range(int(sys.argv[1]))]
signal.pause()
"""
CEILING = ceiling(512 << 20)
R15 = [
    "Error R15 (Memory quota vastly exceeded)",
    "Stopping process with SIGKILL",
    "Process exited with status 137",
    "State changed from up to crashed",
]


def log(platform, dyno):
    lines = platform.dyno("logs", "-a", "memory", "-n", "1500", "-d", dyno).stdout.splitlines()
    return [line.partition(": ")[2] for line in lines]


def after(lines, text):
    """The lines from the first that begins so; () if there is none."""
    starts = [at for at, line in enumerate(lines) if line.startswith(text)]
    return lines[starts[0] :] if starts else []


@pytest.fixture(scope="module")
def app(platform):
    return platform.deploy_files({"Procfile": PROCFILE, "eat.py": EAT}, "memory")


def test_above_its_quota_a_dyno_is_warned_and_runs_on(platform, app):
    platform.dyno("ps:scale", "over=1", "-a", app)
    platform.until(lambda: after(log(platform, "over.1"), "Error R14"), app)
    lines = log(platform, "over.1")
    at = lines.index("Error R14 (Memory quota exceeded)")
    assert lines[at - 1].startswith("Process running mem=")
    assert [dyno["state"] for dyno in platform.json("ps", "-a", app)] == ["up"]
    platform.dyno("features:enable", "log-runtime-metrics", "-a", app)
    platform.until(lambda: [each for each in log(platform, "over.1") if "sample#memory_rss=6" in each], app)
    assert after(log(platform, "over.1"), "source=over.1 dyno=heroku.")
    platform.dyno("ps:scale", "over=0", "-a", app)
    platform.until(lambda: after(log(platform, "over.1"), "State changed from up to down"), app)
    (started, stopped) = platform.json("why", "over.1", "-a", app)
    assert (started["event"], started["reason"]) == ("started", "scaled to over=1 by admin@localhost")
    assert (stopped["event"], stopped["reason"]) == (
        "stopped",
        "scaled to over=0 by admin@localhost; ended by SIGTERM (status 143)",
    )


# The first is told by a reading; the second is killed by the kernel, unless the machine is slow.
@pytest.mark.parametrize("type", ["twice", "far"])
def test_at_twice_its_quota_it_is_killed_and_starts_anew_and_is_told_of(platform, app, type):
    platform.dyno("ps:scale", f"{type}=1", "-a", app)
    name = f"{type}.1"
    platform.until(lambda: after(log(platform, name), "State changed from crashed to starting"), app)
    lines = log(platform, name)
    at = lines.index(R15[0])
    assert lines[at - 1].startswith("Process running mem=10")
    assert [line for line in lines[at:] if line in R15][:4] == R15
    deaths = platform.until(lambda: platform.json("autopsy", name, "-a", app), app)
    death = deaths[-1]
    assert (death["state"], death["exit_status"]) == ("crashed", 137)
    assert death["cause"].startswith("R15: it had 10")
    assert death["memory_peak"] >= 1024 * 1024 * 1024
    by_kernel = death["memory_peak"] > CEILING - (1 << 20)
    assert death["cgroup"]["memory_kills"] == (1 if by_kernel else 0)
    assert type == "far" or not by_kernel
    assert f"app[{name}]: last words" in death["lines"]
    assert {"path": "/app/written", "kind": "file", "size": 1000} in death["files"]
    assert {"path": "/app/Procfile", "kind": "deleted", "size": 0} in death["files"]
    causes = platform.json("why", name, "-a", app)
    assert [each["event"] for each in causes[:3]] == ["started", "crashed", "started"]
    assert causes[1]["reason"] == death["cause"]
    assert causes[2]["reason"] == f"it crashed: {death['cause']}"
    assert "R15: it had" in platform.dyno("why", name, "-a", app).stdout
    assert "=== Files it had changed" in platform.dyno("autopsy", name, "-a", app).stdout
    platform.dyno("ps:scale", f"{type}=0", "-a", app)
