"""Whatever a build made of its directories, who owns them gets rid of them, and touches nothing else."""

import os
from contextlib import suppress
from itertools import count

import pytest

from dynod.removal import remove_tree


@pytest.fixture
def top(tmp_path):
    made = tmp_path / "top"
    (made / "a/b").mkdir(parents=True)
    (made / "a/b/file").write_text("x")
    return made


@pytest.fixture
def unprivileged(request):
    """Go on as a user whom modes bind, which they do not root: `unprivileged(do)`."""

    def do(what, *paths):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setresgid(65_534, 65_534, 65_534)
                    os.setresuid(65_534, 65_534, 65_534)
                what(*paths)
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return do


def give(path):
    if os.geteuid() == 0:
        for each in (path, *path.rglob("*")):
            os.chown(each, 65_534, 65_534, follow_symlinks=False)


@pytest.mark.parametrize("mode", [0o555, 0o000, 0o300])
@pytest.mark.parametrize("shut", ["a", "a/b", "."])
def test_no_mode_keeps_a_directory(top, tmp_path, unprivileged, mode, shut):
    tmp_path.chmod(0o755)
    for path in (tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    give(top)
    (top / shut).chmod(mode)
    kept = tmp_path / "kept"
    kept.mkdir()
    give(tmp_path)
    assert unprivileged(remove_tree, str(top)) == 0
    assert sorted(os.listdir(tmp_path)) == ["kept"]


def test_no_depth_keeps_a_directory(top):
    at = os.open(top, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("deeper", dir_fd=at)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    remove_tree(str(top))
    assert not top.exists()


def test_names_that_are_used_on_the_way_keep_nothing(top):
    for name in (".1", ".2/x", "a/.1/.2"):
        (top / name).mkdir(parents=True)
    (top / "a/.3").write_text("")
    remove_tree(str(top))
    assert not top.exists()


def test_what_a_link_leads_to_is_kept(top, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("")
    (top / "a/link").symlink_to(kept)
    remove_tree(str(top))
    assert (kept / "file").exists()
    (tmp_path / "top").symlink_to(kept)
    with pytest.raises(OSError, match="Not a directory"):
        remove_tree(str(tmp_path / "top"))
    assert (kept / "file").exists()


def test_nothing_there_is_no_matter(tmp_path):
    remove_tree(str(tmp_path / "none"))


def test_files_links_and_directories_go_and_what_links_point_at_stays(top, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/file").write_text("x")
    (top / "a/link").symlink_to(kept)
    (top / "a/b/dangling").symlink_to("/none")
    os.mkfifo(top / "a/fifo")
    remove_tree(str(top))
    assert not top.exists()
    assert (kept / "file").read_text() == "kept"


def test_depth_is_no_obstacle(top):
    at = os.open(top, os.O_RDONLY)
    name = "d" * 200
    for _ in range(1100):  # far beyond PATH_MAX, and beyond Python's recursion
        os.mkdir(name, dir_fd=at)
        deeper = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
    remove_tree(str(top))
    assert not top.exists()


def test_names_like_our_own_fresh_ones_are_no_obstacle(top):
    for name in (".1", ".2", ".3"):
        (top / name / "inner" / ".1").mkdir(parents=True)
        (top / name / "x").write_text("x")
    (top / "d").mkdir()
    (top / "d/.4").write_text("a file of that name")
    remove_tree(str(top))
    assert not top.exists()


def test_a_tree_that_is_gone_is_gone(tmp_path):
    remove_tree(str(tmp_path / "none"))


def test_a_link_in_its_place_is_not_followed(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "scratch").symlink_to(kept)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove_tree(str(tmp_path / "scratch"))
    assert kept.exists()


CALLS = ("open", "unlink", "rmdir", "rename", "scandir")
REAL = {name: getattr(os, name) for name in CALLS}


def removing(monkeypatch, top, step, then):
    """Remove a tree and do `then` before the `step`th call of the kernel; whether there were so many."""
    count = 0

    def counted(call):
        def do(*args, **named):
            nonlocal count
            count += 1
            if count == step:
                then()
            return call(*args, **named)

        return do

    with monkeypatch.context() as patch:
        for name, call in REAL.items():
            patch.setattr(os, name, counted(call))
        remove_tree(top)
    return count >= step


class KilledError(Exception):
    pass


def killed():
    raise KilledError


def grown(top):
    for name in ("a/b/c", "a/d", ".1/e"):
        (top / name).mkdir(parents=True)
        (top / name / "file").write_text("x")
    (top / "file").write_text("x")
    return str(top)


def test_several_may_be_at_the_same_tree(tmp_path, monkeypatch):
    """Before each step of the one, another takes any number of steps; the first comes to its end all the same, and so does the tree."""
    top = tmp_path / "top"
    for first in count(1):
        for second in count(1):
            ended = False

            def other(second=second):
                nonlocal ended
                with suppress(KilledError):
                    ended = not removing(monkeypatch, str(top), second, killed)

            reached = removing(monkeypatch, grown(top), first, other)
            assert not top.exists(), (first, second)
            if ended or not reached:
                break
        if not reached:
            break
    assert first > 20


def test_a_tree_that_somebody_goes_on_filling_is_told(top, monkeypatch):
    """It is not waited for, else a remover would never come to its end."""
    rmdir = os.rmdir

    def filled(path, dir_fd=None):
        os.close(os.open(f"{path}/more", os.O_CREAT, dir_fd=dir_fd))
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", filled)
    with pytest.raises(OSError, match="Directory not empty"):
        remove_tree(str(top))
