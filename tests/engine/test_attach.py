"""An attached session over real pipes and a real pseudo-terminal: streams, end of input, hang-up, back-pressure."""

import asyncio
import contextlib
import os
import pty

from dynod.engine import attach
from dynod.engine.attach import Session
from dynod.model.jail import Stdio


class Pipes:
    """Both sides of a piped session; `hung_up` counts."""

    def __init__(self):
        self.dyno_in, mine_in = os.pipe()
        mine_out, self.dyno_out = os.pipe()
        self.hung_up = 0
        self.ended = asyncio.get_running_loop().create_future()
        self.session = Session(None, Stdio.PIPE, (mine_in, mine_out), self.ended, self._hang_up)

    def _hang_up(self):
        self.hung_up += 1

    def close(self):
        self.session.close()
        for fd in (self.dyno_in, self.dyno_out):
            with contextlib.suppress(OSError):
                os.close(fd)


def test_output_comes_until_the_dyno_closes_it_and_then_the_status():
    async def story():
        pipes = Pipes()
        os.write(pipes.dyno_out, b"hello ")
        asyncio.get_running_loop().call_soon(os.write, pipes.dyno_out, b"world")
        asyncio.get_running_loop().call_later(0.01, os.close, pipes.dyno_out)
        got = b"".join([data async for data in pipes.session.output()])
        pipes.ended.set_result(7)
        status = await pipes.session.status()
        pipes.close()
        return got, status, pipes.hung_up

    assert asyncio.run(story()) == (b"hello world", 7, 0)


def test_input_waits_for_a_dyno_that_does_not_read():
    async def story():
        pipes = Pipes()
        data = os.urandom(1024 * 1024)
        writing = asyncio.ensure_future(pipes.session.write(data))
        await asyncio.sleep(0)
        assert not writing.done()
        loop = asyncio.get_running_loop()

        def drain():
            got = b""
            while len(got) < len(data):
                got += os.read(pipes.dyno_in, 65536)
            return got

        got = await loop.run_in_executor(None, drain)
        await writing
        await pipes.session.write_eof()
        await pipes.session.write_eof()
        rest = os.read(pipes.dyno_in, 10)
        await pipes.session.write(b"after the end")
        pipes.close()
        return got == data, rest

    assert asyncio.run(story()) == (True, b"")


def test_what_took_the_number_of_a_closed_input_is_left_alone():
    """A connection that was accepted meanwhile, say: with uvloop, to touch its descriptor is an error."""

    async def story():
        pipes = Pipes()
        number = pipes.session._in
        await pipes.session.write_eof()
        mine, theirs = os.pipe()
        if mine != number:
            os.dup2(mine, number)
        loop = asyncio.get_running_loop()
        loop.add_reader(number, lambda: None)
        pipes.close()
        watched = loop.remove_reader(number)
        os.fstat(number)
        for fd in {number, mine, theirs}:
            os.close(fd)
        return watched

    assert asyncio.run(story())


def test_who_stops_waiting_for_output_has_let_go_of_it():
    """Once the command has ended, nothing watches a descriptor that may be closed in the same moment."""

    async def story():
        pipes = Pipes()
        pipes.ended.set_result(0)
        assert [data async for data in pipes.session.output()] == []
        watched = asyncio.get_running_loop().remove_reader(pipes.session._out)
        pipes.close()
        return watched

    assert not asyncio.run(story())


def test_closing_before_the_end_is_a_hang_up_once():
    async def story():
        pipes = Pipes()
        pipes.session.close()
        pipes.session.close()
        assert [data async for data in pipes.session.output()] == []
        pipes.close()
        return pipes.hung_up

    assert asyncio.run(story()) == 1


def test_a_terminal_ends_with_eio_and_gets_eot_for_the_end_of_input():
    async def story():
        master, slave = pty.openpty()
        ended = asyncio.get_running_loop().create_future()
        session = Session(None, Stdio.PTY, (master,), ended, lambda: None)
        await session.write(b"typed\n")
        await session.write_eof()
        assert os.read(slave, 100) == b"typed\n"
        assert os.read(slave, 100) == b""
        os.write(slave, b"out\n")
        os.close(slave)
        got = b"".join([data async for data in session.output()])
        ended.set_result(0)
        session.close()
        return got

    assert b"out\r\n" in asyncio.run(story())


def test_a_client_that_never_came_is_told_apart():
    async def story():
        told = []
        hears, says = os.pipe()
        session = Session(
            None,
            Stdio.PIPE,
            (says, hears),
            asyncio.get_running_loop().create_future(),
            lambda: told.append("hung up"),
            lambda: told.append("never came"),
        )
        session.unclaimed()
        session.close()
        return told

    assert asyncio.run(story()) == ["never came"]


def test_a_window_has_another_size():
    async def story():
        master, slave = pty.openpty()
        session = Session(
            None, Stdio.PTY, (master,), asyncio.get_running_loop().create_future(), lambda: None
        )
        session.resize(101, 33)
        size = os.get_terminal_size(slave)
        os.close(slave)
        session.close()
        session.resize(1, 1)
        return size

    assert asyncio.run(story()) == (101, 33)


def test_what_a_command_leaves_behind_in_the_background_is_not_waited_for():
    """It still holds the pipe; all that was said before is taken, in whatever time the client needs."""

    async def story():
        pipes = Pipes()
        os.write(pipes.dyno_out, b"x" * 60_000)
        pipes.ended.set_result(3)
        got = 0
        async for data in pipes.session.output():
            got += len(data)
            await asyncio.sleep(0)
        pipes.close()
        return got

    assert asyncio.run(story()) == 60_000


def test_a_background_that_never_stops_talking_is_left():
    async def story():
        pipes = Pipes()
        os.set_blocking(pipes.dyno_out, False)
        pipes.ended.set_result(0)
        os.write(pipes.dyno_out, b"x" * 60_000)
        got = 0
        async for data in pipes.session.output():
            got += len(data)
            os.write(pipes.dyno_out, data)
        pipes.close()
        return got

    assert asyncio.run(story()) <= attach.LAST_WORDS


def test_writing_to_a_dyno_that_is_gone_goes_nowhere():
    async def story():
        pipes = Pipes()
        os.close(pipes.dyno_in)
        await pipes.session.write(b"x" * 10)
        pipes.close()

    asyncio.run(story())
