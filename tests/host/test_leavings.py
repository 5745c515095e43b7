"""What a dyno had changed, whatever it made there."""

import os
import socket

import pytest

from dynod.host import leavings
from dynod.model.autopsy import Changed


@pytest.fixture
def upper(tmp_path):
    made = tmp_path / "upper"
    (made / "app" / "log").mkdir(parents=True)
    (made / "tmp").mkdir()
    return made


def changed(scratch, **more):
    top = os.open(f"{scratch}/upper", os.O_RDONLY | os.O_DIRECTORY)
    try:
        return leavings.changed(top, **more)
    finally:
        os.close(top)


def test_files_are_listed_by_path_with_their_sizes_and_directories_are_not(tmp_path, upper):
    (upper / "app" / "log" / "a.log").write_text("x" * 12)
    (upper / "app" / "é").write_text("")
    assert changed(str(tmp_path)) == (
        (Changed("/app/log/a.log", "file", 12), Changed("/app/é", "file", 0)),
        False,
    )


def test_links_are_named_and_never_followed(tmp_path, upper):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("k")
    (upper / "app" / "dir").symlink_to(tmp_path / "secret")
    (upper / "app" / "file").symlink_to("/etc/shadow")
    assert changed(str(tmp_path)) == (
        (Changed("/app/dir", "link", 0), Changed("/app/file", "link", 0)),
        False,
    )


def test_what_the_dyno_host_wrote_is_not_the_dyno_s(tmp_path, upper):
    (upper / "etc").mkdir()
    (upper / "etc/hosts").write_text("ours")
    (upper / "app/etc").mkdir()
    (upper / "app/etc/hosts").write_text("theirs")
    assert changed(str(tmp_path)) == ((Changed("/app/etc/hosts", "file", 6),), False)


def test_odd_things_have_a_word(tmp_path, upper):
    os.mkfifo(upper / "app" / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(upper / "app" / "sock"))
    (upper / "app" / os.fsdecode(b"\xff\n")).write_text("")
    assert changed(str(tmp_path))[0] == (
        Changed("/app/\\xff\n", "file", 0),
        Changed("/app/fifo", "special", 0),
        Changed("/app/sock", "special", 0),
    )


@pytest.mark.linux
def test_what_it_deleted_is_named(tmp_path, upper):
    os.mknod(upper / "app" / "gone", 0o020000, os.makedev(0, 0))
    assert changed(str(tmp_path)) == ((Changed("/app/gone", "deleted", 0),), False)


def test_the_look_ends_after_so_many_entries(tmp_path, upper):
    for number in range(50):
        (upper / "app" / f"{number:02}").write_text("")
    (upper / "tmp").rmdir()  # the order of names in a directory is the file system's
    (upper / "app" / "log").rmdir()
    found, cut = changed(str(tmp_path), most=20)
    assert (len(found), cut) == (19, True)  # app counts too
    assert changed(str(tmp_path), most=51) == (changed(str(tmp_path))[0], False)


def test_a_tree_deeper_than_any_path_ends_the_look(tmp_path, upper):
    (upper / "aaa").write_text("")
    fd = os.open(upper, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=fd)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    assert changed(str(tmp_path)) == ((Changed("/aaa", "file", 0),), True)
