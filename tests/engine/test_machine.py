"""The machine under the engine: its link to the dyno host is made again, whatever ended it."""

import asyncio
import contextlib
import json
import socket

import pytest
from support.waiting import run

from dynod.engine.machine import Machine
from dynod.model.settings import Settings, host_socket


class Host:
    """Speaks the part of RUN/host.sock that a meeting needs, and holds nothing. What `says` has for an operation is answered once."""

    def __init__(self, path):
        self.says, self.asked, self.links = {}, [], set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._listener.bind(path)
        self._listener.listen()
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self):
        link, _ = self._listener.accept()
        self.links.add(link)
        asyncio.get_running_loop().add_reader(link, self._hear, link)

    def _hear(self, link):
        if not (data := link.recv(65536)):
            self.hang_up(link)
            return
        asked = json.loads(data)
        self.asked.append(asked["op"])
        usual = {"hello": {"op": "done"}, "list": {"op": "dynos", "dynos": [], "end": True}}
        if said := self.says.pop(asked["op"], usual.get(asked["op"])):
            link.send(json.dumps({**said, "seq": asked["seq"]}).encode())

    def hang_up(self, link):
        asyncio.get_running_loop().remove_reader(link)
        self.links.discard(link)
        link.close()

    def close(self):
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for link in tuple(self.links):
            self.hang_up(link)


@contextlib.asynccontextmanager
async def meeting(tmp_path, on_host):
    settings = Settings(run=str(tmp_path))
    host = Host(host_socket(settings.run))
    machine = Machine(settings, None, "debian-12", {}, (), print, print, on_host)
    machine.open()
    try:
        yield host, machine
    finally:
        await machine.close()
        host.close()


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), RuntimeError("cannot"), ConnectionError("away")]
)
def test_a_meeting_that_fails_is_tried_again_over_a_new_link(tmp_path, error):
    """Without a link no dyno would start until somebody restarted dynod."""

    async def story():
        fails, met = [error, error], []

        async def on_host(live):
            met.append(live)
            if fails:
                raise fails.pop()

        async with meeting(tmp_path, on_host) as (host, machine):
            await machine.met.wait()
            assert met == [[], [], []]
            assert len(host.links) == 1

    run(story())


def test_a_host_that_cannot_say_what_lives_is_not_one_on_which_nothing_lives(tmp_path):
    """Else each dyno would be taken for lost, and started a second time."""

    async def story():
        met = asyncio.Queue()
        async with meeting(tmp_path, met.put) as (host, _):
            assert await met.get() == []
            host.says["list"] = {"op": "failed", "error": "cannot list"}
            for link in tuple(host.links):
                host.hang_up(link)
            assert await met.get() == []
            assert host.asked.count("list") == 3

    run(story())
