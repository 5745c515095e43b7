"""A lab machine with the platform installed, one per test module; `make lab-test` runs what is here."""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from lab.__main__ import installed
from lab.machine import CACHE, Machine
from tests.lab.told import INSIDE, PYTHON

DEPLOY = "cd /srv/dynod && sh lab/deploy {app} {tree} 2>&1"
SETTLED = "systemctl is-system-running --wait || systemctl --failed; systemctl is-active dynod.service"
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items):
    for item in items:
        if "/tests/lab/" in str(item.path):
            item.add_marker(pytest.mark.lab)


def pytest_runtest_logreport(report):
    """Say at once why one failed: the end of all is hours away."""
    if report.failed and "tests/lab/" in report.nodeid:
        print(f"\n{report.longreprtext}", flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell fixtures that end whether their test failed: nothing is raised in them."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def words(machine, request):
    """Keep the machine's words when a test fails."""
    yield
    if request.node.stash.get(FAILED, False):
        print(keep(machine, "".join(letter if letter.isalnum() else "-" for letter in request.node.name)))


@pytest.fixture(scope="session")
def disk():
    """The disk of a machine on which the platform was just installed; LAB_DISK names one that is there already."""
    return Path(os.environ["LAB_DISK"]) if "LAB_DISK" in os.environ else installed()


@pytest.fixture(scope="module")
def machine(disk, request):
    """A machine that runs, with a disk of its own."""
    with running(request.module, backing=disk) as made:
        made.sh(SETTLED)
        yield made


@contextlib.contextmanager
def running(module, **how):
    """A machine that runs as long as it is needed, in a directory of its own."""
    home = CACHE / f"test-{os.getpid()}-{module.__name__.rpartition('.')[2]}"
    made = Machine(home, **how)
    try:
        figure("boot", seconds=round(made.start(), 1))
        yield made
    finally:
        made.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def app(machine):
    """The example app, deployed and up."""
    return deployed(machine, "hello", "examples/shell")


@pytest.fixture(scope="module")
def counting(machine):
    """An app whose worker says numbers, up."""
    deployed(machine, "counting", "tests/lab/counting")
    machine.sh("dyno ps:scale worker=1 -a counting && dyno logs --tail -a counting | grep -m1 ': number '")
    return "counting"


def deployed(machine, app, tree):
    """Push an app that is not there yet, and wait until it serves."""
    machine.sh(f"dyno apps --json | grep -q '\"{app}\"' || {{ {DEPLOY.format(app=app, tree=tree)}; }}")
    serves(machine, app)
    return app


def serves(machine, app, cap=600):
    """Wait until an app answers; where it does not, fail with what the machine has to say about it."""
    done = machine.run(
        "timeout",
        str(cap),
        "bash",
        "-c",
        f"until curl -sf -m 60 -H 'Host: {app}.localhost' http://127.0.0.1:8080/ >/dev/null; do sleep 1; done",
    )
    if done.status != 0:
        pytest.fail(f"{app} did not serve within {cap} s; {keep(machine, f'{app}-did-not-serve', app)}")


def page(machine, app):
    return machine.sh(f"curl -sf -H 'Host: {app}.localhost' http://127.0.0.1:8080/")


def keep(machine, name, app="hello"):
    """Bring what the machine has to say about a failure here; say where."""
    told = machine.run(
        "bash",
        "-c",
        f"systemctl --plain --no-pager status 'dyn*'; journalctl -b --no-pager -n 1000; timeout 20 dyno ps -a {app}; "
        f"timeout 20 dyno releases -a {app}; timeout 20 dyno logs -a {app}; "
        f"curl -si -m 70 -H 'Host: {app}.localhost' http://127.0.0.1:8080/; "
        "find /sys/fs/cgroup/dynod -name cgroup.procs | xargs grep -c .; ps -eo pid,ppid,user,etime,args; df -h /; journalctl -k --no-pager -n 50",
    )
    path = CACHE / f"failed-{name}.log"
    path.write_text(told.out + told.err)
    return f"the machine's words are in {path}"


def held(machine, app, told, what, before=None, after=None, **more):
    """Wait until an app serves on a machine that lost something; hold it to what a client was told, and keep the figures."""
    began = time.monotonic()
    serves(machine, app)
    serving = time.monotonic() - began
    found = json.loads(machine.sh(f"{PYTHON} -P {INSIDE}/look.py {app}"))
    figure(
        what,
        **more,
        acknowledged=told.counts(before),
        during=told.under_way(before),
        serving=round(serving, 1),
        entries=found["entries"],
        found={key: found[key] for key in ("count", "formation", "slug", "page")},
    )
    told.holds(found, page(machine, app), before, after)


@contextlib.contextmanager
def kept(machine, name, app="hello"):
    """Keep the machine's words when what is within fails."""
    try:
        yield
    except BaseException:
        print(keep(machine, name, app))
        raise


def figure(what, **values):
    """Keep and print a figure; docs/reliability.md quotes them."""
    line = json.dumps({"what": what, **values})
    print(line)
    with open(CACHE / "figures.jsonl", "a") as file:
        file.write(line + "\n")
