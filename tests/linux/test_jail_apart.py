"""What embryos begin with: mounts of their own and no copy of the machine's, dynos' pinned networks least of all, or each boot would cost
as many dynos as there are.
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import psutil
import pytest
from jailed import TestHost, close_all, read_all

from dynod.jail import mounts
from dynod.jail import syscalls as k

pytestmark = pytest.mark.linux("ip", "nsenter", "unshare")


@pytest.fixture
def host():
    one = TestHost()
    yield one
    one.close()


@contextlib.contextmanager
def pinned(host, name):
    """A network namespace below RUN/netns, as the network helper pins them."""
    path = host.run / "netns" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    source = f"fleet-{os.getpid()}-{name}"
    subprocess.run(["ip", "netns", "add", source], check=True)
    try:
        subprocess.run(["ip", "-n", source, "link", "set", "lo", "up"], check=True)
        subprocess.run(["mount", "--bind", f"/run/netns/{source}", path], check=True)
        yield str(path)
        subprocess.run(["umount", path], check=True)
    finally:
        subprocess.run(["ip", "netns", "del", source], check=True)
        path.unlink()
        with contextlib.suppress(OSError):  # the other test namespace is in it
            path.parent.rmdir()


def seen(mountinfo):
    """Where something is mounted, and what kind it is."""
    rows = [line.split() for line in mountinfo.splitlines()]
    return [(row[4], row[row.index("-") + 1]) for row in rows]


def seen_by(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        return {at for at, _ in seen(Path(f"/proc/{pid}/mountinfo").read_text())}
    return set()


def in_cradle(directory):
    """What a process finds that enters a cradle, and whether its maker is where it was."""
    answer, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            home = os.readlink("/proc/self/ns/mnt")
            cradle = mounts.cradle(str(directory))
            back = os.readlink("/proc/self/ns/mnt") == home
            proc = os.open("/proc", os.O_PATH)
            k.setns(cradle, k.CLONE_NEWNS)
            with open(os.open("self/mountinfo", os.O_RDONLY, dir_fd=proc)) as file:
                mounted = seen(file.read())
            read_only = bool(os.statvfs("/").f_flag & os.ST_RDONLY)
            os.write(write, json.dumps([back, mounted, os.listdir("/"), read_only]).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    return json.loads(read_all(answer))


def test_a_cradle_holds_nothing_of_the_machine_s_and_nothing_can_be_put_into_it(host, tmp_path):
    with pinned(host, "before"):
        assert in_cradle(tmp_path) == [True, [["/", "tmpfs"]], ["small"], True]
    assert os.listdir(tmp_path) == []


def test_dynos_see_no_pinned_network_nor_anything_of_the_machine_s_and_are_in_theirs_all_the_same(host):
    with pinned(host, "before") as before:
        host.start()
        with pinned(host, "after") as after:
            for path in (before, after):
                assert os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev, (
                    "it stays for everybody else"
                )
                inode = str(os.stat(path).st_ino)
                _, said = host.sh("readlink /proc/self/ns/net", netns=path)
                assert inode in said
            booted, fds = host.boot(host.plan("cat", netns=after))
            places = seen_by(booted["pid"])
            assert {at for at in places if not at.startswith(("/proc/", "/dev/"))} == {
                *("/", "/proc", "/dev"),
                "/usr",  # by its plan
            }
            assert not any("netns" in at for at in places)
            close_all(fds)
            host.ended("d3")
            host.forget("d3")


def test_what_the_machine_lets_go_of_elsewhere_nobody_here_holds_on_to(host, tmp_path):
    """Or a disk that was mounted when the host began could never be taken out again. As under systemd: all mounts are shared, and
    RUN lies on one of its own."""
    host.run.mkdir(exist_ok=True)
    own = f"mount --bind {host.run} {host.run} && mount --make-private {host.run} && mount --make-shared {host.run}"
    # shared among themselves, and with no mount of the test's own namespace, which may be shared too
    begin = f'mount --make-rshared / && {own} && mount -t tmpfs none {tmp_path} && exec "$@"'
    host.start(under=("unshare", "-m", "--propagation", "private", "sh", "-c", begin, "sh"))
    booted, fds = host.boot(host.plan("cat"))
    all_of_it = [
        host.process.pid,
        *(each.pid for each in psutil.Process(host.process.pid).children(recursive=True)),
    ]
    assert booted["pid"] in all_of_it
    assert str(tmp_path) in seen_by(host.process.pid)
    there = ("nsenter", f"--mount=/proc/{host.process.pid}/ns/mnt")
    (host.run / "netns").mkdir()
    subprocess.run([*there, "mount", "-t", "tmpfs", "none", host.run / "netns"], check=True)
    subprocess.run([*there, "umount", tmp_path], check=True)
    for pid in all_of_it:
        assert str(tmp_path) not in seen_by(pid)
    assert str(host.run / "netns") not in seen_by(booted["pid"])
    subprocess.run([*there, "umount", host.run / "netns"], check=True)
    (host.run / "netns").rmdir()
    close_all(fds)
    host.ended("d1")
    host.forget("d1")
