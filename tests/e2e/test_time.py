"""What takes minutes, an hour, a day, a month, on a platform whose time is advanced: dynos cycle, sleep, wait, are given up."""

import contextlib
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest
from support import whole

from dynod.cli.client import Client
from dynod.model.refused import Refused

pytestmark = pytest.mark.e2e

WEB = textwrap.dedent("""
    import http.server, os, signal
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ.get("UNBOUND"):
        signal.pause()
    http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
    """)
EDGE = 60  # seconds before and behind a moment; the platform's own time goes on meanwhile
ENDED = "Process exited with status 143"


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A platform whose time may be advanced, at the 2nd of a month, with an app of web and worker."""
    base = tmp_path_factory.mktemp("z")
    base.chmod(0o755)
    (base / "dynod.toml").write_text("lab_time = true\neco_hours = 20\n")
    made = whole.start(base, "--config", str(base / "dynod.toml"))
    made.at = datetime.now(UTC)
    second = (made.at.replace(day=28) + timedelta(days=4)).replace(day=2, hour=12, minute=0)
    wall(made, f"{int((second - made.at).total_seconds())}s")
    tree = made.clone("shell", "daily")
    (tree / "server").write_text(WEB)
    (tree / "Procfile").write_text("web: exec python3 server\nworker: exec sleep 1000000\ncrash: exit 1\n")
    made.commit(tree, "serve")
    made.push(tree)
    made.dyno("ps:scale", "web=0", "-a", "daily")  # the deploy started it; each test runs what it needs
    made.until(lambda: states(made) == {}, "daily")
    yield made
    assert made.stop() == 0


def passes(platform, *times):
    for time in times:
        platform.dyno("lab:advance", time)


def wall(platform, time):
    """Set the wall clock, and no time passes."""
    platform.dyno("lab:advance", "--wall", "--", time)


def ids(platform):
    return {dyno["name"]: dyno["id"] for dyno in platform.json("ps", "-a", "daily")}


def states(platform):
    return {dyno["name"]: dyno["state"] for dyno in platform.json("ps", "-a", "daily")}


def said(next_line, process, *lasts):
    """The platform's texts on a process, up to where all of `lasts` were said."""
    texts = []
    while not set(lasts) <= set(texts):
        who, _, text = next_line().partition(": ")
        if f"heroku[{process}]" in who:
            texts.append(text)
    return texts


@contextlib.contextmanager
def fresh(platform, dyno):
    """The lines of a dyno that come from now on, none of which is missed."""
    words = ("--dyno", dyno, "-n", "1500")
    known = len(platform.dyno("logs", "-a", "daily", *words).stdout.splitlines())
    with platform.tail("daily", *words) as lines:
        for _ in range(known):
            lines()
        yield lines


@contextlib.contextmanager
def formation(platform, *rows):
    """Run this, and nothing afterwards, whatever becomes of the test."""
    platform.dyno("ps:scale", *rows, "-a", "daily")
    try:
        yield
    finally:
        none = (f"{row.partition('=')[0]}=0:Standard-1X" for row in rows)
        platform.dyno("ps:scale", *none, "-a", "daily")
        passes(platform, "31s")  # for who does not heed SIGTERM
        platform.until(lambda: states(platform) == {}, "daily")


@contextlib.contextmanager
def config(platform, *given):
    """Have config vars, and none of them afterwards."""
    try:
        platform.dyno("config:set", *given, "-a", "daily")
        yield
    finally:
        platform.dyno("config:unset", "STUBBORN", "UNBOUND", "-a", "daily")


def up(platform, *names):
    platform.until(lambda: states(platform) == dict.fromkeys(names, "up"), "daily")


def test_a_dyno_is_cycled_when_its_day_is_over_and_not_before(platform):
    with formation(platform, "web=1"):
        up(platform, "web.1")
        (before,) = ids(platform).values()
        passes(platform, "23h59m")
        assert platform.get("daily")[0] == 200
        assert ids(platform) == {"web.1": before}
        with fresh(platform, "web.1") as lines:
            passes(platform, "3h37m")  # 24 hours, and up to 216 minutes
            told = said(lines, "web.1", "State changed from starting to up", ENDED)
        start = next(text for text in told if text.startswith("Starting process"))
        assert told[told.index("Cycling") :][:4] == [
            "Cycling",
            "State changed from up to starting",
            start,
            "Stopping all processes with SIGTERM",
        ]
        assert ids(platform)["web.1"] != before
        causes = platform.json("why", "web.1", "-a", "daily")
        assert "its day is over" in str(causes)
        up(platform, "web.1")


