"""The slug store: what an honest slug becomes, and how it is kept. test_slugs_hostile.py has the others."""

import gzip
import hashlib
import os
import stat
import tarfile

import pytest

from dynod.host.slug_tar import Layout
from dynod.host.slugs import Owner, SlugDamaged, slug_owner, unpack
from dynod.model.refused import Refused
from dynod.model.settings import Settings
from tests.host.slug_archives import HONEST, LIMITS, ME, archive, entry, names, new_store, symlink


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path)


def test_an_honest_slug_is_unpacked_once_with_masked_modes(store, tmp_path):
    stored = store.store(archive(tmp_path, *HONEST))
    tree = store.unpack(stored.sha256)
    app = f"{tree}/app"

    def mode(name):
        return oct(stat.S_IMODE(os.lstat(f"{app}/{name}").st_mode))

    assert os.listdir(tree) == ["app"]
    assert [mode(name) for name in ("Procfile", "bin/run", "locked", "tmp", "closed", ".")] == [
        "0o644",
        "0o755",
        "0o444",
        "0o755",
        "0o700",
        "0o755",
    ]
    assert os.stat(f"{app}/Procfile").st_mtime == 1_700_000_000
    assert os.stat(f"{app}/Procfile2").st_ino == os.stat(f"{app}/Procfile").st_ino
    assert os.readlink(f"{app}/.venv/bin/python") == "/usr/bin/python3"
    inode = os.stat(tree).st_ino
    assert store.unpack(stored.sha256) == tree
    assert os.stat(tree).st_ino == inode


def test_the_archive_lies_under_its_hash(store, tmp_path):
    path = archive(tmp_path, *HONEST)
    with open(path, "rb") as file:
        expected = hashlib.sha256(file.read()).hexdigest()
    stored = store.store(path)
    assert (stored.sha256, stored.size) == (expected, os.path.getsize(path))
    assert store.store(path) == stored
    assert store.stored() == {expected}


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_long_links_in_both_formats(store, tmp_path, format):
    name = "app/" + "/".join(["a" * 60] * 5) + "/ü"
    path = archive(tmp_path, entry(name, b"data"), symlink("app/l", "b" * 200), format=format)
    tree = store.unpack(store.store(path).sha256)
    with open(f"{tree}/{name}") as file:
        assert file.read() == "data"
    assert os.readlink(f"{tree}/app/l") == "b" * 200


def test_entries_need_no_directories_of_their_own_and_no_dot(store, tmp_path):
    tree = store.unpack(store.store(archive(tmp_path, entry("app/a/b/c", b"1"))).sha256)
    assert names(tree) == ["app", "app/a", "app/a/b", "app/a/b/c"]


def test_a_source_archive_goes_into_app_packed_or_not(tmp_path):
    for number, pack in enumerate((gzip.compress, bytes)):
        path = archive(tmp_path, entry("Procfile", b"web: x"), entry("app/models.rb", b""), pack=pack)
        unpack(path, str(tmp_path / f"tree{number}"), LIMITS, ME, Layout.SOURCE)
        assert names(tmp_path / f"tree{number}") == ["app", "app/Procfile", "app/app", "app/app/models.rb"]


def test_r17_to_the_letter(store, tmp_path):
    sha256 = store.store(archive(tmp_path, *HONEST)).sha256
    with open(store.archive(sha256), "ab") as file:
        file.write(b"!")
    with open(store.archive(sha256), "rb") as file:
        actual = hashlib.sha256(file.read()).hexdigest()
    with pytest.raises(SlugDamaged) as damaged:
        store.unpack(sha256)
    assert damaged.value.line == (
        "Error R17 (Checksum error) -> Checksum does match expected value. "
        f"Expected: SHA256:{sha256} Actual: SHA256:{actual}"
    )
    assert not os.path.exists(store.tree(sha256))


def test_removed_is_gone_and_asking_for_it_is_refused(store, tmp_path):
    sha256 = store.store(archive(tmp_path, *HONEST)).sha256
    store.unpack(sha256)
    store.remove(sha256)
    store.remove(sha256)
    assert names(f"{tmp_path}/state/slugs") == []
    with pytest.raises(Refused, match="its archive is gone"):
        store.unpack(sha256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n"])
def test_a_name_that_is_no_hash_is_no_slug(store, name):
    with pytest.raises(Refused, match="cannot find slug"):
        store.archive(name)


def test_what_a_killed_predecessor_left_is_cleared(store, tmp_path):
    os.makedirs(f"{tmp_path}/state/slugs/.new-abc/app/x")
    open(f"{tmp_path}/state/slugs/.new-def", "w").close()
    store.prepare()
    assert names(f"{tmp_path}/state/slugs") == []


def test_two_who_unpack_at_once_get_one_tree(store, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    sha256 = store.store(archive(tmp_path, *HONEST)).sha256
    with ThreadPoolExecutor(4) as threads:
        trees = set(threads.map(lambda _: store.unpack(sha256), range(4)))
    assert trees == {store.tree(sha256)}
    assert sorted(os.listdir(f"{tmp_path}/state/slugs")) == [sha256, f"{sha256}.tgz"]


def test_the_slug_user_is_next_to_the_dynos_users():
    assert slug_owner(Settings()) == (Owner(199_999, 199_999) if os.geteuid() == 0 else ME)
