"""The doctor's judgement, table by table, and the words of `dynod` itself. On machines that really lack something: tests/linux/test_doctor.py."""

import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dynod.cli import doctor
from dynod.cli.doctor import kernel, places, programs, reach
from dynod.cli.doctor.check import Check
from dynod.model.settings import Endpoint, Settings

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


def test_cgroups_v2_without_pids_is_missing_something(monkeypatch):
    files(monkeypatch, kernel, {"/sys/fs/cgroup/cgroup.controllers": ["cpu io memory"]})
    check = kernel.cgroups(Settings())
    assert (check.ok, check.needed, check.found) == (False, True, "v2: memory, cpu")
    assert "cgroup_enable=pids" in check.remedy


ENABLED = ["#subsys_name hierarchy num_cgroups enabled", "memory 0 1 0", "cpu 2 1 1", "pids 3 1 1"]


@pytest.mark.parametrize(
    ("mounted", "found", "remedy"),
    [
        (("pids", "cpu"), "v1 (hybrid): pids, cpu", "boot with cgroup_enable=memory"),
        (("memory", "cpu"), "v1 (hybrid): memory, cpu", "mount -t cgroup -o pids pids"),
        ((), "v1 (hybrid): none of ours", "boot with cgroup_enable=memory"),
    ],
)
def test_cgroups_v1_counts_mounted_hierarchies_only(monkeypatch, mounted, found, remedy):
    files(monkeypatch, kernel, {"/proc/cgroups": ENABLED})
    trees = {f"/sys/fs/cgroup/{name}/tasks" for name in mounted}
    monkeypatch.setattr(kernel.os.path, "exists", lambda path: path in trees)
    check = kernel.cgroups(Settings())
    assert (check.ok, check.found) == (False, found)
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("release", "ok"), [("5.18.0", False), ("5.19.1", True), ("6.1.0-18-amd64", True), ("odd", False)]
)
def test_the_kernel_must_know_idmapped_layers(monkeypatch, release, ok):
    monkeypatch.setattr(kernel.os, "uname", lambda: type("Uname", (), {"release": release}))
    assert kernel.kernel(Settings()).ok is ok


def test_the_doctor_wants_the_capabilities_that_the_dyno_host_keeps():
    unit = (ROOT_DIRECTORY / "systemd/dyno-host.service").read_text()
    kept = re.findall(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    # Without the last, dynos cannot be given more descriptors than root's own limit, and all else works.
    assert set(" ".join(kept).split()) == {*kernel.CAPABILITIES, "CAP_SYS_RESOURCE"}


def test_root_without_a_capability_is_a_containers(monkeypatch):
    monkeypatch.setattr(kernel.os, "geteuid", lambda: 0)
    everything = (1 << 41) - 1
    for name, bit in kernel.CAPABILITIES.items():
        files(
            monkeypatch,
            kernel,
            {"/proc/self/status": ["Name:\tx", f"CapEff:\t{everything & ~(1 << bit):016x}"]},
        )
        check = kernel.root(Settings())
        assert (check.ok, check.needed, check.found) == (False, True, f"root without {name}")
        assert "container" in check.remedy
    files(monkeypatch, kernel, {"/proc/self/status": [f"CapEff:\t{everything:016x}"]})
    assert kernel.root(Settings()).ok


def test_root_of_a_user_namespace_is_no_root(monkeypatch):
    monkeypatch.setattr(kernel.os, "geteuid", lambda: 0)
    there = {"/proc/self/status": [f"CapEff:\t{(1 << 41) - 1:016x}"], "/proc/self/uid_map": ["0 1000 1"]}
    files(monkeypatch, kernel, there)
    assert (kernel.root(Settings()).ok, kernel.root(Settings()).found) == (
        False,
        "root of a user namespace alone",
    )
    there["/proc/self/uid_map"] = ["         0          0 4294967295"]
    assert kernel.root(Settings()).ok


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("mnt, net: Operation not permitted", kernel.OUTSIDE),
        ("Permission denied", kernel.OUTSIDE),
        ("Invalid argument", "its own"),
    ],
)
def test_what_may_not_be_done_is_a_container_and_not_an_old_kernel(monkeypatch, why, remedy):
    monkeypatch.setattr(kernel.os, "geteuid", lambda: 0)
    done = type("Done", (), {"stdout": json.dumps({"veth": why}), "stderr": "", "returncode": 0})
    monkeypatch.setattr(kernel.subprocess, "run", lambda *_, **__: done)
    (check,) = kernel._tried("any", {"veth": "its own"})
    assert (check.ok, check.found, check.remedy) == (False, why, remedy)


