"""User namespaces for idmapped mounts: holders wait for their use, and may die meanwhile."""

import os
import signal

import pytest

from dynod.jail.idmap import SPARE, Maps, hold

pytestmark = pytest.mark.linux


class Holders:
    """Fork them as the nursery does; `kill` ends all that there are."""

    def __init__(self):
        self.pids = []

    def __call__(self, door):
        pid = os.fork()
        if pid == 0:
            hold(door)
        self.pids.append(pid)

    def kill(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pids.clear()


@pytest.fixture
def maps():
    holders = Holders()
    made = Maps(holders)
    made.fill()
    yield made, holders
    made.close()
    for fd in made._kept.values():
        os.close(fd)
    for pid in holders.pids:
        os.waitpid(pid, 0)


def test_a_namespace_is_kept_for_its_uid(maps):
    made, _ = maps
    assert made.fd(5000, 5000, 5001) == made.fd(5000, 5000, 5001)


def test_holders_that_died_while_they_waited_are_passed_over(maps):
    """A boot that took a dead one's word failed: /proc knows it no more."""
    made, holders = maps
    for door in made._spare:
        door.recv(1, 2)  # MSG_PEEK: it lives in its namespace and has said so
    assert len(holders.pids) == SPARE
    holders.kill()
    assert made.fd(5000, 5000, 5001) >= 0
