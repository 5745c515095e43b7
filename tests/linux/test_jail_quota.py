"""The disk ceiling by project quotas, where the kernel knows them (Debian's does; tests/lab runs this there)."""

import contextlib
import os
import shutil
import subprocess

import pytest
from jailed import TestHost, close_all, read_all, record

from dynod.jail import packets, projects

pytestmark = pytest.mark.linux

MIB = 1024 * 1024
DISK, FILES = 64 * MIB, 2000
UID = 700_042
KINDS = {
    "ext4": (("mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"), "prjquota"),
    "xfs": (("mkfs.xfs", "-q"), "pquota"),
}
FILL = "dd if=/dev/zero of=/app/big bs=1M count=200 2>&1; stat -c %s /app/big"
TOLD = ("Disk quota exceeded", "No space left on device")
# What a dyno might try to get out of its project: change the number, or no longer pass it on; by name, and through what it opened.
ESCAPES = """\
import fcntl, os, struct
GET, SET, GETFLAGS, SETFLAGS = 0x801C581F, 0x401C5820, 0x80086601, 0x40086602
os.mkdir('/app/out')
open('/app/out/f', 'w').close()
for path in ('/app/out', '/app/out/f', '/app', '/tmp'):
    fd = os.open(path, os.O_RDONLY)
    for change in ('number', 'inherit', 'flag'):
        before = fcntl.ioctl(fd, GET, bytes(28))
        flags, a, b, number, c = struct.unpack('5I8x', before)
        try:
            if change == 'flag':
                flags = struct.unpack('i', fcntl.ioctl(fd, GETFLAGS, bytes(4)))[0]
                fcntl.ioctl(fd, SETFLAGS, struct.pack('i', flags & ~0x20000000))
            else:
                number, flags = (0, flags) if change == 'number' else (number, flags & ~0x200)
                fcntl.ioctl(fd, SET, struct.pack('5I8x', flags, a, b, number, c))
        except OSError as error:
            print(path, change, os.strerror(error.errno))
        else:
            print(path, change, 'nothing' if fcntl.ioctl(fd, GET, bytes(28)) == before else 'done')
total = 0
for place in ('/app/out/f', '/app/big', '/tmp/big', '/app/out/g'):
    try:
        with open(place, 'wb', buffering=0) as file:
            while total < 200 << 20:
                total += file.write(bytes(1 << 20))
    except OSError:
        pass
print('total', total)
"""


def limits(**change):
    plain = {"memory": 256 * MIB, "tasks": 64, "cpu": 1, "files": 1000}
    return plain | {"disk": DISK, "inodes": FILES, "ceiling": "auto"} | change


