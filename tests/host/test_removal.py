"""Whatever a build made of its directories, who owns them gets rid of them, and touches nothing else."""

import os

import pytest

from dynod.host.removal import remove_tree


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
