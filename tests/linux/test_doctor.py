"""The doctor on machines that really lack something: file systems that are full, small or shut, capabilities that were taken, networks
without a way out, a port that another holds. Each is a namespace of its own, and what is tried there leaves nothing.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dynod.jail import trial

pytestmark = pytest.mark.linux
DOCTOR = f"{sys.executable} -P -m dynod doctor --json"
CONTAINER = "this looks like a container"


def examined(script, *unshared, before=()):
    """What the doctor says in namespaces of its own after a script; its status must agree."""
    argv = (
        [*before, "unshare", *unshared, "sh", "-ec", script] if unshared else [*before, "sh", "-ec", script]
    )
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    lacks = [name for name, check in checks.items() if check["needed"] and not check["ok"]]
    assert done.returncode == (1 if lacks else 0)
    return checks, lacks


@pytest.fixture
def state(tmp_path):
    (tmp_path / "s").mkdir()
    return tmp_path / "s"


def shows(path, line):
    """Have a file of /etc say something to this one namespace, whatever it is on this machine: there, not there, or a link into /run."""
    layers = "lowerdir=/etc,upperdir=/run/upper,workdir=/run/work"
    return (
        f"mount -t tmpfs own /run; mkdir /run/upper /run/work; mount -t overlay -o {layers} own /etc; "
        f"rm -f {path}; echo {line} >{path}"
    )


def traces():
    """What a trial could have left in this machine, which others use meanwhile."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/tmp/lower" in line]
    return mounts, [name for _, name in socket.if_nameindex() if name.startswith("trial")]


def test_what_is_tried_works_here_and_leaves_nothing(state):
    checks, _ = examined(f"{DOCTOR} --offline --state {state}")
    for name in (
        "namespaces",
        "user namespaces",
        "idmapped mounts",
        "overlayfs",
        "seccomp",
        "veth",
        "nftables",
    ):
        assert checks[name]["found"] == "tried, works", name
    assert traces() == ([], [])
    assert list(state.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "found"),
    [("size=16m,nr_inodes=2m", "16 MB and "), ("size=4g,nr_inodes=50", " and 49 inodes free")],
    ids=["bytes", "inodes"],
)
def test_a_disk_without_room_is_missing(state, options, found):
    checks, lacks = examined(
        f"mount -t tmpfs -o {options} small {state}; {DOCTOR} --offline --state {state}", "--mount"
    )
    assert "disk" in lacks
    assert found in checks["disk"]["found"]
    assert "--state DIR" in checks["disk"]["remedy"]


def test_a_disk_that_is_full_is_missing(state):
    script = f"mount -t tmpfs -o size=1m full {state}; head -c 2m /dev/zero >{state}/f 2>/dev/null || true; "
    checks, lacks = examined(f"{script}{DOCTOR} --offline --state {state}", "--mount")
    assert "disk" in lacks
    assert checks["disk"]["found"].startswith("0 MB and ")


def test_a_disk_that_is_read_only_is_missing(state):
    script = f"mount --bind {state} {state}; mount -o remount,ro,bind {state}; "
    checks, lacks = examined(f"{script}{DOCTOR} --offline --state {state}", "--mount")
    assert "disk" in lacks
    assert (checks["disk"]["found"], "remount,rw" in checks["disk"]["remedy"]) == (
        f"{state} is read-only",
        True,
    )


def test_a_file_system_that_cannot_show_slugs_to_dynos_is_missing():
    checks, lacks = examined(f"{DOCTOR} --offline --state /proc/sys/dynod")
    assert "idmapped mounts" in lacks
    assert "its file system may not know idmapped mounts" in checks["idmapped mounts"]["found"]
    assert "--state DIR" in checks["idmapped mounts"]["remedy"]


def test_root_of_a_container_is_told_so_and_what_it_may_not_do():
    checks, lacks = examined(
        f"{DOCTOR} --offline", before=("setpriv", "--bounding-set", "-sys_admin,-net_admin")
    )
    assert checks["user"]["found"] == "root without CAP_NET_ADMIN, CAP_SYS_ADMIN"
    assert CONTAINER in checks["user"]["remedy"]
    assert {"user", "namespaces", "idmapped mounts", "overlayfs", "veth", "nftables"} <= set(lacks)
    assert checks["namespaces"]["found"] == "mnt, pid, net, ipc, uts, cgroup: Operation not permitted"
    for name in ("namespaces", "idmapped mounts", "overlayfs", "veth", "nftables"):
        assert CONTAINER in checks[name]["remedy"], name


