"""kill -9 of each program under a running load of requests: what the design promises of that death (docs/reliability.md)."""

import contextlib
import glob
import os
import re
import signal

import pytest
from support.load import CLIENTS, Load
from support.waiting import run, until, until_ended

pytestmark = pytest.mark.e2e

APP = "load"


@pytest.fixture(scope="module")
def loaded(platform):
    """The platform with an app of two web dynos and a worker."""
    platform.deploy("shell", APP)
    platform.dyno("ps:scale", "web=2", "worker=1", "-a", APP)
    settled(platform)
    return platform


def dynos(platform):
    return {dyno["name"]: (dyno["id"], dyno["state"]) for dyno in platform.json("ps", "-a", APP)}


def settled(platform):
    """Wait until all three dynos are up."""
    platform.until(lambda: [state for _, state in dynos(platform).values()] == ["up"] * 3, APP)


def killed(platform, name, pid):
    """Kill one process and wait until ready.json names its successor."""
    os.kill(pid, signal.SIGKILL)
    run(until_ended(pid))

    def replaced():
        try:
            now = platform.pids(name)
        except (FileNotFoundError, ValueError):
            return False
        return pid not in now and all(os.path.exists(f"/proc/{one}") for one in now)

    async def story():
        await until(replaced, watch=[platform.run], what=f"a new {name}")

    run(story())


def test_the_control_plane_dies_and_no_request_no_dyno_no_change_is_lost(loaded):
    before = dynos(loaded)
    loaded.dyno("config:set", "SURVIVES=yes", "-a", APP)
    settled(loaded)
    after_set = dynos(loaded)
    assert set(before) == set(after_set)
    with Load(loaded.ready["router"], APP) as load:
        killed(loaded, "control", loaded.pids("control")[0])
        load.wait_more(200)
    assert load.failed == []
    assert dynos(loaded) == after_set  # the same dynos by id: adopted, not started again
    assert loaded.json("config", "-a", APP)["SURVIVES"] == "yes"


def test_a_router_worker_dies_and_only_what_was_inside_it_fails(loaded):
    with Load(loaded.ready["router"], APP) as load:
        killed(loaded, "router", loaded.pids("router")[-1])
        load.wait_more(200)
    assert len(load.failed) <= CLIENTS  # each client had one request at most inside it
    assert loaded.get(APP)[0] == 200


def test_logplex_dies_and_no_line_is_lost_or_told_twice(loaded):
    count = 400
    lines = f"i=0; while [ $i -lt {count} ]; do echo line-$i-end; i=$((i+1)); sleep 0.01; done"
    before = dynos(loaded)
    numbers = []
    with Load(loaded.ready["router"], APP) as load, loaded.tail(APP, "--dyno", "run") as next_line:

        def read_to(wanted):
            while not numbers or numbers[-1] < wanted:
                line = next_line()
                if line.endswith("-end"):
                    numbers.append(int(line.rpartition("line-")[2].removesuffix("-end")))

        loaded.dyno("run:detached", "-a", APP, lines)
        read_to(count // 4)
        killed(loaded, "logplex", loaded.pids("logplex")[0])
        read_to(count - 1)
    assert load.failed == []
    assert numbers == list(range(count))
    assert {name: dynos(loaded)[name] for name in before} == before


def alive(known):
    """Ids of all dynos that have a process and share an instance's cgroup with the known ones; embryos are none."""
    groups = set()
    for path in glob.glob("/proc/[0-9]*/cgroup"):
        with contextlib.suppress(OSError), open(path) as file:
            groups.update(re.findall(r"/dynod/([^/\n]+)/([0-9a-f]{8}-[0-9a-f-]{27})", file.read()))
    instances = {instance for instance, id in groups if id in known}
    return {id for instance, id in groups if instance in instances}


def test_the_dyno_host_dies_and_its_dynos_do_not_notice(loaded):
    before = dynos(loaded)
    with Load(loaded.ready["router"], APP) as load:
        killed(loaded, "host", loaded.pids("host")[0])
        load.wait_more(200)
    assert load.failed == []
    assert dynos(loaded) == before  # the same dynos by id: adopted, not started again
    assert alive({ident for ident, _ in before.values()}) == {ident for ident, _ in before.values()}
    loaded.dyno("ps:restart", "web.1", "-a", APP)  # and the new host has them in hand
    settled(loaded)
    replaced = dynos(loaded)
    assert replaced["web.1"][0] != before["web.1"][0]
    assert alive({ident for ident, _ in before.values()} | {ident for ident, _ in replaced.values()}) == {
        ident for ident, _ in replaced.values()
    }


def test_the_network_helper_dies_and_what_is_wired_stays_wired(loaded):
    with Load(loaded.ready["router"], APP) as load:
        killed(loaded, "net", loaded.pids("net")[0])
        load.wait_more(100)
    assert load.failed == []
    loaded.dyno("ps:scale", "web=3", "-a", APP)
    loaded.dyno("ps:scale", "web=2", "-a", APP)


def test_after_all_this_a_push_still_works(loaded):
    tree = loaded.base / f"tree-{APP}"
    loaded.commit(tree, "second")
    assert "Released v" in loaded.push(tree)
    settled(loaded)
    assert loaded.get(APP)[0] == 200