def test_who_is_not_root_is_told_what_was_not_tried(monkeypatch):
    monkeypatch.setattr(kernel.os, "geteuid", lambda: 1000)
    assert not kernel.root(Settings()).ok
    for check in (*kernel.walls(Settings()), *kernel.wires(Settings())):
        assert (check.ok, check.needed, check.found) == (False, False, "not tried: that takes root")


@pytest.mark.parametrize(
    ("module", "why"),
    [("json", "cannot be tried"), ("no.such.module", "cannot be tried: .*No module named")],
)
def test_a_trial_that_does_not_start_is_no_success(monkeypatch, module, why):
    monkeypatch.setattr(kernel.os, "geteuid", lambda: 0)
    for check in kernel._tried(module, {"veth": "a remedy"}):
        assert (check.ok, check.needed, check.remedy) == (False, True, "a remedy")
        assert re.search(why, check.found)


def test_a_trial_that_hangs_is_not_waited_for_without_end(monkeypatch, tmp_path):
    (tmp_path / "hangs.py").write_text("import signal\nsignal.pause()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(kernel.os, "geteuid", lambda: 0)
    monkeypatch.setattr(kernel, "PATIENCE", 0.5)
    (check,) = kernel._tried("hangs", {"veth": "a remedy"})
    assert (check.ok, check.found, check.remedy) == (False, "tried, and not done within 0.5 s", "a remedy")


@pytest.mark.parametrize("which", ["api", "router", "router_tls", "metrics"])
def test_a_taken_port_is_seen_and_who_holds_it_is_named(which):
    with socket.create_server(("127.0.0.1", 0)) as held:
        endpoint = Endpoint("127.0.0.1", held.getsockname()[1])
        check = reach.port(which)(Settings(**{which: endpoint}))
    assert (check.ok, check.needed, check.name) == (False, True, f"{which.replace('_', ' ')} address")
    assert check.found.startswith(f"{endpoint} is held by ")
    assert f"(pid {doctor_pid()})" in check.found
    assert f"{which} = " in check.remedy
    assert reach.port(which)(Settings(**{which: endpoint})).found == f"{endpoint} is free"


def doctor_pid():
    return Path("/proc/self").resolve().name


def test_who_only_talks_over_a_port_does_not_hold_it():
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = held.getsockname()
        with socket.create_connection(address), held.accept()[0]:
            assert len(list(reach.holders(address[1]))) == 1
            held.close()
            assert list(reach.holders(address[1])) == []


def test_a_port_that_dynod_holds_is_well(tmp_path):
    """As on a machine where it serves."""
    (tmp_path / "router.py").write_text(
        "import socket, sys\nwith socket.create_server(('127.0.0.1', 0)) as held:\n"
        "    print(held.getsockname()[1], flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "router"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        endpoint = Endpoint("127.0.0.1", int(program.stdout.readline()))
        check = reach.port("router")(Settings(router=endpoint))
        program.stdin.close()
    assert (check.ok, check.found) == (True, f"{endpoint} is held by dynod itself")


def test_a_port_that_systemd_holds_for_dynod_is_well(monkeypatch):
    monkeypatch.setattr(reach, "_argv", lambda pid: ["/sbin/init"])
    monkeypatch.setattr(reach, "_sockets", lambda: "127.0.0.1:5000 (Stream)\n0.0.0.0:80 (Stream)\n")
    assert reach._is_ours("1", 80)
    assert not reach._is_ours("1", 8080)  # it holds it for somebody else
    assert not reach._is_ours("2", 80)


def test_an_address_that_is_not_this_machines_is_told_as_such():
    check = reach.port("api")(Settings(api=Endpoint("192.0.2.1", 5000)))
    assert (check.ok, check.needed) == (False, True)
    assert check.found == "192.0.2.1:5000: Cannot assign requested address"
    assert "--api" in check.remedy


def test_on_a_machine_with_units_the_remedy_names_the_one_that_listens(monkeypatch):
    there = {
        f"/etc/systemd/system/{unit}"
        for unit in ("dynod-api.socket", "dyno-router.socket", "dyno-router-tls.socket")
    }
    monkeypatch.setattr(reach.os.path, "exists", lambda path: path in there)
    for which in ("api", "router", "router_tls"):
        check = reach.port(which)(Settings(**{which: Endpoint("192.0.2.1", 5000)}))
        (named,) = re.findall(r"systemctl edit (\S+)", check.remedy)
        assert which.replace("_", "-") in named
    assert "systemctl" not in reach.port("metrics")(Settings(metrics=Endpoint("192.0.2.1", 1))).remedy


def test_an_address_that_nobody_asks_for_is_well():
    assert reach.port("metrics")(Settings()).ok


def test_name_servers_that_a_dyno_cannot_reach_do_not_count(monkeypatch):
    there = {"/etc/resolv.conf": ["nameserver 127.0.0.53"]}
    files(monkeypatch, reach, there)
    check = reach.names(Settings())
    assert (check.ok, check.needed) == (False, False)
    assert "127.0.0.0/8" in check.remedy
    there["/run/systemd/resolve/resolv.conf"] = ["nameserver 192.0.2.1"]
    asked = []
    monkeypatch.setattr(reach, "answers", lambda servers, at: asked.append((servers, at)) or servers[0])
    assert (reach.names(Settings()).ok, reach.names(Settings()).found) == (True, "192.0.2.1 answers")
    assert asked[0] == (("192.0.2.1",), 53)
    monkeypatch.setattr(reach, "answers", lambda servers, at: "")
    check = reach.names(Settings())
    assert (check.ok, check.found) == (False, "nobody answers within 2 s: 192.0.2.1")


def test_a_name_server_counts_when_it_answers_and_not_when_it_is_silent_or_refuses(monkeypatch):
    monkeypatch.setattr(reach, "PATIENCE", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        at = server.getsockname()[1]
        assert reach.answers(("127.0.0.1",), at) == "", "silent"
        server.recv(512)
        monkeypatch.setattr(reach, "PATIENCE", 20.0)

        def answer():
            question, client = server.recvfrom(512)
            assert question[4:6] == b"\0\1", "one question"
            server.sendto(question[:2] + b"\x81\x80" + question[4:], client)

        helper = threading.Thread(target=answer)
        helper.start()
        assert reach.answers(("127.0.0.2", "127.0.0.1"), at) == "127.0.0.1", "the other refuses at once"
        helper.join(20)
    assert reach.answers(("127.0.0.1",), at) == "", "refused at once, with twenty seconds to wait"


def test_the_firewall_of_another_that_drops_everything_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setattr(
        reach,
        "obstacles",
        lambda: ("dynos may not reach the internet: docker drops; let them through there",),
    )
    check = reach.firewalls(Settings())
    assert (check.ok, check.needed, check.remedy) == (False, False, "let them through there")
    monkeypatch.setattr(reach, "obstacles", lambda: ())
    assert reach.firewalls(Settings()).ok


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