@contextlib.contextmanager
def disk(place, kind, options, directory=None):
    """A file system of its own, mounted."""
    image, (command, _) = place / "image", KINDS[kind]
    directory = directory or place / "disk"
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    image.touch()
    os.truncate(image, 400 * MIB)
    subprocess.run([*command, image], check=True)
    directory.mkdir()
    if subprocess.run(["mount", "-o", options, image, directory], check=False).returncode:
        pytest.skip(f"this kernel has no project quotas for {kind}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


@contextlib.contextmanager
def mounted(place, kind, option):
    """A host whose directory of dynos is a file system of its own."""
    host = TestHost()
    options = f"loop,{KINDS[kind][1]}" if option else "loop"
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(disk(place, kind, options, host.state / "dynos"))
        except pytest.skip.Exception:
            shutil.rmtree(host.top)
            raise
        if (directory / "lost+found").exists():
            (directory / "lost+found").rmdir()
        host.start("--look", "0.05")
        try:
            yield host
        finally:
            host.terminate()
            stack.close()
            host.close()


@pytest.fixture(params=KINDS)
def host(request, tmp_path):
    with mounted(tmp_path, request.param, option=True) as made:
        if made.ask("stat")[0]["disk"] != "quota":
            assert not projects.enforced(str(made.state / "dynos"))
            pytest.skip(f"this kernel has no project quotas for {request.param}")
        yield made


def filled(host):
    """A dyno of UID that ended when its disk was full; give its plan and what it said."""
    plan = host.plan("sh", "-c", FILL, uid=UID, limits=limits())
    _, (stdin, stdout) = host.boot(plan)
    os.close(stdin)
    said = read_all(stdout)
    host.ended(plan["id"])
    return plan, said


def test_a_dyno_that_fills_its_quota_is_told_so_and_the_others_write_on(host):
    status, said = host.sh(FILL, limits=limits())
    assert any(words in said for words in TOLD)
    assert DISK * 0.9 < int(said.split()[-1]) <= DISK
    assert (
        host.sh("dd if=/dev/zero of=/tmp/x bs=1M count=50 2>/dev/null; stat -c %s /tmp/x", limits=limits())[1]
        == f"{50 * MIB}\n"
    )
    assert status == 0


def test_its_files_are_counted_too(host):
    script = (
        "mkdir /app/many; for n in $(seq 3000); do true > /app/many/$n || break; done; ls /app/many | wc -l"
    )
    _, said = host.sh(script, limits=limits())
    assert any(words in said for words in TOLD)
    assert FILES * 0.9 < int(said.split()[-1]) < FILES


def test_no_dyno_gets_out_of_its_project(host):
    (host.state / "slugs/s1/app/escape.py").write_text(ESCAPES)
    status, said = host.sh("/usr/bin/python3 /app/escape.py", limits=limits())
    lines = said.splitlines()
    assert status == 0
    assert len(lines) == 13
    assert not [line for line in lines if line.endswith("done")]
    assert DISK * 0.9 < int(lines[-1].split()[1]) <= DISK


def test_a_full_quota_is_told_while_the_dyno_runs(host):
    watcher = host.connect()
    packets.send(watcher, {"op": "watch"})
    plan = host.plan("sh", "-c", FILL + "; cat", limits=limits())
    _, fds = host.boot(plan)
    assert packets.receive(watcher)[0] == {"op": "disk", "id": plan["id"], "fault": "full", "disk": DISK}
    close_all(fds[:1])
    host.ended(plan["id"])
    close_all(fds[1:])
    host.forget(plan["id"])


def test_directories_of_slug_and_dyno_are_moved_as_on_any_disk(host):
    script = "mv /app/lib /app/moved && mkdir /app/a && mv /app/a /tmp/b && mv /tmp/b /app/moved/c && ls /app/moved"
    assert host.sh(script, limits=limits()) == (0, "c\ncode\n")


def test_a_dyno_without_a_ceiling_has_none(host):
    _, said = host.sh(FILL, limits=limits(disk=0, inodes=0))
    assert said.split()[-1] == str(200 * MIB)


def test_the_next_dyno_of_the_same_uid_has_all_of_its_own(host):
    for _ in range(2):
        plan, said = filled(host)
        assert any(words in said for words in TOLD)
        assert DISK * 0.9 < int(said.split()[-1]) <= DISK
        assert record(host, plan["id"])["slot"] == ""
        host.forget(plan["id"])


def test_no_dyno_gets_a_uid_while_the_disk_of_another_is_there(host):
    plan, _ = filled(host)
    for _ in range(2):
        assert "uid 700042 wrote is not all removed" in host.refused(
            host.plan("true", uid=UID, limits=limits())
        )
        host.kill()
        host.start("--look", "0.05")
    host.forget(plan["id"])
    assert host.sh("true", uid=UID, limits=limits()) == (0, "")


def test_a_file_that_somebody_holds_open_is_waited_for_no_longer_than_told(host):
    plan, _ = filled(host)
    with open(host.state / "dynos" / plan["id"] / "upper/app/big", "rb"):
        host.forget(plan["id"])
        assert not (host.state / "dynos" / plan["id"]).exists()
        host.says("are removed and still counted for project 700042")
    assert DISK * 0.9 < int(host.sh(FILL, uid=UID, limits=limits())[1].split()[-1]) <= DISK


def test_what_a_host_before_the_machines_last_start_left_is_waited_for_too(host):
    plan, _ = filled(host)
    host.kill()
    shutil.rmtree(host.run / "host")
    with open(host.state / "dynos" / plan["id"] / "upper/app/big", "rb"):
        host.start("--look", "0.05")
        host.says("are removed and still counted for project 700042")


@pytest.mark.parametrize(("kind", "asked"), [("ext4", False), ("xfs", True)])
def test_what_was_removed_is_free_once_xfs_was_asked_and_elsewhere_unasked(tmp_path, kind, asked):
    with disk(tmp_path, kind, "loop") as directory:
        opened = os.open(directory, os.O_RDONLY)
        try:
            free = os.statvfs(directory).f_bfree
            with open(directory / "big", "wb") as file:
                file.write(bytes(DISK))
                os.fsync(file.fileno())
            (directory / "big").unlink()
            assert projects.free_removed(opened, 0) == asked
            assert os.statvfs(directory).f_bfree == free
        finally:
            os.close(opened)


def test_quotas_that_only_count_are_no_ceiling(tmp_path):
    with mounted(tmp_path, "ext4", option=False) as host:
        assert host.ask("stat")[0]["disk"] == "image"
        assert "not in force" in host.refused(host.plan("true", limits=limits(ceiling="quota")))
        _, said = host.sh(FILL, limits=limits())
        assert DISK * 0.9 < int(said.split()[-1]) < DISK
