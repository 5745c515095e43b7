"""Unpacking what strangers push."""

import io
import os
import tarfile

import pytest

from slugc import source

LIMIT = 10_000_000


def entry(name, data=b"", kind=tarfile.REGTYPE, mode=0o644, link="", mtime=1_700_000_000):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode, info.linkname, info.mtime = len(data), kind, mode, link, mtime
    return info, data


def archive(tmp_path, *entries, mode="w"):
    path = tmp_path / "source.tar"
    with tarfile.open(path, mode) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def unpack(tmp_path, *entries, limit=LIMIT, mode="w"):
    path = archive(tmp_path, *entries, mode=mode)
    into = tmp_path / "room" / "app"
    into.mkdir(parents=True)
    return source.unpack(path, str(into), limit), into


def link(name, target):
    return entry(name, kind=tarfile.SYMTYPE, link=target)


HOSTILE = {
    "an absolute path": ([entry("/etc/passwd", b"x")], "is an absolute path"),
    "a way up": ([entry("a/../../x", b"x")], "leaves the tree"),
    "a way up in a directory": ([entry("..", kind=tarfile.DIRTYPE)], "leaves the tree"),
    "through a link": ([link("out", "/tmp"), entry("out/x", b"x")], "is a link and a directory at once"),
    "through a link to a directory inside": (
        [entry("real", kind=tarfile.DIRTYPE), link("out", "real"), entry("out/x", b"x")],
        "is a link and a directory at once",
    ),
    "a directory over a link": (
        [link("out", ".."), entry("out", kind=tarfile.DIRTYPE)],
        "is a link and a directory",
    ),
    "a file over a directory": (
        [entry("a", kind=tarfile.DIRTYPE), entry("a", b"x")],
        "a directory and a file",
    ),
    "a directory over a file": ([entry("a", b"x"), entry("a/b", b"x")], "is a file and a directory"),
    "a hard link that leaves": ([entry("a", kind=tarfile.LNKTYPE, link="../../x")], "leaves the tree"),
    "a hard link to the machine": (
        [entry("a", kind=tarfile.LNKTYPE, link="/etc/shadow")],
        "is an absolute path",
    ),
    "a hard link to a link": (
        [link("l", "/etc/passwd"), entry("a", kind=tarfile.LNKTYPE, link="l")],
        "is no file before it",
    ),
    "a device": ([entry("sda", kind=tarfile.BLKTYPE)], "is a device, a pipe or a socket"),
    "a character device": ([entry("mem", kind=tarfile.CHRTYPE)], "is a device, a pipe or a socket"),
    "a pipe": ([entry("pipe", kind=tarfile.FIFOTYPE)], "is a device, a pipe or a socket"),
    "too many bytes": (
        [entry("a", bytes(6_000_000)), entry("b", bytes(6_000_000))],
        "larger than 9.5M together",
    ),
    "a name too long": ([entry("/".join(["d" * 200] * 30) + "/" + "x" * 300, b"x")], "File name too long"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_hostile_archives_are_refused_and_nothing_leaves_the_room(tmp_path, case, mode):
    entries, said = HOSTILE[case]
    with pytest.raises(source.BadArchive) as refused:
        unpack(tmp_path, *entries, mode=mode)
    assert said in str(refused.value)
    assert sorted(os.listdir(tmp_path / "room")) == ["app"]
    assert not (tmp_path / "x").exists()


def test_a_bomb_is_refused_before_it_is_written(tmp_path):
    """The header says 5 GB and a few hundred bytes follow: nothing of it reaches the disk."""
    info, _ = entry("bomb")
    info.size = 5 * 1024**3
    path = tmp_path / "source.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(source.BadArchive, match="larger than"):
        source.unpack(str(path), str(tmp_path), LIMIT)
    assert os.listdir(tmp_path) == ["source.tar"]


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_ENTRIES", 10)
    with pytest.raises(source.BadArchive, match="more than 10 entries"):
        unpack(tmp_path, *(entry(f"f{number}") for number in range(11)))


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\x1f\x8b nor gzip", bytes(100)])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "source.tar").write_bytes(data)
    with pytest.raises(source.BadArchive, match="no tar or tar"):
        source.unpack(str(tmp_path / "source.tar"), str(tmp_path / "x"), LIMIT)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_that_is_cut_short_is_refused(tmp_path, mode):
    path = archive(tmp_path, entry("a", os.urandom(100_000)), mode=mode)
    with open(path, "rb+") as file:
        file.truncate(50_000)
    (tmp_path / "app").mkdir()
    with pytest.raises(source.BadArchive):
        source.unpack(path, str(tmp_path / "app"), LIMIT)


def test_an_honest_archive(tmp_path):
    made, into = unpack(
        tmp_path,
        entry(".", kind=tarfile.DIRTYPE),
        entry("./bin/run", b"#!/bin/sh\n", mode=0o6775, mtime=1_700_000_005),
        entry("./Procfile", b"old", mode=0),
        entry("./Procfile", b"web: x\n"),
        link("./log", "/var/log"),
        entry("./copy", kind=tarfile.LNKTYPE, link="./bin/run"),
        mode="w:gz",
    )
    assert made.newest == 1_700_000_005
    assert (into / "bin/run").stat().st_mode & 0o7777 == 0o755
    assert (into / "Procfile").read_text() == "web: x\n"
    assert (into / "Procfile").stat().st_mode & 0o7777 == 0o644
    assert os.readlink(into / "log") == "/var/log"
    assert (into / "copy").read_bytes() == b"#!/bin/sh\n"


def test_the_digest_is_the_trees_and_not_the_archives(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "3").mkdir()
    one, _ = unpack(tmp_path / "1", entry("a", b"1"), entry("b", b"2"))
    two, _ = unpack(tmp_path / "2", entry("b", b"2", mtime=1), entry("a", b"1", mtime=2), mode="w:gz")
    other, _ = unpack(tmp_path / "3", entry("a", b"1"), entry("b", b"2", mode=0o755))
    assert one.digest == two.digest != other.digest


def test_dates_are_kept_within_what_zip_and_pyc_can_hold(tmp_path):
    (tmp_path / "1").mkdir()
    assert unpack(tmp_path, entry("a", mtime=5))[0].newest == source.EPOCH_FIRST
    assert unpack(tmp_path / "1", entry("a", mtime=2**40))[0].newest == source.EPOCH_LAST


def test_slugignore_and_gits_own_files_go_before_the_build(tmp_path):
    for path in (".git/config", ".gitmodules", "docs/a/b.pdf", "src/x.psd", "src/keep.py", "vendor/.git"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "outside").symlink_to("/etc")
    (tmp_path / ".slugignore").write_text("/docs\n*.psd\n!keep\n/outside/\n")
    said = source.drop_ignored(str(tmp_path))
    left = sorted(
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if not path.is_dir() or path.is_symlink()
    )
    assert left == [".slugignore", "outside", "src/keep.py", "vendor/.git"]
    assert said.splitlines() == [
        "-----> Deleting 2 files matching .slugignore patterns.",
        " !     Warning: .slugignore knows no negation, passed over: !keep",
    ]
