"""What a build left in its `out` is a stranger's: nothing but a file of its own is read."""

import os

import pytest

from dynod.engine.builds import _result, made_file
from dynod.model.refused import Refused


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/out").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/slug.tgz").write_text("somebody else's")
    return tmp_path / "root"


def test_a_file_is_read(root):
    (root / "out/slug.tgz").write_text("ours")
    with made_file(str(root), "slug.tgz") as file:
        assert file.read() == b"ours"


def test_no_link_leads_to_another_apps_slug(root):
    (root / "out/slug.tgz").symlink_to(root.parent / "other/slug.tgz")
    with pytest.raises(OSError, match="symbolic links"):
        made_file(str(root), "slug.tgz")
    (root / "out/slug.tgz").unlink()
    (root / "out").rmdir()
    (root / "out").symlink_to(root.parent / "other")
    with pytest.raises(OSError, match="Not a directory"):
        made_file(str(root), "slug.tgz")


@pytest.mark.timeout(10)
def test_nobody_waits_for_a_pipe(root):
    os.mkfifo(root / "out/slug.tgz")
    with pytest.raises(ValueError, match=r"the build's slug\.tgz is no file"):
        made_file(str(root), "slug.tgz")


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        "7",
        "{}",
        '{"process_types": 7}',
        '{"process_types": ["web"]}',
        '{"process_types": {"a b": "c"}}',
        '{"process_types": {}, "buildpacks": 7, "detected": true}',
    ],
)
def test_a_manifest_that_says_nothing_known_is_a_failed_build_and_no_bug(root, said):
    (root / "out/manifest.json").write_text(said)
    with pytest.raises((ValueError, Refused)):
        _result(str(root))
