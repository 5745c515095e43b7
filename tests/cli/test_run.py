"""`dyno run` as a process of its own, on a pipe and on a pseudo-terminal."""

import asyncio
import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading

import pytest

from dynod.cli.run import AHEAD, READ, command

DYNO = [sys.executable, "-m", "dynod.cli"]
BASH = [*DYNO, "run", "-a", "demo", "bash"]


def environ(control):
    return {**os.environ, "DYNOD_RUN": control.run, "TERM": "vt100"}


async def shout(call):
    """Say hello, answer each input in capitals until its end, end with 7."""
    await call.item({"name": "run.1"})
    await call.item(b"hello\r\n")
    async for value in call.inputs():
        if value in ({"eof": True}, b"\x04"):
            break
        await call.item(value.upper())
    return {"status": 7, "name": "run.1"}


def test_input_output_and_status_over_pipes(control):
    control.answers["dynos.attach"] = shout
    done = subprocess.run(
        [*DYNO, "run", "-a", "demo", "cat", "-u"],
        input=b"abc",
        capture_output=True,
        env=environ(control),
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, b"hello\r\nABC")
    assert done.stderr.decode() == "Running cat -u on ⬢ demo... up, run.1\n"
    body = control.asked("dynos.attach")["body"]
    assert body == {"command": "cat -u", "env": {}, "force_no_tty": True}


@contextlib.contextmanager
def at_a_terminal(argv, env):
    """Start it at a terminal of 100 columns, which it must leave as it was; yield it and the end at which a person types."""
    keyboard, terminal = pty.openpty()
    try:
        termios.tcsetwinsize(terminal, (40, 100))
        before = termios.tcgetattr(terminal)
        with subprocess.Popen(argv, stdin=terminal, stdout=terminal, stderr=terminal, env=env) as child:
            try:
                yield child, keyboard
            except BaseException:
                child.kill()  # it would be waited for without an end
                raise
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(keyboard)
        os.close(terminal)


def read_until(fd, wanted):
    got = b""
    while wanted not in got:
        ready, _, _ = select.select([fd], [], [], 20)
        assert ready, got
        got += os.read(fd, 4096)
    return got


@pytest.mark.parametrize(
    ("line", "dyno", "command"),
    [
        ("run:inside web.2 ls -l", "web.2", "ls -l"),
        ("ps:exec -d worker.1 -- ls -a", "worker.1", "ls -a"),
        ("ps:exec", "web.1", "bash"),
    ],
)
def test_a_command_in_a_dyno_that_runs(control, line, dyno, command):
    control.answers["dynos.exec"] = shout
    verb, *words = line.split()
    done = subprocess.run(
        [*DYNO, verb, "-a", "demo", *words],
        input=b"abc",
        capture_output=True,
        env=environ(control),
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, b"hello\r\nABC")
    assert done.stderr.decode() == f"Running {command} in {dyno} of ⬢ demo... up, run.1\n"
    asked = control.asked("dynos.exec")
    assert (asked["dyno"], asked["body"]["command"]) == (dyno, command)


def test_no_more_input_is_sent_than_is_taken(control):
    taken = []

    async def slow(call):
        async for value in call.inputs():
            if value == {"eof": True}:
                return {"status": 0, "name": "run.1"}
            taken.append(sum(len(waiting) for waiting in (value, *call._inputs._queue)))
            await asyncio.sleep(0)
            await call.item({"took": len(value)})
        return None

    control.answers["dynos.attach"] = slow
    done = subprocess.run(
        [*DYNO, "run", "-a", "demo", "cat"],
        input=b"x" * 5_000_000,
        capture_output=True,
        env=environ(control),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert max(taken) <= AHEAD + READ


def test_a_window_that_changes_is_told(control):
    told = threading.Event()

    async def hear(call):
        await call.item(b"up\r\n")
        async for value in call.inputs():
            if value == {"columns": 77, "lines": 22}:
                told.set()
                return {"status": 0, "name": "run.1"}
        return None

    control.answers["dynos.attach"] = hear
    env = {name: value for name, value in environ(control).items() if name not in {"COLUMNS", "LINES"}}
    with at_a_terminal(["setsid", "--ctty", *BASH], env) as (child, keyboard):
        read_until(keyboard, b"up")
        termios.tcsetwinsize(keyboard, (22, 77))  # the kernel tells whoever is in the foreground
        assert child.wait(20) == 0
    assert told.is_set()


def test_a_terminal_is_raw_while_attached_and_itself_again_afterwards(control):
    control.answers["dynos.attach"] = shout
    with at_a_terminal(BASH, environ(control)) as (child, keyboard):
        read_until(keyboard, b"hello")
        os.write(keyboard, b"a\x03")
        assert b"A\x03" in read_until(keyboard, b"\x03")  # Ctrl-C is the dyno's, and nothing is echoed here
        assert child.poll() is None
        os.write(keyboard, b"\x04")
        assert child.wait(20) == 7
    body = control.asked("dynos.attach")["body"]
    assert (body["columns"], body["lines"], body["env"]) == (100, 40, {"TERM": "vt100"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_killed_client_puts_the_terminal_back(control, number):
    control.answers["dynos.attach"] = shout
    with at_a_terminal(BASH, environ(control)) as (child, keyboard):
        read_until(keyboard, b"hello")
        child.send_signal(number)
        assert child.wait(20) == 128 + number


def test_one_word_is_a_line_and_more_are_words():
    assert command(("echo $HOME && ls",)) == "echo $HOME && ls"
    assert command(("echo", "a b")) == "echo 'a b'"
