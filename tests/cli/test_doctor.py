"""The doctor's judgement, and the words of `dynod` itself."""

import json
import re
import socket
import subprocess
import sys

import pytest

from dynod.cli import doctor
from dynod.model.settings import Endpoint, Settings


def test_every_check_says_what_was_found_and_a_bad_one_says_the_remedy():
    for check in doctor.examine(Settings()):
        assert check.name
        assert check.found
        assert check.ok or check.remedy


def test_cgroups_v2_without_pids_is_missing_something(monkeypatch):
    files = {"/sys/fs/cgroup/cgroup.controllers": ["cpu io memory"]}
    monkeypatch.setattr(doctor, "_lines", lambda path: files.get(path, []))
    check = doctor.cgroups(Settings())
    assert (check.ok, check.found) == (False, "v2: memory, cpu")
    assert "pids" in check.remedy


def test_cgroups_v1_counts_mounted_hierarchies_only(monkeypatch):
    rows = ["#subsys_name hierarchy num_cgroups enabled", "memory 0 1 1", "cpu 2 1 1", "pids 3 1 1"]
    monkeypatch.setattr(doctor, "_lines", lambda path: rows if path == "/proc/cgroups" else [])
    check = doctor.cgroups(Settings())
    assert (check.ok, check.found) == (False, "v1 (hybrid): pids, cpu")


@pytest.mark.parametrize(
    ("release", "ok"), [("5.18.0", False), ("5.19.1", True), ("6.1.0-18-amd64", True), ("odd", False)]
)
def test_the_kernel_must_know_idmapped_layers(monkeypatch, release, ok):
    monkeypatch.setattr(doctor.os, "uname", lambda: type("Uname", (), {"release": release}))
    assert doctor.kernel(Settings()).ok is ok


def test_a_taken_port_is_seen_and_named():
    with socket.create_server(("127.0.0.1", 0)) as held:
        endpoint = Endpoint("127.0.0.1", held.getsockname()[1])
        check = doctor.port("api")(Settings(api=endpoint))
    assert (check.ok, check.needed) == (False, False)
    assert str(endpoint) in check.found
    assert "--api" in check.remedy


def test_name_servers_that_a_dyno_cannot_reach_do_not_count(monkeypatch):
    files = {"/etc/resolv.conf": ["nameserver 127.0.0.53"]}
    monkeypatch.setattr(doctor, "_lines", lambda path: files.get(path, []))
    assert (doctor.names(Settings()).ok, doctor.names(Settings()).needed) == (False, False)
    files["/run/systemd/resolve/resolv.conf"] = ["nameserver 192.0.2.1"]
    assert (doctor.names(Settings()).ok, doctor.names(Settings()).found) == (True, "192.0.2.1")


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("me:100000:65536", True),
        ("me:100000:100000", True),
        ("me:100000:100001", False),
        ("me:204000:1", True),
    ],
)
def test_uids_given_to_somebody_else_are_named(monkeypatch, line, ok):
    monkeypatch.setattr(doctor, "_lines", lambda path: [line] if path == "/etc/subuid" else [])
    check = doctor.uids(Settings(uid_first=200_001, uid_count=3_999))
    assert check.ok is ok
    assert ok or "me in /etc/subuid" in check.found


ROOT = "26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard"
DYNOS = "27 26 7:0 / /srv/d/dynos rw - xfs /dev/vdb rw,attr2,prjquota"


@pytest.mark.parametrize(
    ("way", "mounts", "ok", "needed", "found"),
    [
        ("auto", [ROOT], True, True, "images behind loop devices"),
        ("image", [ROOT], True, True, "images behind loop devices"),
        ("auto", [ROOT, DYNOS], True, True, "project quotas in /srv/d/dynos"),
        ("quota", [DYNOS, ROOT], True, True, "project quotas in /srv/d/dynos"),
        ("quota", [ROOT], False, True, "no project quotas in /srv/d/dynos"),
        ("none", [ROOT], False, False, "none, as dynod.toml has it: one dyno can fill the disk for all"),
    ],
)
def test_how_dynos_are_kept_from_filling_the_disk(monkeypatch, way, mounts, ok, needed, found):
    monkeypatch.setattr(doctor, "_lines", lambda path: mounts if path == "/proc/self/mountinfo" else [])
    monkeypatch.setattr(doctor.os.path, "exists", lambda path: path == "/dev/loop-control")
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: f"/sbin/{name}")
    check = doctor.ceiling(Settings(state="/srv/d", disk_ceiling=way))
    assert (check.ok, check.needed, check.found) == (ok, needed, found)
    assert ok or "dynod.toml" in check.remedy


def test_without_loop_devices_and_quotas_nothing_bounds_a_dyno(monkeypatch):
    monkeypatch.setattr(doctor, "_lines", lambda path: [ROOT])  # stands for the real one
    monkeypatch.setattr(doctor.os.path, "exists", lambda path: False)  # as above
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path=None: None)  # as above
    check = doctor.ceiling(Settings())
    assert (check.ok, check.needed) == (False, True)
    assert check.found == "missing: mkfs.ext4, /dev/loop-control"


def test_the_doctor_covers_every_need():
    found = {check.name for check in doctor.examine(Settings())}
    assert found >= {
        "kernel",
        "cgroups",
        "namespaces",
        "user namespaces",
        "overlayfs",
        "network",
        "disk",
        "clock",
    }
    assert found >= {
        "DNS",
        "uids of dynos",
        "git",
        "python3 -m venv",
        "node",
        "npm",
        "api address",
        "router address",
    }


def test_json_and_status_agree(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dynod", "doctor", "--json", "--state", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    checks = json.loads(done.stdout)
    assert {"name", "found", "ok", "remedy", "needed"} == set(checks[0])
    assert done.returncode == (0 if all(check["ok"] or not check["needed"] for check in checks) else 1)


def dynod(*words):
    return subprocess.run(
        [sys.executable, "-m", "dynod", *words], capture_output=True, text=True, check=False
    )


def test_dynod_without_a_word_shows_the_words():
    done = dynod()
    assert done.returncode == 2
    assert all(
        re.search(rf"^  {word} ", done.stdout, re.MULTILINE)
        for word in ("up", "doctor", "host", "quickstart")
    )
    assert dynod("help").returncode == 0


def test_a_mistyped_word_gets_a_hint():
    done = dynod("doctr")
    assert (done.returncode, done.stderr) == (2, "dynod: cannot find a word 'doctr'; did you mean doctor?\n")


@pytest.mark.parametrize("word", ["up", "serve", "doctor", "quickstart"])
def test_wrong_flags_end_with_two_and_one_line(word):
    done = dynod(word, "--nope")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_wrong_setting_names_its_place(tmp_path):
    done = dynod("up", "--api", "5000", "--state", str(tmp_path / "s"), "--run", str(tmp_path / "r"))
    assert (
        done.returncode,
        done.stderr.startswith("dynod: cannot use --api '5000': it must be HOST:PORT"),
    ) == (2, True)
    assert not (tmp_path / "s").exists()
