"""The disk ceiling: what a dyno may write, that nobody else notices when it has, and what is left of it: nothing.

The machine's own file system has no project quotas here; tests/lab has one that does.
"""

import contextlib
import os
import shutil
import subprocess

import pytest
from jailed import TestHost, children, close_all, kill, read_all, read_until, record, wait_gone

from dynod.jail import loops, packets

pytestmark = pytest.mark.linux

MIB = 1024 * 1024
DISK, FILES = 64 * MIB, 2000
FILL = "dd if=/dev/zero of={} bs=1M count=200 2>&1; echo status $?"


def limits(**change):
    plain = {"memory": 256 * MIB, "tasks": 64, "cpu": 1, "files": 1000}
    return plain | {"disk": DISK, "inodes": FILES, "ceiling": "image"} | change


@pytest.fixture
def host():
    with TestHost() as made:
        made.start("--look", "0.05")
        yield made


@pytest.fixture
def small(tmp_path):
    """A host whose directory of dynos is a file system of its own: `make(size, *mkfs options)`."""
    with contextlib.ExitStack() as stack:

        def make(size, *options):
            image = tmp_path / "image"
            image.touch()
            os.truncate(image, size)
            subprocess.run(["mkfs.ext4", "-q", *options, image], check=True)
            made = TestHost()
            directory = made.state / "dynos"
            directory.mkdir()
            subprocess.run(["mount", "-o", "loop", image, directory], check=True)
            os.rmdir(directory / "lost+found")
            stack.callback(subprocess.run, ["umount", directory], check=True)
            made.close = closing(made, stack)
            return made

        yield make


def closing(host, stack):
    """Let the file system go after the dynos and before the directories."""

    def close():
        host.terminate()
        stack.close()
        TestHost.close(host)

    return close


def living(host, script=":", **change):
    """A dyno that lives until its standard input ends."""
    plan = host.plan("sh", "-c", f"{script}; echo ready; cat > /dev/null", limits=limits(**change))
    _, fds = host.boot(plan)
    read_until(fds[1], "ready")
    return plan["id"], fds


def over(host, id, fds):
    close_all(fds[:1])
    ended = host.ended(id)
    close_all(fds[1:])
    host.forget(id)
    return ended


def images(host):
    directory = host.state / "dynos/.slots"
    return {path.name for path in directory.iterdir() if not path.name.startswith("template")}


def devices(host):
    return {
        name
        for name in os.listdir("/sys/block")
        if name.startswith("loop") and str(host.top) in loops.behind(int(name[4:]))
    }


def wrote(host, id):
    """The names in the dyno's upper layer, as the host shows them, or its words."""
    said, fds = host.ask("leavings", id=id)
    if said["op"] != "done":
        return said["error"]
    names = {
        os.path.relpath(f"{top}/{name}", f"/proc/self/fd/{fds[0]}")
        for top, _, files in walk(fds[0])
        for name in files
    }
    close_all(fds)
    return names


def walk(fd):
    return os.walk(f"/proc/self/fd/{fd}/")


@pytest.mark.parametrize("place", ["/app/big", "/tmp/big"])
def test_a_dyno_that_fills_its_disk_is_told_so_and_the_others_write_on(host, place):
    other = living(host)
    status, said = host.sh(FILL.format(place), limits=limits())
    assert status == 0
    assert "No space left on device" in said
    assert "status 1" in said
    said, fds = host.ask(
        "exec",
        id=other[0],
        session="s",
        argv=["sh", "-c", "dd if=/dev/zero of=/app/x bs=1M count=20 2>&1"],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/app",
        stdio="pipe",
    )
    assert said["op"] == "executed", said
    assert "20971520 bytes" in read_all(fds[1])
    close_all(fds[:1])
    over(host, *other)


def test_what_it_may_write_is_most_of_what_its_plan_says_and_no_more(host):
    _, said = host.sh("dd if=/dev/zero of=/app/big bs=64k 2>/dev/null; stat -c %s /app/big", limits=limits())
    assert DISK * 0.9 < int(said) < DISK


def test_its_files_are_counted_too(host):
    script = (
        "mkdir /app/many; for n in $(seq 3000); do true > /app/many/$n || break; done; ls /app/many | wc -l"
    )
    _, said = host.sh(script, limits=limits())
    assert "No space left on device" in said
    assert FILES * 0.9 < int(said.split()[-1]) < FILES


