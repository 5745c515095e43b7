"""A process that works for the dyno host and dies: the next one does what it had not done, as soon as there can be a next one."""

import errno
import os
import signal

import pytest

from dynod.jail import packets
from dynod.jail.child import Jobs, apart
from dynod.jail.loop import Loop

FULL = f"cannot fork a worker: {os.strerror(errno.EAGAIN)}"


def worker(door):
    """Answer with what was asked; `dies`: a file without which it makes that file and dies of the job."""
    while True:
        job, fds = packets.receive(door)
        if "dies" in job and not os.path.exists(job["dies"]):
            with open(job["dies"], "x"):
                os.kill(os.getpid(), signal.SIGKILL)
        packets.close(fds)
        packets.send(door, {"job": job["job"], "error": "", "heard": job["say"], "by": os.getpid()})


class Work:
    """`answers` by what was asked."""

    def __init__(self, run=worker):
        self.loop, self.answers = Loop(), {}
        self.jobs = Jobs(self.loop, "worker", run)

    def to(self, name):
        return lambda answer, fds: self.answers.update({name: answer})

    def give(self, name, **more):
        self.jobs.give({"say": name, **more}, self.to(name))

    def ask(self, name, **more):
        self.jobs.ask({"say": name, **more}, self.to(name))

    def until(self, *names):
        self.loop.until(lambda: all(name in self.answers for name in names))
        self.loop.run()
        return [self.answers[name] for name in names]


@pytest.fixture
def work():
    one = Work()
    yield one
    one.jobs.close()


@pytest.fixture
def full_machine(monkeypatch):
    """`full_machine()`: no process can be forked; `full_machine(False)`: again it can."""

    def refuse():
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    fork = os.fork
    return lambda full=True: monkeypatch.setattr(os, "fork", refuse if full else fork)


def test_a_job_is_done_and_answered_by_a_process_of_its_own(work):
    work.give("one")
    (said,) = work.until("one")
    assert said["heard"] == "one"
    assert said["by"] != os.getpid()
    assert not work.jobs.busy


def test_what_a_killed_one_had_not_done_the_next_one_does(work, tmp_path):
    work.give("before")
    (before,) = work.until("before")
    work.give("deadly", dies=str(tmp_path / "died"))
    work.ask("after")
    deadly, after = work.until("deadly", "after")
    assert (deadly["heard"], after["heard"]) == ("deadly", "after")
    assert before["by"] != deadly["by"] == after["by"]


def test_a_job_that_kills_whoever_does_it_is_not_tried_without_end(tmp_path, capfd):
    """Or the host would fork for nothing else any more."""

    def mortal(door):
        with open(tmp_path / "born", "ab") as born:
            born.write(b"x")
        packets.receive(door)
        os.kill(os.getpid(), signal.SIGKILL)

    work = Work(mortal)
    work.give("deadly")
    work.ask("waits")
    (waits,) = work.until("waits")
    assert waits["error"] == "the worker died as it began, 3 times now"
    assert (tmp_path / "born").read_bytes() == b"xxx"
    assert "trying again in a second" in capfd.readouterr().err
    work.jobs.close()


def test_while_none_can_be_forked_who_waits_hears_why_and_the_rest_is_done_later(
    work, tmp_path, full_machine, capfd
):
    full_machine()
    work.give("patient", dies=str(tmp_path / "died"))
    work.ask("asked before")
    assert work.until("asked before") == [{"error": FULL}]
    work.ask("asked meanwhile")
    assert work.until("asked meanwhile") == [{"error": FULL}]
    assert set(capfd.readouterr().err.splitlines()) == {f"dynod host: {FULL}; trying again in a second"}
    assert "patient" not in work.answers
    assert work.jobs.busy
    full_machine(False)
    work.give("given meanwhile")
    patient, given = work.until("patient", "given meanwhile")
    assert (patient["heard"], given["heard"]) == ("patient", "given meanwhile")


def test_it_tries_again_for_as_long_as_it_takes(work, tmp_path, full_machine, capfd):
    full_machine()
    work.give("patient", dies=str(tmp_path / "died"))
    said = ""

    def twice():
        nonlocal said
        said += capfd.readouterr().err
        return said.count(FULL) == 2

    work.loop.until(twice)
    work.loop.run()
    full_machine(False)
    assert work.until("patient")[0]["heard"] == "patient"


def test_a_descriptor_that_is_handed_over_is_its_alone(work):
    ours, theirs = os.pipe()
    work.jobs.hand_over({"say": "take"}, work.to("take"), [theirs])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(theirs)
    work.until("take")
    assert os.read(ours, 1) == b""
    os.close(ours)


def test_one_that_fails_says_so_and_never_goes_on_as_the_host(capfd):
    host = os.getpid()

    def broken(door):
        packets.receive(door)
        raise KeyError("a bug")

    failing = Work(broken)
    failing.give("anything")
    said = ""

    def told():
        nonlocal said
        said += capfd.readouterr().err
        return "dynod host: the worker failed: KeyError('a bug')\n" in said

    failing.loop.until(told)
    failing.loop.run()
    assert os.getpid() == host
    failing.jobs.close()


def test_a_job_apart_is_done_here_where_there_is_no_process_for_it(full_machine):
    read, write = os.pipe()
    for full in (False, True):
        full_machine(full)
        apart(lambda: os.write(write, b"%d\n" % os.getpid()))
    with open(read) as said:
        os.close(write)
        pids = {int(line) for line in said}
    assert len(pids) == 2
    assert os.getpid() in pids
    os.wait()
