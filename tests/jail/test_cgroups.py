"""Both generations on a plain directory: which files are written with what, and that a limit must be read back."""

import os

import pytest

from dynod.jail import cgroups
from dynod.jail.cgroup_v1 import CgroupsV1
from dynod.jail.cgroup_v2 import CgroupsV2
from dynod.jail.cgroups import NotInForce, Usage, choose
from dynod.model.jail import Limits
from dynod.model.tally import Tally

LIMITS = Limits(memory=512 * 1024**2 + 100, tasks=256, cpu=2)


@pytest.fixture
def v2(tmp_path):
    """A directory as the kernel's version 2 root has it, as far as we read and write it."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    return tmp_path


def kernel_makes(directory):
    """What the kernel puts into a new version 2 group."""
    (directory / "cgroup.controllers").write_text("cpu memory pids\n")
    for name in ("cgroup.subtree_control", "cgroup.procs", "memory.swap.max", "cgroup.kill"):
        (directory / name).write_text("")


@pytest.fixture
def groups(v2):
    for name in ("dynod", "dynod/inst"):
        (v2 / name).mkdir()
        kernel_makes(v2 / name)
    made = CgroupsV2(str(v2 / "dynod"), "inst")
    made.prepare()
    made.make("embryo-1")
    kernel_makes(v2 / "dynod/inst/embryo-1")
    return made


def test_version_2_is_chosen_where_it_has_controllers(v2, tmp_path):
    assert choose("inst", root=str(v2)).version == 2
    assert choose("inst", root=str(tmp_path / "hybrid")).version == 1
    assert choose("inst", under="/sys/fs/cgroup/dynod.slice", root=str(tmp_path / "hybrid")).version == 2


def test_version_2_hands_controllers_down(groups, v2):
    assert (v2 / "dynod/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (v2 / "dynod/inst/cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_version_2_hands_down_only_what_is_lacking(v2):
    (v2 / "dynod").mkdir()
    kernel_makes(v2 / "dynod")
    (v2 / "dynod/cgroup.subtree_control").write_text("cpu memory pids")
    (v2 / "dynod/inst").mkdir()
    kernel_makes(v2 / "dynod/inst")
    CgroupsV2(str(v2 / "dynod"), "inst").prepare()
    assert (v2 / "dynod/cgroup.subtree_control").read_text() == "cpu memory pids"


def test_version_2_without_a_controller_is_refused_by_name(v2):
    (v2 / "dynod").mkdir()
    kernel_makes(v2 / "dynod")
    (v2 / "dynod/cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(OSError, match=r"has no memory; delegate it \(systemd: Delegate=yes\)"):
        CgroupsV2(str(v2 / "dynod"), "inst").prepare()


def test_version_2_steps_aside_in_a_group_delegated_to_it(v2):
    (v2 / "dynod").mkdir()
    kernel_makes(v2 / "dynod")
    (v2 / "dynod/cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    (v2 / "dynod/inst").mkdir()
    kernel_makes(v2 / "dynod/inst")
    CgroupsV2(str(v2 / "dynod"), "inst").prepare()
    assert (v2 / "dynod/host/cgroup.procs").read_text() == "0"


def test_version_2_writes_each_limit(groups, v2):
    groups.limit("embryo-1", LIMITS)
    own = v2 / "dynod/inst/embryo-1"
    said = {
        name: (own / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.weight")
    }
    assert said == {
        "memory.max": str(512 * 1024**2),
        "memory.swap.max": "0",
        "pids.max": "256",
        "cpu.weight": "200",
    }
    assert groups.doors("embryo-1") == (f"{own}/cgroup.procs",)
    assert groups.rename("embryo-1", "web.1") == "embryo-1"
    assert groups.directories("embryo-1") == (str(own),)
    assert groups.names() == ["embryo-1"]


@pytest.mark.parametrize("file", ["memory.max", "memory.swap.max", "pids.max", "cpu.weight"])
def test_version_2_refuses_a_limit_that_does_not_read_back(groups, v2, file):
    path = v2 / "dynod/inst/embryo-1" / file
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/null")  # takes everything, keeps nothing
    with pytest.raises(NotInForce, match=file):
        groups.limit("embryo-1", LIMITS)


def test_version_2_reads_what_was_used(groups, v2):
    own = v2 / "dynod/inst/embryo-1"
    (own / "memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 2\n")
    (own / "memory.current").write_text("4096\n")
    assert groups.usage("embryo-1") == Usage(4096, 2)
    (own / "memory.peak").write_text("8192\n")
    assert groups.usage("embryo-1") == Usage(8192, 2)


def test_version_2_tells_all_that_it_counts(groups, v2):
    own = v2 / "dynod/inst/embryo-1"
    pressure = (
        "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    )
    for name, text in (
        (
            "cpu.stat",
            "usage_usec 1500000\nuser_usec 1250000\nsystem_usec 250000\nnr_periods 7\nthrottled_usec 40000\n",
        ),
        ("pids.peak", "12\n"),
        ("pids.events", "max 3\n"),
        ("memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n"),
        ("cpu.pressure", pressure.format(2_000_000)),
        ("memory.pressure", pressure.format(500_000)),
        ("io.pressure", pressure.format(0)),
    ):
        (own / name).write_text(text)
    assert groups.tally("embryo-1") == Tally(1.25, 0.25, 0.04, 12, 3, 5, 1, 2.0, 0.5, 0.0)


def test_version_2_without_a_quota_of_time_or_pressure_says_nothing_of_them(groups, v2):
    own = v2 / "dynod/inst/embryo-1"
    (own / "cpu.stat").write_text(
        "usage_usec 0\nuser_usec 0\nsystem_usec 0\nnr_periods 0\nthrottled_usec 0\n"
    )
    assert groups.tally("embryo-1") == Tally(cpu_user=0.0, cpu_system=0.0)
    assert groups.tally("gone") == Tally()


def test_version_2_kills_by_the_kernels_own_file(groups, v2):
    groups.kill("embryo-1")
    assert (v2 / "dynod/inst/embryo-1/cgroup.kill").read_text() == "1"


@pytest.fixture
def v1(tmp_path):
    for tree in ("memory", "pids", "cpu"):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "tasks").write_text("")
    made = CgroupsV1(str(tmp_path), "inst")
    made.prepare()
    return made


def test_version_1_has_one_directory_per_tree(v1, tmp_path):
    v1.make("embryo-1")
    assert v1.directories("embryo-1") == tuple(
        f"{tmp_path}/{tree}/dynod/inst/embryo-1" for tree in ("memory", "pids", "cpu")
    )
    assert all(os.path.isdir(path) for path in v1.directories("embryo-1"))
    assert v1.rename("embryo-1", "web.1") == "web.1"
    assert v1.names() == ["web.1"]


def test_all_dynos_together_weigh_as_much_as_a_process_per_processor(v1, tmp_path):
    for directory in ("dynod", "dynod/inst"):
        assert (tmp_path / "cpu" / directory / "cpu.shares").read_text() == str(1024 * os.cpu_count())


def test_version_1_writes_each_limit(v1, tmp_path):
    v1.make("x")
    v1.limit("x", LIMITS)
    assert (tmp_path / "memory/dynod/inst/x/memory.limit_in_bytes").read_text() == str(512 * 1024**2)
    assert (tmp_path / "pids/dynod/inst/x/pids.max").read_text() == "256"
    assert (tmp_path / "cpu/dynod/inst/x/cpu.shares").read_text() == "2048"


def test_version_1_tells_all_that_it_counts(v1, tmp_path):
    v1.make("x")
    for name, text in (
        ("memory/dynod/inst/x/memory.failcnt", "2\n"),
        ("memory/dynod/inst/x/memory.memsw.failcnt", "3\n"),
        ("memory/dynod/inst/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
        ("pids/dynod/inst/x/pids.peak", "12\n"),
        ("pids/dynod/inst/x/pids.events", "max 4\n"),
        ("cpu/dynod/inst/x/cpuacct.stat", f"user {3 * os.sysconf('SC_CLK_TCK')}\nsystem 0\n"),
        ("cpu/dynod/inst/x/cpu.stat", "nr_periods 9\nnr_throttled 1\nthrottled_time 1500000000\n"),
    ):
        (tmp_path / name).write_text(text)
    assert v1.tally("x") == Tally(3.0, 0.0, 1.5, 12, 4, 5, 1)


def test_version_1_says_nothing_of_what_it_does_not_count(v1, tmp_path):
    v1.make("x")
    (tmp_path / "cpu/dynod/inst/x/cpu.stat").write_text("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n")
    (tmp_path / "memory/dynod/inst/x/memory.failcnt").write_text("0\n")
    assert v1.tally("x") == Tally()
    assert v1.tally("gone") == Tally()


def test_version_1_refuses_a_limit_that_is_clipped(v1, tmp_path):
    v1.make("x")
    # Reads as another number.
    (tmp_path / "cpu/dynod/inst/x/cpu.shares").symlink_to("/proc/sys/kernel/pid_max")
    with pytest.raises(OSError, match="limit shares"):
        v1.limit("x", Limits(512 * 1024**2, 256, cpu=10**9))


def test_version_1_names_a_missing_tree(tmp_path):
    with pytest.raises(OSError, match="no memory controller; mount it"):
        CgroupsV1(str(tmp_path), "inst").prepare()


def test_memory_is_counted_in_whole_pages():
    assert cgroups.whole_pages(cgroups.PAGE * 3 + 1) == cgroups.PAGE * 3


# Sleep


def test_version_2_freezes_reclaims_and_thaws(groups, v2):
    group = v2 / "dynod/inst/embryo-1"
    assert not groups.frozen("embryo-1")
    for name, text in (("cgroup.freeze", "0"), ("memory.current", "4096"), ("memory.reclaim", "")):
        (group / name).write_text(text)
    groups.freeze("embryo-1")
    assert groups.frozen("embryo-1")
    assert (group / "memory.reclaim").read_text() == "4096"
    groups.thaw("embryo-1")
    assert not groups.frozen("embryo-1")
    groups.thaw("nobody")


def test_version_2_freezes_where_nothing_can_be_reclaimed(groups, v2):
    group = v2 / "dynod/inst/embryo-1"
    (group / "cgroup.freeze").write_text("0")
    groups.freeze("embryo-1")
    assert groups.frozen("embryo-1")


def test_version_1_without_a_freezer_says_how_to_get_one(tmp_path):
    made = CgroupsV1(str(tmp_path), "inst")
    assert not made.frozen("d1")
    made.thaw("d1")
    with pytest.raises(OSError, match="mount -t cgroup -o freezer"):
        made.freeze("d1")