def test_setting_the_wall_clock_moves_no_deadline(platform):
    with formation(platform, "web=1:eco", "worker=1:eco"):
        up(platform, "web.1", "worker.1")
        before, begun = ids(platform), used(platform)
        for jump in ("48h", "-96h", "48h"):
            wall(platform, jump)
            assert platform.get("daily")[0] == 200
        assert ids(platform) == before
        assert states(platform) == {"web.1": "up", "worker.1": "up"}
        assert used(platform) - begun < 3600


def used(platform):
    """Seconds of the eco pool, as `ps` says them."""
    line = next(
        line
        for line in platform.dyno("ps", "-a", "daily").stdout.splitlines()
        if "usage for this app" in line
    )
    hours, minutes = (int(word[:-1]) for word in line.partition(": ")[2].split()[:2])
    return hours * 3600 + minutes * 60


def test_an_eco_app_sleeps_after_half_an_hour_and_its_hours_are_counted(platform):
    with formation(platform, "web=1:eco"):
        up(platform, "web.1")
        assert platform.get("daily")[0] == 200
        begun = used(platform)
        with fresh(platform, "web.1") as lines:
            passes(platform, "28m")
            assert platform.get("daily")[0] == 200  # it counts from here
            passes(platform, "29m")
            assert states(platform) == {"web.1": "up"}
            passes(platform, "2m")
            told = said(lines, "web.1", ENDED)
        assert told[-4:] == [
            "Idling",
            "State changed from up to down",
            "Stopping all processes with SIGTERM",
            ENDED,
        ]
        spent = used(platform) - begun
        assert 58 * 60 <= spent <= 62 * 60
        passes(platform, "5h")
        assert used(platform) - begun == spent  # asleep it costs nothing
        assert platform.get("daily")[0] == 200


def test_an_app_does_not_fall_asleep_under_somebody_s_hands(platform):
    with formation(platform, "web=1:eco"):
        up(platform, "web.1")
        argv = [
            sys.executable,
            "-P",
            "-m",
            "dynod.cli",
            "ps:exec",
            "-a",
            "daily",
            "--run",
            platform.run,
            "--",
            "cat",
        ]
        with fresh(platform, "web.1") as lines:
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
                for _ in range(3):
                    child.stdin.write(b"here\n")
                    child.stdin.flush()
                    assert child.stdout.readline() == b"here\n"
                    passes(platform, "31m")
                    assert states(platform) == {"web.1": "up"}
            assert child.returncode == 0
            passes(platform, "31m")
            assert "Idling" in said(lines, "web.1", ENDED)


def test_an_empty_pool_puts_a_worker_to_sleep_and_the_next_month_wakes_it(platform):
    with formation(platform, "worker=1:eco"):
        up(platform, "worker.1")
        with fresh(platform, "worker.1") as lines:
            passes(platform, "21h")
            said(lines, "worker.1", "Idling")
            passes(platform, "32d")
            said(lines, "worker.1", "State changed from starting to up")
        assert used(platform) < 3600


def test_a_dyno_that_does_not_bind_and_one_that_does_not_stop_are_killed_when_their_time_is_over(platform):
    with config(platform, "STUBBORN=1"), formation(platform, "web=1"):
        up(platform, "web.1")
        with fresh(platform, "web.1") as lines:
            platform.dyno("ps:restart", "-a", "daily")
            said(lines, "web.1", "Stopping all processes with SIGTERM")
            passes(platform, "31s")
            told = said(lines, "web.1", "Process exited with status 137")
        successor = ("Starting process", "State changed")  # what the next web.1 says of itself meanwhile
        assert [line for line in told if not line.startswith(successor)][-3:] == [
            "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
            "Stopping remaining processes with SIGKILL",
            "Process exited with status 137",
        ]
        up(platform, "web.1")
        with fresh(platform, "web.1") as lines:
            platform.dyno("config:set", "UNBOUND=1", "STUBBORN=", "-a", "daily")
            said(lines, "web.1", "Stopping all processes with SIGTERM")
            passes(platform, "30s")
            said(lines, "web.1", "Process exited with status 137")  # the stubborn one
            passes(platform, "31s")
            told = said(lines, "web.1", "Process exited with status 137")
        assert told[-3:] == [
            "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch",
            "Stopping process with SIGKILL",
            "Process exited with status 137",
        ]


