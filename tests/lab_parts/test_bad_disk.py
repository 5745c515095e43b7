"""The disk with the state is full, or every write to it fails: changes are refused clearly, apps serve on, and it mends."""

import pytest
from support.load import Load
from support.waiting import run, until

from tests.lab_parts.disk import Disk, started

pytestmark = [
    pytest.mark.linux("mkfs.btrfs", "mkfs.ext4", "e2fsck"),
    pytest.mark.e2e,
    pytest.mark.timeout(600),
]

APP = "hello"
FULL = "the disk is full; make room and try again"
ERRS = "the disk answers with an error"


@pytest.fixture
def disk(tmp_path):
    tmp_path.chmod(0o755)  # dynos' users pass through
    made = Disk(tmp_path)
    yield made
    made.close()


def dynos(platform):
    return {(row["name"], row["id"]) for row in platform.json("ps", "-a", APP)}


def left_over(disk):
    """What a push or a build leaves lying about when it is not ended in order."""
    return [
        str(path.relative_to(disk.state))
        for pattern in ("uploads/*", "builds/*", "git/*.git.*", "git/*/objects/tmp_objdir*")
        for path in disk.state.glob(pattern)
    ]


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
        assert left_over(disk) == []
        disk.free()
        assert said.returncode == 1
        assert "disk" in said.stderr
        assert "Traceback" not in said.stderr + pushed.stderr
        assert pushed.returncode != 0
        assert f"remote: cannot take the push: {FULL}" in pushed.stderr
        assert [row["status"] for row in platform.json("builds", "-a", APP)] == ["succeeded"]
        assert set_word(platform, "after").returncode == 0
        assert word(platform) == "after"
        platform.push(tree)
        assert platform.get(APP)[0] == 200


def test_a_disk_that_errs_refuses_changes_by_its_name_serves_on_and_keeps_what_was_acknowledged(disk):
    with started(disk.base) as platform:
        tree = platform.deploy("shell", APP)
        assert set_word(platform, "before").returncode == 0
        platform.until(lambda: platform.get(APP)[0] == 200, APP)
        before = dynos(platform)
        disk.err()
        with Load(platform.ready["router"], APP) as load:
            tries = [set_word(platform, f"try{number}") for number in range(3)]
            platform.commit(tree, "while it errs")
            pushed = platform.git(tree, "push", "heroku", "main", check=False)
            load.wait_more(50)
        print(*[one.stderr for one in tries], pushed.stderr)
        assert load.failed == []
        assert dynos(platform) == before
        disk.mend()
    assert pushed.returncode != 0
    # A loop device passes on why what lies below it could not write, which here is want of room: either word is true.
    assert any(f"remote: cannot take the push: {fault}" in pushed.stderr for fault in (ERRS, FULL))
    acknowledged = [f"try{number}" for number, one in enumerate(tries) if one.returncode == 0]
    assert len(acknowledged) < len(tries)
    for one in tries:
        assert one.returncode == 0 or "ledger.db: the disk answers with an error" in one.stderr, one.stderr
    disk.remount()
    with started(disk.base) as platform:
        assert word(platform) == (acknowledged or ["before"])[-1]
        assert set_word(platform, "after").returncode == 0
        platform.until(lambda: platform.get(APP)[0] == 200, APP)
        platform.dyno("git:remote", APP, cwd=tree)  # its API has another port now
        platform.push(tree)
        # git has its answer a moment before what carried the push is removed
        places = [disk.state / name for name in ("uploads", "builds", "git")]
        run(until(lambda: left_over(disk) == [], watch=places, what="a push left something"))
