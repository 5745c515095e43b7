"""The disk with the state is full, or every write to it fails: changes are refused clearly, apps serve on, and it mends."""

import pytest
from support.load import Load

from tests.lab_parts.disk import Disk, started

pytestmark = [
    pytest.mark.linux("mkfs.btrfs", "mkfs.ext4", "e2fsck"),
    pytest.mark.e2e,
    pytest.mark.timeout(600),
]

APP = "hello"


@pytest.fixture
def disk(tmp_path):
    tmp_path.chmod(0o755)  # dynos' users pass through
    made = Disk(tmp_path)
    yield made
    made.close()


def dynos(platform):
    return {(row["name"], row["id"]) for row in platform.json("ps", "-a", APP)}


def set_word(platform, value):
    return platform.dyno("config:set", f"WORD={value}", "-a", APP, check=False, timeout=60)


def word(platform):
    return platform.dyno("config:get", "WORD", "-a", APP).stdout.strip()


def test_a_full_disk_refuses_changes_by_its_name_serves_on_and_mends(disk):
    with started(disk.base) as platform:
        tree = platform.deploy("shell", APP)
        assert set_word(platform, "before").returncode == 0
        platform.until(lambda: platform.get(APP)[0] == 200, APP)
        before = dynos(platform)
        disk.fill()
        with Load(platform.ready["router"], APP) as load:
            said = set_word(platform, "full")
            platform.commit(tree, "while it is full")
            pushed = platform.git(tree, "push", "heroku", "main", check=False)
            load.wait_more(50)
        print(said.stderr, pushed.stderr)
        assert load.failed == []
        assert dynos(platform) == before
        assert word(platform) == "before"
        disk.free()
        assert said.returncode == 1
        assert "disk" in said.stderr
        assert "Traceback" not in said.stderr + pushed.stderr
        assert pushed.returncode != 0
        assert set_word(platform, "after").returncode == 0
        assert word(platform) == "after"
        platform.push(tree)
        assert platform.get(APP)[0] == 200


def test_a_disk_that_errs_refuses_changes_by_its_name_serves_on_and_keeps_what_was_acknowledged(disk):
    with started(disk.base) as platform:
        platform.deploy("shell", APP)
        assert set_word(platform, "before").returncode == 0
        platform.until(lambda: platform.get(APP)[0] == 200, APP)
        before = dynos(platform)
        disk.err()
        with Load(platform.ready["router"], APP) as load:
            tries = [set_word(platform, f"try{number}") for number in range(3)]
            load.wait_more(50)
        print(*[one.stderr for one in tries])
        assert load.failed == []
        assert dynos(platform) == before
        disk.mend()
    acknowledged = [f"try{number}" for number, one in enumerate(tries) if one.returncode == 0]
    assert len(acknowledged) < len(tries)
    for one in tries:
        assert one.returncode == 0 or "ledger.db: the disk answers with an error" in one.stderr, one.stderr
    disk.remount()
    with started(disk.base) as platform:
        assert word(platform) == (acknowledged or ["before"])[-1]
        assert set_word(platform, "after").returncode == 0
        platform.until(lambda: platform.get(APP)[0] == 200, APP)
