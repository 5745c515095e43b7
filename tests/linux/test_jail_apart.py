"""What embryos begin with: copies of the machine's mounts, but of no dyno's pinned network, or each boot would cost as many dynos as there are."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from jailed import TestHost, children

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


def seen_by_nursery(host):
    assert host.sh("true")[0] == 0  # whoever has forked an embryo has its name
    (nursery,) = [
        pid
        for pid in children(host.process.pid)
        if Path(f"/proc/{pid}/comm").read_text() == "dynod-nursery\n"
    ]
    return [line.split()[4] for line in Path(f"/proc/{nursery}/mountinfo").read_text().splitlines()]


def test_embryos_have_no_copy_of_pinned_networks_and_dynos_are_in_theirs_all_the_same(host):
    with pinned(host, "before") as before:
        host.start()
        with pinned(host, "after") as after:
            seen = seen_by_nursery(host)
            assert "/" in seen
            assert [path for path in seen if path.startswith(str(host.run))] == []
            for path in (before, after):
                assert os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev, (
                    "it stays for everybody else"
                )
                inode = str(os.stat(path).st_ino)
                _, said = host.sh("readlink /proc/self/ns/net", netns=path)
                assert inode in said


def test_what_the_machine_lets_go_of_elsewhere_the_nursery_lets_go_of_too(host, tmp_path):
    """Or a disk that was mounted when the host began could never be taken out again. As under systemd: all mounts are shared, and
    RUN lies on one of its own."""
    host.run.mkdir(exist_ok=True)
    own = f"mount --bind {host.run} {host.run} && mount --make-private {host.run} && mount --make-shared {host.run}"
    # shared among themselves, and with no mount of the test's own namespace, which may be shared too
    begin = f'mount --make-rshared / && {own} && mount -t tmpfs none {tmp_path} && exec "$@"'
    host.start(under=("unshare", "-m", "--propagation", "private", "sh", "-c", begin, "sh"))
    assert str(tmp_path) in seen_by_nursery(host)
    there = ("nsenter", f"--mount=/proc/{host.process.pid}/ns/mnt")
    (host.run / "netns").mkdir()
    subprocess.run([*there, "mount", "-t", "tmpfs", "none", host.run / "netns"], check=True)
    subprocess.run([*there, "umount", tmp_path], check=True)
    seen = seen_by_nursery(host)
    assert str(tmp_path) not in seen
    assert str(host.run / "netns") not in seen
    subprocess.run([*there, "umount", host.run / "netns"], check=True)
    (host.run / "netns").rmdir()
