"""User namespaces for idmapped mounts: holders wait for their use, and may die meanwhile."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

import dynod.jail.init
from dynod.jail import packets
from dynod.jail.idmap import SPARE, Maps, hold
from dynod.jail.init import compiled

pytestmark = pytest.mark.linux("cc")
SOURCE = Path(dynod.jail.init.__file__).with_suffix(".c")


class Holders:
    """Fork them as the nursery does; `kill` ends all that there are."""

    def __init__(self, program):
        self.pids, self._program, self.compiled = [], program, program is not None

    def __call__(self, door):
        pid = os.fork()
        if pid == 0:
            hold(door, self._program)
        self.pids.append(pid)

    def kill(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.pids.clear()


@pytest.fixture(params=["compiled", "not compiled"])
def maps(request, tmp_path):
    program = None
    if request.param == "compiled":
        subprocess.run(["cc", "-O2", "-static", "-o", tmp_path / "init", SOURCE], check=True)
        program = compiled(f"{tmp_path}/init")
    holders = Holders(program)
    made = Maps(holders)
    made.fill()
    yield made, holders
    made.close()
    for fd in (*made._kept.values(), *(() if program is None else (program,))):
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


def test_holders_that_died_before_they_said_who_they_are_are_passed_over(maps):
    """They die with the nursery, however young they are."""
    made, holders = maps
    for door in made._spare:
        door.recv(1, 2)
    holders.kill()
    for _ in range(SPARE):
        made._spare.popleft().close()
        ours, theirs = packets.pair()
        theirs.close()
        made._spare.append(ours)
    assert made.fd(5000, 5000, 5001) >= 0


def test_a_holder_waits_until_it_is_let_go(maps):
    made, holders = maps
    for door in made._spare:
        door.recv(1, 2)  # MSG_PEEK: it has said who it is
    waiting = [os.pidfd_open(pid) for pid in holders.pids]
    for fd, pid in zip(waiting, holders.pids, strict=True):
        if holders.compiled:
            # Until it has become that.
            while b"dynod-holder" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                assert not select.select([fd], [], [], 0)[0]
        assert not select.select([fd], [], [], 0.2)[0]
    made.close()
    for fd in waiting:
        assert select.select([fd], [], [], 30)[0]
        os.close(fd)
