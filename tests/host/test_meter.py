"""A dyno's memory from cgroup files, on directories that look like either generation's."""

import os

import pytest

from dynod.core.quota import Reading
from dynod.host.meter import meter, runnable

V1 = {
    "memory.usage_in_bytes": "900\n",
    "memory.max_usage_in_bytes": "1200\n",
    "memory.stat": "cache 1\nrss 2\ntotal_cache 100\ntotal_rss 700\ntotal_pgpgin 9\ntotal_pgpgout 8\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "tasks": "",
}
V2 = {
    "memory.current": "900\n",
    "memory.stat": "anon 700\nfile 100\nkernel 50\npgfault 9\npgmajfault 0\n",
    "memory.events": "low 0\nhigh 2\nmax 1\noom 1\noom_kill 3\noom_group_kill 0\n",
    "cgroup.threads": "",
}


def directory(path, files):
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return str(path)


def test_version_1_is_found_among_its_trees_and_read(tmp_path):
    trees = [directory(tmp_path / "pids", {"pids.max": "1"}), directory(tmp_path / "memory", V1)]
    found = meter(trees)
    assert (found.version, found.directory) == (1, trees[1])
    assert found.read() == Reading(700, 100, 0, 9, 8, used=900, peak=1200, kills=3)


def test_version_1_counts_swap_where_the_kernel_does(tmp_path):
    stat = V1["memory.stat"] + "total_swap 50\n"
    files = V1 | {"memory.memsw.usage_in_bytes": "950\n", "memory.stat": stat}
    reading = meter([directory(tmp_path / "memory", files)]).read()
    assert (reading.swap, reading.used, reading.held) == (50, 950, 750)


def test_version_1_before_oom_kills_were_counted(tmp_path):
    files = V1 | {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}
    assert meter([directory(tmp_path / "memory", files)]).read().kills == 0


def test_version_2_with_and_without_its_newer_files(tmp_path):
    old = meter([directory(tmp_path / "old", V2)])
    assert old.version == 2
    assert old.read() == Reading(700, 100, 0, 9, 0, used=900, peak=900, kills=3)
    new = V2 | {"memory.peak": "1200\n", "memory.swap.current": "50\n"}
    reading = meter([directory(tmp_path / "new", new)]).read()
    assert (reading.peak, reading.swap) == (1200, 50)


def test_where_memory_is_not_counted_there_is_no_meter(tmp_path):
    assert meter([directory(tmp_path / "pids", {"pids.max": "1"}), str(tmp_path / "none")]) is None


@pytest.mark.parametrize("files", [V1, V2])
def test_a_dyno_that_is_gone_is_an_os_error(tmp_path, files):
    path = directory(tmp_path / "gone", files)
    found = meter([path])
    os.rename(path, f"{path}-away")
    with pytest.raises(FileNotFoundError):
        found.read()
    with pytest.raises(FileNotFoundError):
        found.runnable()


def test_the_load_counts_what_runs_or_waits_for_a_disk():
    states = {1: "running", 2: "sleeping", 3: "disk-sleep", 4: "zombie", 5: ""}
    assert runnable(states, states.get) == 2


def test_tasks_are_looked_up_among_the_living(tmp_path):
    tasks = f"{os.getpid()}\n999999999\n"
    found = meter([directory(tmp_path / "memory", V1 | {"tasks": tasks})])
    assert found.runnable() == 1  # this test runs; the other is no more
