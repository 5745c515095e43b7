"""The doctor's judgement of places and programs, its page and its words, and the words of `dynod` itself. Of the kernel and of ports: beside this file.

On machines that really lack something: tests/linux/test_doctor.py.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dynod.cli import doctor
from dynod.cli.doctor import kernel, places, programs, reach
from dynod.cli.doctor.check import Check
from dynod.model.settings import Settings

ROOT_DIRECTORY = Path(__file__).parents[2]
PAGE = (ROOT_DIRECTORY / "docs/doctor.md").read_text()
WITHOUT_TRIALS = [
    check for check in doctor.CHECKS if check not in (kernel.walls, kernel.wires, reach.ipv6, reach.names)
]


def test_every_check_says_what_was_found_and_a_bad_one_says_the_remedy():
    for check in doctor.examine(Settings()):
        assert check.name
        assert check.found
        assert check.ok or check.remedy


def test_what_cannot_be_looked_at_counts_as_missing():
    def odd(_):
        raise OSError(5, "Input/output error")

    (check,) = doctor.examine(Settings(), [odd])
    assert (check.name, check.ok, check.needed) == ("odd", False, True)
    assert "Input/output error" in check.found


def files(monkeypatch, module, there):
    monkeypatch.setattr(module, "lines", lambda path: there.get(path, []))


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("me:100000:65536", True),
        ("me:100000:100000", True),
        ("me:100000:100001", False),
        ("me:204000:1", True),
        ("dynod:200000:4000", True),
        ("me:nonsense", True),
    ],
)
@pytest.mark.parametrize("path", ["/etc/subuid", "/etc/subgid"])
def test_uids_given_to_somebody_else_are_named(monkeypatch, path, line, ok):
    files(monkeypatch, places, {path: [line]})
    check = places.uids(Settings(uid_first=200_001, uid_count=3_999))
    assert check.ok is ok
    assert ok or f"me in {path}" in check.found


def test_a_clock_that_was_never_set_is_missing_and_the_true_time_is_well(monkeypatch):
    assert places.clock(Settings()).ok
    monkeypatch.setattr(places.time, "time", lambda: 86_400.0)
    check = places.clock(Settings())
    assert (check.ok, check.needed, check.found) == (False, True, "1970-01-02 00:00:00 UTC")
    assert "timedatectl" in check.remedy


@pytest.mark.parametrize(("state", "ok"), [(0, True), (5, False), (-1, False)])
def test_a_clock_that_nobody_corrects_is_noted(monkeypatch, state, ok):
    monkeypatch.setattr(
        places.ctypes, "CDLL", lambda _: type("Libc", (), {"adjtimex": lambda self, room: state})()
    )
    check = places.clock_kept(Settings())
    assert (check.ok, check.needed) == (ok, False)


@pytest.mark.parametrize(
    ("free", "inodes", "files", "ok"),
    [
        (2 * 1024**3, 100_000, 10**6, True),
        (2 * 1024**3 - 4096, 100_000, 10**6, False),
        (2 * 1024**3, 99_999, 10**6, False),
        (2 * 1024**3, 0, 0, True),  # btrfs
    ],
)
def test_room_is_two_gigabytes_and_a_hundred_thousand_files(monkeypatch, free, inodes, files, ok):
    found = {"f_bavail": free // 4096, "f_frsize": 4096, "f_favail": inodes, "f_files": files, "f_flag": 0}
    monkeypatch.setattr(places.os, "statvfs", lambda _: type("Room", (), found))
    check = places.disk(Settings())
    assert (check.ok, check.needed) == (ok, True)


@pytest.mark.parametrize("name", ["nft", "git", "tar", "python3", "node", "npm"])
def test_a_program_that_is_not_there_is_told_with_its_package(monkeypatch, name):
    monkeypatch.setenv("PATH", "/nowhere")
    (check,) = [check for check in doctor.examine(Settings(), WITHOUT_TRIALS) if check.name == name]
    assert (check.ok, check.found) == (False, "not found")
    assert check.remedy.startswith("apt-get install ")
    assert check.needed is (name not in {"node", "npm"})


def test_what_python_apps_are_built_with_and_what_was_compiled_is_looked_for(monkeypatch):
    monkeypatch.setattr(programs.glob, "glob", lambda _: [])
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(programs.os.path, "exists", lambda _: False)
    for check in (programs.pip(Settings()), programs.router_parts(Settings()), programs.init(Settings())):
        assert (check.ok, check.needed) == (False, False)
        assert "apt-get install" in check.remedy


def test_users_that_are_not_there_are_named(monkeypatch):
    def nobody(name):
        raise KeyError(name)

    monkeypatch.setattr(programs.pwd, "getpwnam", nobody)
    check = programs.users(Settings())
    assert (check.ok, check.needed, check.found) == (False, False, "missing: dynod, dynod-log, dynod-router")


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
    monkeypatch.setattr(places, "lines", lambda path: mounts if path == "/proc/self/mountinfo" else [])
    monkeypatch.setattr(places.os.path, "exists", lambda path: path == "/dev/loop-control")
    monkeypatch.setattr(places.shutil, "which", lambda name, path=None: f"/sbin/{name}")
    check = places.ceiling(Settings(state="/srv/d", disk_ceiling=way))
    assert (check.ok, check.needed, check.found) == (ok, needed, found)
    assert ok or "dynod.toml" in check.remedy


def test_without_loop_devices_and_quotas_nothing_bounds_a_dyno(monkeypatch):
    monkeypatch.setattr(places, "lines", lambda path: [ROOT])  # stands for the real one
    monkeypatch.setattr(places.os.path, "exists", lambda path: False)  # as above
    monkeypatch.setattr(places.shutil, "which", lambda name, path=None: None)  # as above
    check = places.ceiling(Settings())
    assert (check.ok, check.needed) == (False, True)
    assert check.found == "missing: mkfs.ext4, /dev/loop-control"


def named():
    """The checks of docs/doctor.md."""
    table = PAGE[PAGE.index("## Checks") :]
    return [
        name.strip() for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in row.split(",")
    ][1:]


def test_the_doctor_covers_every_need_and_the_page_names_each():
    found = [check.name for check in doctor.examine(Settings())]
    assert len(found) == len(set(found))
    assert set(found) == set(named()) - {"---"}
    assert set(found) >= {
        *("kernel", "cgroups", "namespaces", "user namespaces", "overlayfs", "idmapped mounts", "seccomp"),
        *("nftables", "veth", "disk", "clock", "DNS", "uids of dynos", "git", "nft", "tar"),
        *("python3 -m venv", "node", "npm", "api address", "router address", "router tls address"),
    }


def test_the_page_names_every_field_of_the_json():
    table = PAGE[PAGE.index("## JSON") : PAGE.index("## Checks")]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Check.__dataclass_fields__)


def test_json_and_status_agree(tmp_path):
    done = dynod("doctor", "--json", "--offline", "--state", str(tmp_path))
    checks = json.loads(done.stdout)
    assert {"name", "found", "ok", "remedy", "needed"} == set(checks[0])
    assert "DNS" not in {check["name"] for check in checks}
    assert done.returncode == (0 if all(check["ok"] or not check["needed"] for check in checks) else 1)


WELL = Check("well", "there", ok=True, remedy="none")
NOTE = Check("more", "not there", ok=False, remedy="add it", needed=False)
NEED = Check("must", "not there", ok=False, remedy="get it")


@pytest.mark.parametrize(("found", "status"), [((WELL,), 0), ((WELL, NOTE), 0), ((WELL, NOTE, NEED), 1)])
@pytest.mark.parametrize("brief", [False, True])
def test_what_is_missing_is_the_status_and_brief_says_only_what_is_not_well(
    monkeypatch, capsys, found, status, brief
):
    monkeypatch.setattr(doctor, "CHECKS", (lambda _: found,))
    assert doctor.main(["--brief"] if brief else []) == status
    said = capsys.readouterr().out
    assert ("ok       well  there\n" in said) is not brief
    assert ("note     more  not there\n               -> add it\n" in said) is (NOTE in found)
    assert ("MISSING  must  not there\n               -> get it\n" in said) is (NEED in found)
    assert doctor.main(["--json", *(["--brief"] if brief else [])]) == status
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told] == [check.name for check in found if not (brief and check.ok)]


def test_settings_that_cannot_be_used_are_the_status_two(tmp_path):
    (tmp_path / "dynod.toml").write_text('colour = "red"\n')
    done = dynod("doctor", "--config", str(tmp_path / "dynod.toml"))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


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
