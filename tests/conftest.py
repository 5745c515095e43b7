"""The whole test session: its own temporary directory, what its tests need and this machine lacks, and that it leaves nothing.

Each session has a directory of its own for everything temporary, whose name marks mounts, processes and sockets as its own.
`@pytest.mark.linux("nft", "ip")` and the like name programs that a test runs; one that is missing is the reason of a skip.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections import Counter

import hypothesis
import leaks
import pytest

_mark = f"{leaks.PREFIX}{uuid.uuid4().hex[:8]}"
_base = os.path.join(tempfile.gettempdir(), _mark)
_missing = {}  # what -> why, asked once
_skipped = Counter()


def pytest_configure(config):
    # Of its own accord it gives each example 200 ms; no test is timed here.
    hypothesis.settings.register_profile("house", deadline=None)
    hypothesis.settings.load_profile("house")
    os.mkdir(_base)
    os.chmod(_base, 0o755)  # dynos' users pass through
    leaks.hold(_base)
    os.environ["TMPDIR"] = tempfile.tempdir = _base
    os.environ[leaks.MARK] = _mark
    # Ignored behind an `&`, and so it would be in what tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.add_cleanup(lambda: shutil.rmtree(_base, ignore_errors=True))


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left():
    """Fail the session when a process, mount, cgroup, namespace, link, table or file of it is still there at its end."""
    before = leaks.note(_mark)
    shared = os.environ.get("DYNOD_TEST_SHARED") == "1" or leaks.others(_base)
    yield
    leaks.settle(_mark)
    left = leaks.left(before, leaks.note(_mark), _mark)
    shared = shared or leaks.others(_base)
    ours = [thing for thing in left if thing.ours or not shared]
    foreign = [thing for thing in left if thing not in ours]
    if foreign:
        print("\nnew on this shared machine, maybe ours:", *foreign, sep="\n  ")
    if ours:
        hint = (
            "" if all(thing.ours for thing in ours) else "\n(DYNOD_TEST_SHARED=1 if others use this machine)"
        )
        pytest.fail("this test session left behind:\n  " + "\n  ".join(map(str, ours)) + hint, pytrace=False)


# -- what a test needs -------------------------------------------------------------------------------------------------


def pytest_runtest_setup(item):
    for name in ("linux", "e2e", "npm"):
        for marker in item.iter_markers(name):
            for need in (*_NEEDS[name], *(f"program {program}" for program in marker.args)):
                if why := _lack(need):
                    _skipped[why] += 1
                    pytest.skip(why)


def pytest_terminal_summary(terminalreporter):
    for why, count in sorted(_skipped.items()):
        terminalreporter.write_line(f"skipped {count}: {why}")


def _lack(need):
    """Say what is missing and how to get it, or nothing."""
    if need not in _missing:
        kind, _, name = need.partition(" ")
        _missing[need] = _LACKS[kind](name)
    return _missing[need]


def _root(_):
    return (
        ""
        if os.geteuid() == 0
        else "needs root: run it as root, or leave it out with -m 'not linux and not e2e'"
    )


def _program(name):
    return (
        ""
        if shutil.which(name)
        else f"needs the program {name}: install the package that has it (see APT in Makefile)"
    )


def _registry(_):
    try:
        answer = subprocess.run(
            ["npm", "view", "heroku", "version"], capture_output=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "needs the npm registry: it did not answer within 60 s"
    return "" if answer.returncode == 0 else "needs the npm registry: it cannot be reached"


_NEEDS = {
    "linux": ("root",),
    "e2e": ("root", "program git"),
    "npm": ("program npm", "registry"),
}
_LACKS = {"root": _root, "program": _program, "registry": _registry}