def test_root_that_may_not_lay_cables_is_told_so():
    checks, lacks = examined(f"{DOCTOR} --offline", before=("setpriv", "--bounding-set", "-net_admin"))
    assert {"user", "veth", "nftables"} <= set(lacks)
    assert {"namespaces", "user namespaces", "overlayfs"}.isdisjoint(lacks)
    assert checks["veth"]["found"].endswith("Operation not permitted")


def test_root_of_a_user_namespace_alone_may_not_do_it_either(state):
    checks, lacks = examined(
        f"echo 0 >/proc/sys/user/max_user_namespaces; {DOCTOR} --offline --state {state}",
        "--user",
        "--map-root-user",
    )
    assert {"user", "user namespaces", "idmapped mounts"} <= set(lacks)
    assert checks["user"]["found"] == "root of a user namespace alone"
    assert "user.max_user_namespaces" in checks["user namespaces"]["remedy"]


def test_groups_that_cannot_be_written_to_are_missing():
    place = (
        "/sys/fs/cgroup" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "/sys/fs/cgroup/memory"
    )
    checks, lacks = examined(f"mount -o remount,ro,bind {place}; {DOCTOR} --offline", "--mount")
    assert "cgroups" in lacks
    assert f"{place} cannot be written to" in checks["cgroups"]["found"]


def test_a_network_without_a_way_out_has_no_name_server_that_answers():
    """At once: nobody waits for what cannot be sent."""
    script = shows("/etc/resolv.conf", "nameserver 192.0.2.53")
    checks, _ = examined(f"{script}; {DOCTOR}", "--mount", "--net")
    assert (checks["DNS"]["ok"], checks["DNS"]["needed"]) == (False, False)
    assert checks["DNS"]["found"] == "nobody answers within 2 s: 192.0.2.53"
    assert "port 53" in checks["DNS"]["remedy"]


def test_uids_that_somebody_else_is_given_are_noted():
    checks, _ = examined(f"{shows('/etc/subuid', 'bob:190000:65536')}; {DOCTOR} --offline", "--mount")
    assert "bob in /etc/subuid" in checks["uids of dynos"]["found"]
    assert 'uids = "FIRST:COUNT"' in checks["uids of dynos"]["remedy"]


def test_a_machine_without_nft_is_told_where_to_get_it(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("git", "tar", "sh", "unshare"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    checks, lacks = examined(f"PATH={tmp_path}/bin; {DOCTOR} --offline")
    assert {"nft", "nftables"} <= set(lacks)
    assert checks["nftables"]["found"].startswith("cannot run nft")
    assert "apt-get install nftables" in checks["nft"]["remedy"]


def test_a_trial_that_is_killed_is_no_success():
    assert trial.why(lambda: None) == ""
    assert trial.why(lambda: os.kill(os.getpid(), 9)) == "it ended with -9"
    assert trial.why(lambda: os.rmdir("/nowhere")) == "No such file or directory"


QUICKSTART = f"{sys.executable} -P -m dynod quickstart"


def quickstart(script):
    return subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script], capture_output=True, text=True, check=False, timeout=120
    )


def test_make_run_says_what_is_missing_with_its_remedy_and_starts_nothing(state, tmp_path):
    flags = f"--state {state} --run {tmp_path}/r --api 127.0.0.1:0 --router 127.0.0.1:0"
    small = tmp_path / "small"
    made = f"truncate -s 4M {small}; mkfs.ext4 -q {small}; mount -o loop {small} {state}"  # tmpfs shows no idmapped mounts before 6.3
    done = quickstart(f"{made}; {QUICKSTART} {flags}; ls -A {state}")
    assert done.returncode == 1
    said = done.stdout.splitlines()
    assert said[0].startswith("MISSING  disk  ")
    assert said[1].strip().startswith("-> free at least 2 GB")
    assert "starting the platform" not in done.stdout
    assert done.stderr == (
        "dynod: cannot start: this machine lacks disk; the remedies stand above, and --anyway tries all the same\n"
    )
    assert not (tmp_path / "r").exists()


def test_make_run_goes_on_where_a_person_insists(state, tmp_path):
    """As far as the port that another holds."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = f"127.0.0.1:{held.getsockname()[1]}"
        flags = f"--state {state} --run {tmp_path}/r --api {taken} --router 127.0.0.1:0 --anyway"
        done = quickstart(f"{QUICKSTART} {flags}")
    assert done.returncode == 1
    assert f"{taken} is held by " in done.stdout
    assert "starting the platform" in done.stdout
    assert f"cannot listen on {taken}" in done.stderr