def test_a_crash_is_tried_again_at_once_then_after_ten_minutes_twenty_and_forty(platform):
    exited = "Process exited with status 1"
    with fresh(platform, "crash.1") as lines, formation(platform, "crash=1"):
        for _ in range(2):
            said(lines, "crash.1", exited)
        for wait in (10, 20, 40):
            said(lines, "crash.1", "State changed from up to crashed")
            passes(platform, f"{wait * 60 - EDGE}s")
            assert states(platform) == {"crash.1": "crashed"}
            passes(platform, f"{EDGE}s")
            said(lines, "crash.1", exited)


def test_a_scale_need_not_wait_for_the_next_try(platform):
    """HEROKU.md 1.5, row "back-off reset"; a release and a restart do the same."""
    exited = "Process exited with status 1"
    with fresh(platform, "crash.1") as lines, formation(platform, "crash=1"):
        for _ in range(2):
            said(lines, "crash.1", exited)
        said(lines, "crash.1", "State changed from up to crashed")
        platform.dyno("ps:scale", "crash=2", "-a", "daily")
        for _ in range(2):  # at once, and once more, as after the first crash
            said(lines, "crash.1", exited)
        causes = [cause["reason"] for cause in platform.json("why", "crash.1", "-a", "daily")]
        assert "scaled to crash=2 by admin@localhost" in causes


def test_an_attached_one_off_that_says_nothing_for_an_hour_is_hung_up_on(platform):
    argv = [sys.executable, "-P", "-m", "dynod.cli", "run", "-a", "daily", "--run", platform.run, "--", "cat"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        for _ in range(2):
            child.stdin.write(b"here\n")
            child.stdin.flush()
            assert child.stdout.readline() == b"here\n"
            passes(platform, "59m")
            assert [state for name, state in states(platform).items() if name.startswith("run.")] == ["up"]
        with platform.tail("daily") as lines:
            passes(platform, "2m")
            assert child.wait(60) == 1
            assert b"nothing was said for 1 h, so we hung up" in child.stderr.read()
            while "Client connection closed. Sending SIGHUP to all processes" not in lines():
                pass
    platform.until(lambda: states(platform) == {}, "daily")


@contextlib.contextmanager
def run_for(platform, command, seconds):
    """A detached one-off with a time to live, which the API takes and no verb has: its name once it is up. It is over at the end."""
    with contextlib.closing(Client(f"{platform.run}/control.sock")) as client:
        asked = {"app": "daily", "body": {"command": command, "time_to_live": seconds}}
        name = client.call("dynos.create", asked)["name"]
    try:
        platform.until(lambda: states(platform)[name] == "up", "daily")
        yield name
    finally:
        if name in states(platform):
            platform.dyno("ps:stop", name, "-a", "daily", check=False)
            passes(platform, "31s")
        platform.until(lambda: name not in states(platform), "daily")


def test_a_one_off_is_stopped_when_its_time_to_live_is_over_and_not_before(platform):
    with run_for(platform, "sleep 1000000", 600) as name, fresh(platform, name) as lines:
        passes(platform, "9m")
        assert states(platform)[name] == "up"
        passes(platform, "1m")
        told = said(lines, name, "State changed from up to complete")
    assert told == ["Stopping all processes with SIGTERM", ENDED, "State changed from up to complete"]
    assert "its time to live is over" in str(platform.json("why", name, "-a", "daily"))


def test_a_one_off_that_does_not_heed_the_end_of_its_time_is_killed(platform):
    deaf = "trap '' TERM; echo deaf; while :; do sleep 1000000; done"
    with run_for(platform, deaf, 86_400) as name, fresh(platform, name) as lines:
        platform.until(lambda: ": deaf" in platform.dyno("logs", "-a", "daily", "-d", name).stdout, "daily")
        passes(platform, "23h")
        assert states(platform)[name] == "up"
        passes(platform, "1h")
        said(lines, name, "Stopping all processes with SIGTERM")
        passes(platform, "31s")
        told = said(lines, name, "State changed from up to complete")
    assert told == [
        "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
        "Stopping remaining processes with SIGKILL",
        "Process exited with status 137",
        "State changed from up to complete",
    ]


@pytest.mark.parametrize("seconds", [0, 86_401, -1])
def test_a_time_to_live_beyond_a_day_is_refused(platform, seconds):
    with pytest.raises(Refused, match="time_to_live"), run_for(platform, "true", seconds):
        pass


def test_time_passes_nowhere_else(tmp_path_factory):
    base = tmp_path_factory.mktemp("n")
    base.chmod(0o755)
    made = whole.start(base)
    try:
        done = made.dyno("lab:advance", "1h", check=False)
        assert (done.returncode, "this is no lab; write lab_time = true" in done.stderr) == (1, True)
    finally:
        assert made.stop() == 0
