"""A full disk for real: the app is told, its log and its autopsy say so, and the platform does not notice."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

FILL = """\
import errno, os
fd, size = os.open("big", os.O_CREAT | os.O_WRONLY), 1 << 32
total = 0
while size >= 1 << 20:
    try:
        os.posix_fallocate(fd, total, size)
        total += size
    except OSError as error:
        print("told", errno.errorcode[error.errno], flush=True)
        size //= 2
"""


def log(platform, dyno):
    lines = platform.dyno("logs", "-a", "filler", "-n", "1500", "-d", dyno).stdout.splitlines()
    return [line.partition(": ")[2] for line in lines]


@pytest.fixture(scope="module")
def app(platform):
    procfile = "fill: exec python3 fill.py\nwait: exec sleep 1000\n"
    return platform.deploy_files({"Procfile": procfile, "fill.py": FILL}, "filler")


def test_a_dyno_that_fills_its_disk_is_told_and_so_is_its_owner(platform, app):
    platform.dyno("ps:scale", "fill=1", "-a", app)
    platform.until(lambda: "State changed from up to crashed" in log(platform, "fill.1"), app)
    platform.dyno("ps:scale", "fill=0", "-a", app)
    lines = log(platform, "fill.1")
    assert "told ENOSPC" in lines
    full = "Disk full: all of its 4G are used, and writes fail with No space left on device"
    assert lines.index(full) < lines.index("Process exited with status 0")
    shown = platform.dyno("autopsy", "fill.1", "-a", app).stdout
    assert "/app/big" in shown


def test_a_one_off_has_a_disk_of_its_size(platform, app):
    one_off = platform.dyno("run", "-a", app, "--", "df -k / | tail -1").stdout.split()
    assert 0.95 * 4 * 1024**2 < int(one_off[1]) < 4 * 1024**2


def test_a_dyno_whose_disk_fails_is_told_killed_and_started_anew_on_another(platform, app):
    platform.dyno("ps:scale", "wait=1", "-a", app)
    platform.until(lambda: "State changed from starting to up" in log(platform, "wait.1"), app)
    (dyno,) = [each for each in platform.json("ps", "-a", app) if each["type"] == "wait"]
    noted = json.loads((Path(platform.run) / "host" / dyno["id"] / "record").read_text())
    Path(f"/sys/fs/ext4/loop{noted['device']}/trigger_fs_error").write_text("broken by a test")
    platform.until(lambda: log(platform, "wait.1").count("State changed from starting to up") == 2, app)
    lines = log(platform, "wait.1")
    failed = lines.index("Disk failed: what the dyno wrote is in doubt, and the file system takes no more")
    after = ["Stopping process with SIGKILL", "Process exited with status 137"]
    assert lines[failed + 1 : failed + 3] == after
    assert not Path(noted["slot"]).exists()
    platform.dyno("ps:scale", "wait=0", "-a", app)
