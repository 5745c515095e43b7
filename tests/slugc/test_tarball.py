"""The slug's bytes: the same for the same tree, whatever made the tree."""

import hashlib
import os
import shutil
import socket
import tarfile

from slugc import tarball

LIMIT = 10**9


def make_tree(root, order):
    made = {
        "Procfile": lambda path: path.write_text("web: x\n"),
        "bin/run": lambda path: (path.write_bytes(b"#!/bin/sh\n" * 100), path.chmod(0o4755)),
        "a/" + "d" * 90 + "/" + "f" * 120: lambda path: path.write_text("long"),
        "ünïcode \n": lambda path: path.write_text("odd"),
        "link": lambda path: path.symlink_to("/usr/bin/python3"),
        "empty": lambda path: path.mkdir(),
        "big": lambda path: path.write_bytes(os.urandom(10) * 0 + b"z" * 3_000_000),
    }
    for name in sorted(made, reverse=order):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made[name](path)


def test_same_tree_same_bytes(tmp_path):
    """Order of creation, dates, group bits and hard links leave no trace."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    make_tree(one, order=False)
    make_tree(two, order=True)
    os.utime(two / "Procfile", (1, 1))
    (two / "Procfile").chmod(0o664)
    shutil.copyfile(two / "big", two / "other")
    shutil.copyfile(one / "big", tmp_path / "one" / "other")
    (two / "big").unlink()
    os.link(two / "other", two / "big")
    first = tarball.pack(str(one), str(tmp_path / "1.tgz"), 1_700_000_000, LIMIT)
    second = tarball.pack(str(two), str(tmp_path / "2.tgz"), 1_700_000_000, LIMIT)
    assert (tmp_path / "1.tgz").read_bytes() == (tmp_path / "2.tgz").read_bytes()
    assert first == second
    third = tarball.pack(str(two), str(tmp_path / "3.tgz"), 1_700_000_001, LIMIT)
    assert third.sha256 != first.sha256


def test_what_is_in_it(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    make_tree(tree, order=False)
    packed = tarball.pack(str(tree), str(tmp_path / "slug.tgz"), 1_700_000_000, LIMIT)
    data = (tmp_path / "slug.tgz").read_bytes()
    assert packed.size == len(data)
    assert packed.sha256 == hashlib.sha256(data).hexdigest()
    assert data[:4] == b"\x1f\x8b\x08\x00"  # no name, comment or extra field
    assert data[4:8] == bytes(4)  # no time
    with tarfile.open(tmp_path / "slug.tgz") as tar:
        members = {member.name: member for member in tar}
        assert tar.extractfile("./app/big").read() == b"z" * 3_000_000
    names = list(members)
    assert names[0] == "./app"
    assert names == ["./app", *sorted(names[1:], key=lambda name: os.fsencode(name).split(b"/"))]
    assert {(each.uid, each.gid, each.uname, each.gname, each.mtime) for each in members.values()} == {
        (0, 0, "", "", 1_700_000_000)
    }
    assert members["./app/bin/run"].mode == 0o755
    assert members["./app/Procfile"].mode == 0o644
    assert members["./app/link"].linkname == "/usr/bin/python3"
    assert members["./app/empty"].isdir()
    assert "./app/ünïcode \n" in members
    assert packed.unpacked == sum(member.size for member in members.values())


def test_what_a_slug_cannot_hold_is_left_out_and_named(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "socket"))
    packed = tarball.pack(str(tree), str(tmp_path / "slug.tgz"), 1, LIMIT)
    assert packed.dropped == ("pipe", "socket")


def test_over_the_limit_it_is_counted_but_not_written(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(os.urandom(3_000_000))
    packed = tarball.pack(str(tree), str(tmp_path / "slug.tgz"), 1, 1_000_000)
    assert packed.size > 3_000_000
    assert (tmp_path / "slug.tgz").stat().st_size <= 1_000_000
