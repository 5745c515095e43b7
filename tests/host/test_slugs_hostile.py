"""What a hostile slug becomes: nothing. It is refused with a reason, and the directory is as it was."""

import gzip
import io
import os
import stat
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynod.host.slug_tar import Kind, Limits, SlugRefused, SlugTar
from dynod.host.slugs import Slugs
from tests.host.slug_archives import (
    HONEST,
    LIMITS,
    ME,
    archive,
    directory,
    entry,
    hardlink,
    names,
    new_store,
    symlink,
)


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path)


REFUSED = {
    "absolute path": ([entry("/app/x")], "has an absolute path"),
    "dot dot": ([entry("app/../../x")], "leaves by .."),
    "dot dot inside": ([entry("app/a/../x")], "leaves by .."),
    "outside app": ([entry("etc/passwd")], "is outside app/"),
    "app-like": ([entry("application/x")], "is outside app/"),
    "app as a file": ([entry("app")], "is not a directory"),
    "app as a link": ([symlink("app", "/usr"), entry("app/x")], "is not a directory"),
    "the root as a link": ([symlink(".", "/usr")], "is not a directory"),
    "write through a link": ([symlink("app/d", "/tmp"), entry("app/d/x")], "goes through a link or a file"),
    "write through a link inside": (
        [directory("app/real"), symlink("app/d", "real"), entry("app/d/x")],
        "goes through a link or a file",
    ),
    "directory over a link": (
        [symlink("app/d", "/tmp"), directory("app/d")],
        "goes through a link or a file",
    ),
    "link over a directory": ([directory("app/d"), symlink("app/d", "/tmp")], "is there twice"),
    "file over a link": ([symlink("app/f", "/tmp/f"), entry("app/f", b"x")], "is there twice"),
    "file twice": ([entry("app/f", b"1"), entry("app/f", b"2")], "is there twice"),
    "directory over a file": ([entry("app/f"), directory("app/f")], "goes through a link or a file"),
    "file below a file": ([entry("app/f"), entry("app/f/g")], "goes through a link or a file"),
    "symlink that climbs out": (
        [symlink("app/l", "../etc/passwd")],
        "is a link that leaves: '../etc/passwd'",
    ),
    "symlink that climbs over the root": ([symlink("app/l", "../../../../etc")], "is a link that leaves"),
    "symlink that climbs out on the way": ([symlink("app/l", "a/../../x")], "is a link that leaves"),
    "symlink to the root": ([symlink("app/l", "/")], "is a link that leaves"),
    "symlink to the kernel": ([symlink("app/l", "/proc/1/root")], "is a link that leaves"),
    "symlink to root's home": ([symlink("app/l", "/root/.ssh/id_rsa")], "is a link that leaves"),
    "symlink in disguise": ([symlink("app/l", "/usr/../root/x")], "is a link that leaves"),
    "empty symlink": ([symlink("app/l", "")], "is a link to nothing"),
    "hard link outside": ([hardlink("app/l", "/etc/shadow")], "has an absolute path"),
    "hard link up": ([hardlink("app/l", "../etc/shadow")], "leaves by .."),
    "hard link to nothing": ([hardlink("app/l", "app/none")], "is a hard link to no file of the slug"),
    "hard link to a symlink": (
        [symlink("app/s", "/etc/shadow"), hardlink("app/l", "app/s")],
        "is a hard link to no file of the slug",
    ),
    "hard link through a symlink": (
        [symlink("app/s", "/etc"), hardlink("app/l", "app/s/shadow")],
        "is a hard link to no file of the slug",
    ),
    "hard link to a directory": (
        [directory("app/d"), hardlink("app/l", "app/d")],
        "is a hard link to no file",
    ),
    "hard link to app": ([directory("app"), hardlink("app/l", "app")], "is a hard link to no file"),
    "character device": ([entry("app/null", type=tarfile.CHRTYPE)], "is a device node"),
    "block device": ([entry("app/sda", type=tarfile.BLKTYPE)], "is a device node"),
    "fifo": ([entry("app/p", type=tarfile.FIFOTYPE)], "is a FIFO"),
    "unknown type": ([entry("app/x", type=b"V")], "is of unknown type"),
    "setuid": ([entry("app/su", mode=0o4755)], "is setuid, setgid or sticky"),
    "setgid": ([entry("app/sg", mode=0o2755)], "is setuid, setgid or sticky"),
    "sticky": ([entry("app/st", mode=0o1644)], "is setuid, setgid or sticky"),
    "newline": ([entry("app/a\nb")], "has a control character in its name"),
    "escape": ([entry("app/\x1b[2J")], "has a control character in its name"),
    "nul in a pax path": (
        [entry("app/x", pax_headers={"path": "app/a\0b"})],
        "has a control character in its name",
    ),
    "absolute pax path": ([entry("app/x", pax_headers={"path": "/etc/x"})], "has an absolute path"),
    "long name": ([entry("app/" + "n" * 256)], "has a name too long"),
    "long path": ([entry("app/" + "n/" * 1_800)], "has a path too long or too deep"),
    "deep": ([entry("app" + "/d" * 128)], "has a path too long or too deep"),
    "sparse in pax": (
        [entry("app/x", b"1\n0\n", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.size": "99999999999"})],
        "is a sparse file",
    ),
    "huge pax header": (
        [entry("app/x", pax_headers={"comment": "x" * 300_000})],
        "an extended header has 300",
    ),
    "negative time": ([entry("app/x", mtime=-5)], "has a size or time that is none"),
    "too many entries": ([directory(f"app/{n}") for n in range(1_001)], "it has more than 1000 entries"),
    "too many bytes": ([entry("app/x", os.urandom(4096) * 2500)], "it unpacks to more than 10000000 bytes"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_slug_is_refused_and_nothing_is_left(store, tmp_path, kind):
    entries, why = REFUSED[kind]
    stored = store.store(archive(tmp_path, entry("app/before", b"honest"), *entries))
    before = names(tmp_path)
    with pytest.raises(SlugRefused) as refused:
        store.unpack(stored.sha256)
    assert str(refused.value).startswith("cannot take slug: ")
    assert why in str(refused.value)
    assert names(tmp_path) == before
    assert not os.path.exists(store.tree(stored.sha256))


def raw(tmp_path, data):
    path = tmp_path / "raw.tgz"
    path.write_bytes(gzip.compress(data))
    return str(path)


def header(**fields):
    info, _ = entry("app/x", **fields)
    return info.tobuf(tarfile.GNU_FORMAT)


def corrupted():
    block = bytearray(header())
    block[0] ^= 1
    return bytes(block)


DAMAGED = {
    "not a tar": (b"hello" * 1000, "this is no tar archive"),
    "empty": (b"", "the archive is empty"),
    "a wrong checksum": (corrupted() + bytes(1024), "this is no tar archive, or a damaged one"),
    "cut in a header": (header()[:300], "it ends inside an entry"),
    "cut in a file": (header(size=5000) + b"x" * 100, "it ends inside a file"),
    "old sparse": (header(type=tarfile.GNUTYPE_SPARSE) + bytes(1024), "is a sparse file"),
    "negative size": (header(size=-512) + bytes(1024), "has a size or time that is none"),
    "size of exabytes": (header(size=2**60) + bytes(1024), "it unpacks to|it ends inside"),
    "long name of gigabytes": (
        header(type=tarfile.GNUTYPE_LONGNAME, size=2**32),
        "an extended header has 4294967296 bytes",
    ),
    "pax of nonsense": (
        header(type=tarfile.XHDTYPE, size=9) + b"99 a=b\n\n\n".ljust(512, b"\0"),
        "a pax header is damaged",
    ),
    "global path": (
        header(type=tarfile.XGLTYPE, size=15) + b"15 path=/etc/x\n".ljust(512, b"\0"),
        "a global header names a path",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_honest_tar_is_refused(store, tmp_path, kind):
    data, why = DAMAGED[kind]
    stored = store.store(raw(tmp_path, data))
    with pytest.raises(SlugRefused, match=why):
        store.unpack(stored.sha256)


def test_a_cut_off_gzip_is_refused(store, tmp_path):
    with open(archive(tmp_path, *HONEST), "rb") as file:
        whole = file.read()
    for length in (1, 5, 20, len(whole) // 2, len(whole) - 1):
        stored = store.store(io.BytesIO(whole[:length]))
        with pytest.raises(SlugRefused, match=r"damaged|no tar"):
            store.unpack(stored.sha256)


def test_a_flipped_bit_behind_the_last_entry_is_found(tmp_path):
    with open(archive(tmp_path, *HONEST), "rb") as file:
        data = bytearray(file.read())
    data[-5] ^= 1  # gzip's checksum
    with pytest.raises(SlugRefused, match="damaged"):
        list(SlugTar(io.BytesIO(bytes(data)), LIMITS))


class Zeros(io.RawIOBase):
    """A gzip stream of endless zeros (a thousand to one), made as it is read."""

    def __init__(self, head):
        import zlib

        self._packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        self._pending = self._packer.compress(head)
        self.given = 0

    def readable(self):
        return True

    def seek(self, position, whence=0):
        assert position == 0
        self._pending = self._first + self._pending
        self.given = 0
        return 0

    def tell(self):
        return self.given

    def read(self, size=-1):
        while len(self._pending) < size:
            self._pending += self._packer.compress(bytes(1 << 20))
        data, self._pending = self._pending[:size], self._pending[size:]
        self._first = data
        self.given += len(data)
        return data


def test_a_size_bomb_is_stopped_by_its_ratio_before_its_size():
    bomb = Zeros(header(size=2**40))
    limits = Limits(bytes=2**40, entries=10, ratio_from=10_000_000)
    tar = SlugTar(bomb, limits)
    with pytest.raises(SlugRefused, match="more than 200 times its size"):
        sum(len(data) for _ in tar for data in tar.content())
    assert tar.unpacked < 11_000_000


class Endless(io.RawIOBase):
    """A tar of as many directories as one likes, made as it is read."""

    def __init__(self):
        self._number = 0
        self._pending = b""

    def seek(self, position, whence=0):
        self.__init__()
        return 0

    def tell(self):
        return self._number * 512

    def read(self, size=-1):
        while len(self._pending) < size:
            self._number += 1
            info, _ = directory(f"app/{self._number}")
            self._pending += info.tobuf(tarfile.USTAR_FORMAT)
        data, self._pending = self._pending[:size], self._pending[size:]
        return data


def test_a_million_entries_are_stopped_at_the_limit_and_not_remembered():
    tar = SlugTar(Endless(), Limits(bytes=10**12, entries=20_000))
    seen = []
    with pytest.raises(SlugRefused, match="it has more than 20000 entries"):
        seen.extend(one.kind for one in tar)
    assert set(seen) == {Kind.DIRECTORY}
    assert len(seen) <= 20_000


def test_an_archive_too_large_is_refused_while_it_comes(tmp_path):
    slugs = Slugs(str(tmp_path), ME, LIMITS, packed_bytes=100)
    slugs.prepare()
    with pytest.raises(SlugRefused, match="it has more than 100 bytes"):
        slugs.store(io.BytesIO(bytes(101)))
    assert names(f"{tmp_path}/slugs") == []


kinds = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)


words = st.lists(st.sampled_from(["app", "a", "b", "..", ".", "", "etc", "tmp"]), max_size=5).map("/".join)


@settings(max_examples=300)
@given(st.lists(st.tuples(kinds, words, words, st.integers(0, 0o7777)), max_size=6))
def test_whatever_is_in_it_nothing_leaves_the_directory(tmp_path_factory, described):
    """Written in this process, for speed: the directory beside it stays as it was, and no bit or type slips through."""
    from dynod.host.slug_tree import unpack_here

    top = tmp_path_factory.mktemp("any")
    (top / "work").mkdir()
    path = archive(
        top, *(entry(name, type=type, linkname=link, mode=mode) for type, name, link, mode in described)
    )
    home = os.getcwd()
    os.chdir(top / "work")
    try:
        with open(path, "rb") as file:
            unpack_here(SlugTar(file, LIMITS))
    except SlugRefused:
        pass
    finally:
        os.chdir(home)
    assert sorted(os.listdir(top)) == ["slug.tgz", "work"]
    assert set(os.listdir(top / "work")) <= {"app"}
    for name in names(top / "work"):
        found = os.lstat(top / "work" / name)
        assert stat.S_IFMT(found.st_mode) in {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
        assert stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o7022
