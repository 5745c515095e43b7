"""The doctor's judgement of the kernel: groups, version, what root may do, and what a trial told."""

import json
import re
from pathlib import Path

import pytest

from dynod.cli.doctor import kernel
from dynod.model.settings import Settings
from tests.cli.test_doctor import files

ROOT_DIRECTORY = Path(__file__).parents[2]


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
