"""Embryos that die before they are ready, and a nursery that dies while it is asked for some: whoever waits hears of it, once."""

import os
import signal
import subprocess

import pytest

from dynod.jail import packets
from dynod.jail.child import Child
from dynod.jail.loop import Loop
from dynod.jail.nursery import Nursery
from dynod.jail.pool import Pool


class Groups:
    """Cgroups that nobody is in."""

    def make(self, name):
        pass

    def doors(self, name):
        return []


class Sleepers:
    """A nursery whose embryos never get ready. `doors` are their ends."""

    def __init__(self):
        self.born, self.doors = [], []

    def embryo(self, name, door, doors, born):
        child = subprocess.Popen(["sleep", "1000"])
        self.born.append(child)
        self.doors.append(door.dup())
        born(child.pid, os.pidfd_open(child.pid), "")

    def close(self):
        for child, door in zip(self.born, self.doors, strict=True):
            child.kill()
            child.wait()
            door.close()


@pytest.fixture
def world():
    loop, nursery, failed = Loop(), Sleepers(), []
    pool = Pool(loop, Groups(), nursery, 1, lambda name: None, lambda: None, failed.append)
    yield loop, pool, nursery, failed
    pool.close()
    nursery.close()


def test_an_embryo_that_is_killed_before_it_is_ready_is_told_and_another_is_made(world):
    """For want of memory in its cgroup, say: the kernel tells nobody but its pidfd."""
    loop, pool, nursery, failed = world
    pool.fill()
    nursery.born[0].send_signal(signal.SIGKILL)
    loop.until(lambda: len(nursery.born) == 2)
    loop.run()
    assert failed == ["cannot prepare an embryo: it was killed before it was ready"]


def test_an_embryo_that_said_why_it_fails_is_told_in_its_own_words_alone(world):
    loop, pool, nursery, failed = world
    pool.fill()
    packets.send(nursery.doors[0], {"error": "no room to mount on"})
    loop.until(lambda: bool(failed))
    loop.run()
    nursery.born[0].send_signal(signal.SIGKILL)
    loop.until(lambda: len(nursery.born) == 2)
    loop.run()
    assert failed == ["no room to mount on"]


class Barren:
    """A nursery that cannot fork."""

    def embryo(self, name, door, doors, born):
        born(0, -1, "no more processes")


def test_a_cause_that_repeats_before_the_next_try_is_written_down_once_and_told_to_each(capfd):
    loop, failed = Loop(), []
    pool = Pool(loop, Groups(), Barren(), 1, lambda name: None, lambda: None, failed.append)
    for _ in range(100):
        pool.fill()
    assert failed == ["cannot fork an embryo: no more processes"] * 100
    assert capfd.readouterr().err == "dynod host: cannot fork an embryo: no more processes\n"
    loop.until(lambda: len(failed) > 100)
    loop.run()
    assert len(failed) == 101  # one try a second, not a hundred
    assert capfd.readouterr().err == "dynod host: cannot fork an embryo: no more processes\n"
    pool.close()


class Absent(Child):
    """A process that cannot be forked at first; `far` is the end of one that could."""

    far = None

    def _start(self):
        pass

    def come(self):
        self._door, self.far = packets.pair()
        self._loop.read(self._door.fileno(), self._hear)


def test_a_new_nursery_answers_for_those_alone_that_it_was_asked_for(monkeypatch):
    monkeypatch.setattr("dynod.jail.nursery.Child", Absent)
    loop, told = Loop(), {}
    nursery = Nursery(loop, "/nowhere", None)
    process = nursery._child
    mine, theirs = packets.pair()

    def ask(name):
        nursery.embryo(name, theirs, [], lambda pid, pidfd, why: told.update({name: (pid, why)}))

    ask("early")
    process.come()
    ask("late")
    loop.until(lambda: "early" in told)
    loop.run()
    assert told == {"early": (0, "there is no process to fork it")}
    asked, fds = packets.receive(process.far)
    packets.close(fds)
    assert asked["embryo"] == "late"
    packets.send(process.far, {"embryo": "late", "error": "no more processes"})
    loop.until(lambda: "late" in told)
    loop.run()
    assert told["late"] == (0, "no more processes")
    for end in (mine, theirs, process.far, process._door):
        end.close()
