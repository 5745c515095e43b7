"""CACHE_DIR: who may keep what, and which date a slug gets."""

import pytest

from slugc.cache import open_cache
from slugc.source import Source


def test_it_is_kept_on_the_same_stack_and_emptied_on_another(tmp_path):
    kept = open_cache(str(tmp_path), "debian-12")
    kept.remember(Source("d", 1_700_000_000))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("x")
    assert open_cache(str(tmp_path), "debian-12").cleared_of == ""
    assert (tmp_path / "theirs" / "file").exists()
    assert open_cache(str(tmp_path), "debian-13").cleared_of == "debian-12"
    assert list(tmp_path.iterdir()) == []


def test_the_same_tree_keeps_its_date_when_it_comes_as_another_commit(tmp_path):
    first = open_cache(str(tmp_path), "s")
    assert first.epoch_for(Source("tree", 100)) == 100
    first.remember(Source("tree", 100))
    again = open_cache(str(tmp_path), "s")
    assert again.epoch_for(Source("tree", 200)) == 100
    assert again.epoch_for(Source("other", 200)) == 200
    again.remember(Source("tree", 200))
    assert open_cache(str(tmp_path), "s").epoch_for(Source("tree", 300)) == 100


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stack": 1, "epoch": "x"}'])
def test_a_note_that_cannot_be_read_is_no_note(tmp_path, text):
    (tmp_path / ".slugc.json").write_text(text)
    assert open_cache(str(tmp_path), "1").epoch_for(Source("tree", 7)) == 7


def test_a_cache_that_cannot_be_written_does_not_stop_the_build(tmp_path):
    open_cache(str(tmp_path / "gone"), "s").remember(Source("tree", 1))