def test_a_slot_is_used_again_and_shows_nothing_of_its_last_dyno(host):
    first = living(host, "echo secret > /app/mine; mkdir -p /tmp/a/b; echo x > /tmp/a/b/c")
    image = record(host, first[0])["slot"]
    close_all(first[1][:1])
    host.ended(first[0])
    assert wrote(host, first[0]) == {"app/mine", "tmp/a/b/c"}
    over(host, *first)
    for _ in range(10):  # the pool hands out the oldest first
        id, fds = living(host, "ls -A /app /tmp")
        again, seen = record(host, id)["slot"], wrote(host, id)
        over(host, id, fds)
        assert seen == set()
        if again == image:
            return
    pytest.fail("the slot was not used again")


def test_a_slot_that_much_was_written_to_goes_with_its_image(host):
    id, fds = living(host, "dd if=/dev/zero of=/app/big bs=1M count=90; sync", disk=256 * MIB)
    image = record(host, id)["slot"]
    assert os.stat(image).st_blocks * 512 > 80 * MIB
    over(host, id, fds)
    assert not os.path.exists(image)


def test_a_full_disk_is_told_once_while_the_dyno_runs(host):
    watcher = host.connect()
    packets.send(watcher, {"op": "watch"})
    id, fds = living(host, "dd if=/dev/zero of=/app/big bs=1M")
    assert packets.receive(watcher)[0] == {"op": "disk", "id": id, "fault": "full", "disk": DISK}
    over(host, id, fds)
    assert packets.receive(watcher)[0]["op"] == "exited"


def test_a_disk_that_was_full_at_the_end_is_told_before_the_end(host):
    host.terminate()
    host.start("--look", "3600")
    watcher = host.connect()
    packets.send(watcher, {"op": "watch"})
    host.sh(FILL.format("/app/big"), limits=limits())
    assert [packets.receive(watcher)[0]["op"] for _ in range(2)] == ["disk", "exited"]


def test_a_dyno_keeps_its_ceiling_over_the_death_of_its_host_and_leaves_nothing(host):
    host.terminate()
    host.start(end_dynos=False)
    id, fds = living(host, "echo 1 > /app/one")
    image = record(host, id)["slot"]
    host.kill()
    host.start()
    assert images(host) == {os.path.basename(image)}  # those that were ready went with their host
    assert wrote(host, id) == {"app/one"}
    assert host.ask("signal", id=id, signal=15)[0]["op"] == "done"
    assert host.ended(id)["status"] == 143
    assert wrote(host, id) == {"app/one"}
    over(host, id, fds)
    assert images(host) == set()  # nobody saw how it began: it is not used again


def test_when_host_and_dyno_are_killed_together_the_next_host_finds_no_device_and_clears_the_images(host):
    host.terminate()
    host.start(end_dynos=False)
    id, fds = living(host)
    pidfd = os.pidfd_open(record(host, id)["pid"])
    pid = host.process.pid
    keepers = [os.pidfd_open(child) for child in children(pid)]
    kill(record(host, id)["pid"])
    host.kill()
    for each in (pidfd, *keepers):
        wait_gone(each)
    host.start()
    assert host.rows()[id]["status"] == 137
    assert "ended with it" in wrote(host, id)
    over(host, id, fds)
    assert images(host) == set()
    assert devices(host) == set()


@pytest.mark.parametrize("disk", [DISK, 0])
def test_after_a_reboot_which_empties_run_nothing_is_left_that_a_dyno_wrote(host, disk):
    host.terminate()
    host.start(end_dynos=False)
    id, fds = living(host, disk=disk)
    pidfd = os.pidfd_open(record(host, id)["pid"])
    kill(record(host, id)["pid"])
    wait_gone(pidfd)
    host.kill()
    close_all(fds)
    assert images(host) if disk else (host.state / "dynos" / id).is_dir()
    shutil.rmtree(host.run)
    host.start("--warm", "0", end_dynos=False)
    host.terminate()
    assert list((host.state / "dynos").rglob("*")) == ([host.state / "dynos/.slots"] if disk else [])
    host.start()


def test_a_killed_keeper_is_replaced_and_no_boot_fails(host):
    living_ones = [living(host)]
    (keeper,) = [pid for pid in children(host.process.pid) if "keeper" in comm(pid)]
    kill(keeper)
    living_ones += [living(host) for _ in range(8)]
    for one in living_ones:
        over(host, *one)


def test_who_cleared_a_slot_is_no_burden_to_the_keeper(host):
    over(host, *living(host))
    (keeper,) = [pid for pid in children(host.process.pid) if "keeper" in comm(pid)]
    for _ in range(6):
        over(host, *living(host))
    for child in children(keeper):
        with contextlib.suppress(ProcessLookupError):
            wait_gone(os.pidfd_open(child))
    assert len(children(keeper)) < 3  # the last may be about to go


