"""The state of a control plane that was root becomes its user's: all of it, nothing of others', and nothing that somebody put in the way."""

import fcntl
import os
import resource
import subprocess
import sys

import pytest

from dynod.host.handover import hand_over

pytestmark = pytest.mark.linux

UID, GID, SLUGS, LOGS = 64_601, 64_602, 199_999, 64_603
SHA = "ab" * 32


@pytest.fixture(autouse=True)
def descriptors():
    """It raises its own limit of them; the other tests' is as before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def state(tmp_path):
    made = tmp_path / "state"
    for path in (
        "git/app.git",
        "secrets",
        "builds/one/out",
        "router",
        "dynos/d1",
        "logs",
        f"slugs/{SHA}/app",
        "slugs/.new-x",
        "stack/debian/etc",
    ):
        (made / path).mkdir(parents=True)
    for path in (
        "ledger.db",
        "ledger.db-wal",
        "git/app.git/HEAD",
        "secrets/key",
        "router/table",
        "router/certs",
        f"slugs/{SHA}.tgz",
    ):
        (made / path).write_text("")
    os.chown(made / "logs", LOGS, LOGS)
    os.chown(made / "router/certs", LOGS, LOGS)
    for path in (made / f"slugs/{SHA}", made / f"slugs/{SHA}/app", made / "builds/one/out"):
        os.chown(path, SLUGS, SLUGS)
    return made


def owners(state):
    return {str(path.relative_to(state)): path.lstat().st_uid for path in sorted(state.rglob("*"))}


def test_what_is_others_by_right_stays_theirs(state):
    assert not hand_over(str(state), UID, GID, idle=False)
    found = owners(state)
    assert {path for path, uid in found.items() if uid == 0} == {
        "dynos",
        "dynos/d1",
        "stack/debian",
        "stack/debian/etc",
    }
    assert {path for path, uid in found.items() if uid == LOGS} == {"logs", "router/certs"}
    assert {path for path, uid in found.items() if uid == SLUGS} == {f"slugs/{SHA}", f"slugs/{SHA}/app"}
    assert all(os.lstat(state / path).st_gid == GID for path, uid in found.items() if uid == UID)
    assert state.stat().st_uid == 0


def test_slugs_are_given_once_no_dyno_stands_on_them_and_a_second_time_changes_nothing(state):
    hand_over(str(state), UID, GID, idle=False)
    assert hand_over(str(state), UID, GID, idle=True)
    found = owners(state)
    assert {path for path, uid in found.items() if uid != UID} == {
        "dynos",
        "dynos/d1",
        "logs",
        "router/certs",
    }
    assert hand_over(str(state), UID, GID, idle=False)
    assert owners(state) == found


def test_neither_a_link_nor_a_second_name_gives_what_is_roots(state, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("")
    (state / "git/link").symlink_to(outside)
    (state / "cache").symlink_to(outside)
    (state / "git/second").hardlink_to(outside / "file")
    hand_over(str(state), UID, GID, idle=True)
    assert (os.stat(outside).st_uid, os.stat(outside / "file").st_uid) == (0, 0)
    assert os.lstat(state / "git/link").st_uid == UID


def test_a_tree_of_any_depth_is_given(state):
    at = os.open(state / "builds/one", os.O_RDONLY)
    for _ in range(2_000):
        os.mkdir("deeper", dir_fd=at)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most))  # as who was started without more
    hand_over(str(state), UID, GID, idle=True)
    assert os.fstat(at).st_uid == UID
    os.close(at)
    subprocess.run(["rm", "-rf", state / "builds"], check=True)


def run(state, run, mark, user="nobody"):
    argv = [
        sys.executable,
        "-P",
        "-m",
        "dynod.host.handover",
        "--state",
        state,
        "--run",
        run,
        "--mark",
        mark,
        user,
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_mark_stays_while_dynos_run_and_goes_once_all_is_given(state, tmp_path):
    mark, records = tmp_path / "mark", tmp_path / "run/host"
    mark.write_text("")
    (records / "d1").mkdir(parents=True)
    (state / "up.lock").write_text("")
    assert run(state, tmp_path / "run", mark).returncode == 0
    assert (mark.exists(), (state / "up.lock").exists()) == (True, False)
    os.rmdir(records / "d1")
    assert run(state, tmp_path / "run", mark).returncode == 0
    assert not mark.exists()


def test_what_dynod_up_uses_is_not_taken_from_it(state, tmp_path):
    with open(state / "up.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(state, tmp_path / "run", tmp_path / "mark")
    assert done.returncode == 1
    assert "stop that first" in done.stderr
    assert owners(state)["ledger.db"] == 0
