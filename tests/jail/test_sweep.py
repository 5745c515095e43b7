"""Removing what a dyno left, whatever it did to it."""

import os

import pytest

from dynod.jail.sweep import remove_tree


@pytest.fixture
def top(tmp_path):
    made = tmp_path / "scratch"
    made.mkdir()
    return made


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