def comm(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read()


def test_a_quota_that_the_file_system_does_not_know_is_a_dyno_that_does_not_start(host):
    why = host.refused(host.plan("true", limits=limits(ceiling="quota")))
    assert why.startswith("cannot start d1: project quotas are not in force in ")
    assert 'disk_ceiling = "auto"' in why


def test_where_no_slot_can_be_made_the_dyno_does_not_start_and_says_why(host):
    (host.state / "dynos/.slots").write_text("in the way")
    why = host.refused(host.plan("true", limits=limits()))
    assert why.startswith("cannot start d1: cannot make a file system for what it writes: ")
    assert ".slots: File exists; see dynod doctor" in why
    assert host.sh("true", limits=limits(disk=0))[0] == 0
    os.unlink(host.state / "dynos/.slots")
    assert host.sh("true", limits=limits())[0] == 0


def test_a_ceiling_is_a_multiple_of_a_block_and_holds_some_files(host):
    assert "no multiple of" in host.refused(host.plan("true", limits=limits(disk=DISK + 1)))
    assert "3 files on a disk" in host.refused(host.plan("true", limits=limits(inodes=3)))


def test_when_the_machines_disk_is_full_the_dyno_gets_errors_and_its_slot_is_thrown_away(small):
    with small(40 * MIB) as host:
        host.start("--warm", "1")
        script = "dd if=/dev/urandom of=/app/big bs=1M count=50 conv=fsync 2>&1; echo end"
        id, fds = living(host, script)
        image = record(host, id)["slot"]
        over(host, id, fds)
        assert not os.path.exists(image)
        host.says("away")
        assert host.sh("echo 1 > /app/x; sync; cat /app/x", limits=limits()) == (0, "1\n")


def test_on_a_disk_that_takes_no_more_writes_a_host_still_adopts_and_ends_its_dynos(small):
    """As ext4 makes it when a write failed (errors=remount-ro); images that cannot be removed wait for a disk that is well."""
    with small(256 * MIB) as host:
        host.start(end_dynos=False)
        id, fds = living(host)
        pid = record(host, id)["pid"]
        subprocess.run(["mount", "-o", "remount,abort", host.state / "dynos"], check=True)
        host.terminate()
        host.start()
        assert list(host.rows()) == [id]
        pidfd = os.pidfd_open(pid)
    wait_gone(pidfd)
    close_all(fds)


def test_a_slot_that_breaks_is_told_and_thrown_away(host):
    watcher = host.connect()
    packets.send(watcher, {"op": "watch"})
    id, fds = living(host, "mkdir -p /app/deep/er")
    noted = record(host, id)
    with open(f"/sys/fs/ext4/loop{noted['device']}/trigger_fs_error", "w") as file:
        file.write("broken by a test")
    assert packets.receive(watcher)[0] == {"op": "disk", "id": id, "fault": "broken", "disk": DISK}
    over(host, id, fds)
    assert not os.path.exists(noted["slot"])


def test_shared_memory_is_full_before_the_kernel_would_kill(host):
    script = "dd if=/dev/zero of=/dev/shm/big bs=1M count=240 2>&1; stat -c %s /dev/shm/big"
    status, said = host.sh(script, limits=limits())
    assert status == 0
    assert "No space left on device" in said
    assert int(said.split()[-1]) == limits()["memory"] // 2


def test_what_a_dyno_wrote_is_never_shown_by_way_of_a_link(host):
    plan = host.plan("sh", "-c", "echo x > /app/x", limits=limits(disk=0))
    _, fds = host.boot(plan)
    host.ended(plan["id"])
    assert wrote(host, plan["id"]) == {"app/x"}
    scratch = host.state / "dynos" / plan["id"]
    os.rename(scratch / "upper", scratch / "elsewhere")
    (scratch / "upper").symlink_to("/etc")
    assert "cannot see what" in wrote(host, plan["id"])
    close_all(fds)
    host.forget(plan["id"])


def test_what_somebody_else_put_beside_the_images_stops_no_host(host):
    over(host, *living(host))
    strange = host.state / "dynos/.slots/directory"
    strange.mkdir()
    host.terminate()
    host.start()
    assert images(host) == {"directory"}
    strange.rmdir()
    host.terminate()
    (host.state / "dynos/.slots").write_text("in the way")
    host.start()
    os.unlink(host.state / "dynos/.slots")
