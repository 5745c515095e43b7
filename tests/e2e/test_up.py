"""A platform from its start to its end: what tools rely on, a first push, two instances, quickstart, a killed parent."""

import os
import re
import signal
import subprocess
import sys

import pytest
from support import whole
from support.waiting import run, until_ended

pytestmark = pytest.mark.e2e


def test_ready_json_has_what_tools_rely_on(platform):
    ready = platform.ready
    assert set(ready) == {"api", "router", "router_tls", "ca", "token", "control", "pids"}
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+", ready["api"])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", ready["router"])
    assert os.path.exists(ready["ca"])
    assert os.path.exists(ready["control"])
    assert os.stat(f"{platform.run}/ready.json").st_mode & 0o777 == 0o600
    for name in ("up", "control", "host", "net", "logplex", "router"):
        for pid in platform.pids(name):
            os.kill(pid, 0)


def test_a_first_push_answers_and_every_verb_tells_of_it(platform):
    tree = platform.clone("shell", "first")
    said = platform.push(tree)
    assert "Released v3" in said
    assert "http://first.localhost" in said
    assert platform.get("first")[0] == 200
    (web,) = [dyno for dyno in platform.json("ps", "-a", "first") if dyno["type"] == "web"]
    assert (web["name"], web["state"]) == ("web.1", "up")
    assert [row["version"] for row in platform.json("releases", "-a", "first")] == [3, 2, 1]
    assert platform.dyno("config:set", "GREETING=hi", cwd=tree).stderr == (
        "Setting GREETING and restarting ⬢ first... done, v4\n"
    )
    assert platform.dyno("config:get", "GREETING", cwd=tree).stdout == "hi\n"
    done = platform.dyno("run", "-a", "first", "--", "sh", "-c", "echo $GREETING; exit 3", check=False)
    assert (done.returncode, done.stdout) == (3, "hi\n")
    assert platform.dyno("rollback", cwd=tree).stderr.startswith("Rolling back ⬢ first to v3... done, v5\n")
    assert platform.json("config", "-a", "first") == {}
    assert "now running worker at 1" in platform.dyno("ps:scale", "worker=1", cwd=tree).stderr
    explained = platform.dyno("explain", "web.1", cwd=tree).stdout
    assert "overlay" in explained
    assert "disk: 4294967296 bytes and 262144 files for all it writes (auto)" in explained
    log = platform.dyno("logs", "-a", "first", "-n", "500").stdout
    for text in ("app[api]: Release v3 created by user", "heroku[web.1]: State changed from starting to up"):
        assert text in log
    assert 'heroku[router]: at=info method=GET path="/"' in log


def test_the_apps_verbs(platform):
    platform.dyno("create", "verbs", "-n")
    assert platform.dyno("info", "-a", "verbs").stdout.startswith("=== ⬢ verbs\n")
    assert "verbs" in [app["name"] for app in platform.json("apps")]
    platform.dyno("rename", "verbs2", "-a", "verbs")
    platform.dyno("maintenance:on", "-a", "verbs2")
    assert platform.dyno("maintenance", "-a", "verbs2").stdout == "on\n"
    assert platform.get("verbs2")[0] == 503
    done = platform.dyno("info", "-a", "verbs", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    platform.dyno("destroy", "-a", "verbs2", "--confirm", "verbs2")
    assert platform.dyno("info", "-a", "verbs2", check=False).returncode == 1


@pytest.mark.parametrize("shared", ["--run", "--state"])
def test_a_second_instance_on_the_same_directory_is_refused(platform, tmp_path, shared):
    own = {"--run": str(tmp_path / "r"), "--state": str(tmp_path / "s")}
    own[shared] = platform.run if shared == "--run" else platform.state
    words = [word for pair in own.items() for word in pair]
    done = subprocess.run(
        [sys.executable, "-m", "dynod", "up", *words, "--api", "127.0.0.1:0", "--router", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"dynod: cannot start: another dynod (pid {platform.up.pid}) uses {own[shared]};"
    )


def test_an_address_that_is_taken_is_refused_by_name(platform, tmp_path):
    taken = platform.ready["router"].removeprefix("http://")
    words = [
        "--run",
        str(tmp_path / "r"),
        "--state",
        str(tmp_path / "s"),
        "--api",
        "127.0.0.1:0",
        "--router",
        taken,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "dynod", "up", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.startswith(f"dynod: cannot listen on {taken}: ")) == (1, True)
    assert whole.left(tmp_path) == []


def test_a_second_instance_lives_beside_and_outlives_the_death_of_its_parent_by_nothing(platform, tmp_path):
    tmp_path.chmod(0o755)
    other = whole.start(tmp_path)
    try:
        other.deploy("shell", "beside")
        assert other.get("beside")[0] == 200
        assert platform.get("beside")[0] == 404
        pids = [pid for name in other.ready["pids"] for pid in other.pids(name)]
        other.up.kill()
        for pid in pids:
            run(until_ended(pid))
    finally:
        other.up.kill()
        other.up.wait()
    assert whole.left(tmp_path) == []


def quickstart(base, *flags):
    argv = [sys.executable, "-m", "dynod", "quickstart", "--state", f"{base}/s", "--run", f"{base}/r", *flags]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def read_to(stream, text):
    said = ""
    for line in stream:
        said += line
        if text in line:
            return said
    raise AssertionError(f"never said {text!r}, but:\n{said}")


def test_quickstart_deploys_says_how_to_reach_it_and_is_short_the_second_time(tmp_path):
    tmp_path.chmod(0o755)
    ports = ("--api", "127.0.0.1:0", "--router", "127.0.0.1:0")
    for pushes in ("pushing examples/shell", "from an earlier run: nothing is pushed"):
        shown = quickstart(tmp_path, *ports)
        try:
            said = read_to(shown.stdout, "Ctrl-C stops the platform")
            assert pushes in said
            host, address = re.search(r"curl -H '(Host: hello\.localhost)' (http://\S+)", said).groups()
            done = subprocess.run(
                ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", host, address],
                capture_output=True,
                text=True,
                timeout=90,
                check=True,
            )
            assert done.stdout == "200"
            shown.send_signal(signal.SIGINT)
            shown.stdout.read()
            assert shown.wait(90) == 0
        finally:
            shown.kill()
            shown.wait()
            shown.stdout.close()
        assert whole.left(tmp_path) == []


def test_quickstart_for_nobody_in_particular_is_refused_in_one_line(tmp_path):
    whole.need_others()
    done = subprocess.run(
        [sys.executable, "-m", "dynod", "quickstart", "--state", f"{tmp_path}/s"],
        capture_output=True,
        text=True,
        user=65534,
        env={"HOME": "/", "PATH": os.environ["PATH"]},
        cwd="/",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "dynod: cannot start: dynos need root to get their walls; try sudo make run\n",
    )
