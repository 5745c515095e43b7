"""A dyno's keyring is its own: neither its processes nor a command that joins it hold on to that of who started the host."""

import ctypes
import os
import platform
import threading
import time
from pathlib import Path

import pytest
from jailed import PATIENCE, TestHost, close_all
from joining import Joined

pytestmark = pytest.mark.linux
KEYCTL = {"x86_64": 250, "aarch64": 219}
JOIN_SESSION_KEYRING = 1
MEMBARRIER = {"x86_64": 324, "aarch64": 283}
GLOBAL = 1  # of its commands: wait for a grace period
MANY = 8


def holders(name):
    """How many hold a keyring, as the kernel counts them: a little more than there are processes, while some have just ended."""
    (line,) = [line.split() for line in Path("/proc/keys").read_text().splitlines() if f" {name}: " in line]
    return int(line[2])


def fewer_hold(name, most):
    """Whether fewer than `most` come to hold it: of who has ended the kernel lets go after a grace period, and tells nobody."""
    give_up = time.monotonic() + PATIENCE
    while (found := holders(name)) >= most and time.monotonic() < give_up:
        ctypes.CDLL(None).syscall(MEMBARRIER[platform.machine()], GLOBAL, 0)
    return found < most


@pytest.fixture
def named():
    """A host that was started in a session keyring with a name, which no other process has; and that name."""
    if not os.path.exists("/proc/keys"):
        pytest.skip("this kernel shows no keys")
    name, host, failed = f"dynod-test-{os.getpid()}", TestHost(), []

    def start():  # a session keyring is a thread's
        if ctypes.CDLL(None).syscall(KEYCTL[platform.machine()], JOIN_SESSION_KEYRING, name.encode()) < 0:
            failed.append("this machine lets nobody have a keyring")
        else:
            host.start()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    if failed:
        pytest.skip(failed[0])
    yield Joined(host), name
    host.close()


def test_neither_a_dyno_nor_who_joins_it_has_the_keyring_of_who_started_the_host(named):
    joined, name = named
    before = holders(name)
    assert before > 0
    dynos = [joined.dyno() for _ in range(MANY)]
    assert fewer_hold(name, before + MANY)
    id = dynos[0][0]
    commands = [joined.exec(id, "sleep", "1000")[1] for _ in range(MANY)]
    assert fewer_hold(name, before + MANY)
    close_all(fd for each in commands for fd in each)
    for id, fds in dynos:
        joined.end(id, fds)
