"""dynod.logplex.pipes: what a dyno host may say, and what happens when it says something else or goes away."""

import array
import asyncio
import json
import os
import socket

from log_house import LogHost
from waiting import run

from dynod.logplex.pipes import DESCRIPTORS, HostLink


class Heard:
    """Dynos as a list."""

    def __init__(self):
        self.said = asyncio.Queue()

    def piped(self, id, labels, pipe):
        os.close(pipe)
        self.said.put_nowait(("piped", id, labels))

    def gone(self, id):
        self.said.put_nowait(("gone", id))

    def listed(self, ids):
        self.said.put_nowait(("listed", sorted(ids)))


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def asked(tmp_path, heard):
    """Play the dyno host to a link: where it listens, the link's connection to it, and the link."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{tmp_path}/host.sock")
    listener.listen()
    link = HostLink(f"{tmp_path}/host.sock", heard)
    link.start()
    return listener, listener.accept()[0], link


def test_pipes_come_from_a_host_that_starts_later_and_again(tmp_path):
    async def story():
        heard = Heard()
        link = HostLink(f"{tmp_path}/host.sock", heard)
        link.start()
        assert not link.connected
        host = LogHost(f"{tmp_path}/host.sock")
        host.start()
        for _ in range(2):
            assert await heard.said.get() == ("listed", [])
            write = host.dyno("dyno-1", app="a", name="web.1")
            assert await heard.said.get() == ("piped", "dyno-1", {"app": "a", "name": "web.1"})
            assert link.connected
            host.forget("dyno-1")
            assert await heard.said.get() == ("gone", "dyno-1")
            os.close(write)
            host.crash()
            host.start()
        link.close()
        host.crash()

    run(story())


def test_what_makes_no_sense_is_left_out_and_its_descriptors_are_closed(tmp_path):
    async def story():
        heard = Heard()
        listener, host, link = asked(tmp_path, heard)
        assert json.loads(host.recv(1000)) == {"op": "pipes"}
        assert json.loads(host.recv(1000))["op"] == "list"
        read, write = os.pipe()
        before = descriptors()
        good = {"op": "pipe", "id": "dyno-1", "labels": {}}
        packets = [
            (b"no json", 1),
            (b"[]", 1),
            (b'{"op":"dance"}', 0),
            (json.dumps(good).encode(), 0),
            (json.dumps(good).encode(), 2),
            (json.dumps({**good, "id": "../x"}).encode(), 1),
            (json.dumps({**good, "labels": None}).encode(), 1),
            (b'{"op":"failed","error":"cannot list"}', 0),
            (json.dumps(good).encode(), 1),
        ]
        for data, count in packets:
            host.sendmsg(
                [data],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [read] * count))] if count else [],
            )
        assert await heard.said.get() == ("piped", "dyno-1", {})
        assert heard.said.empty()
        assert descriptors() == before
        link.close()
        for thing in (host, listener):
            thing.close()
        os.close(read)
        os.close(write)

    run(story())


def test_a_descriptor_that_was_cut_off_is_asked_for_again(tmp_path):
    async def story():
        heard = Heard()
        listener, host, link = asked(tmp_path, heard)
        many = array.array("i", [0] * (DESCRIPTORS * 2))
        before = descriptors()
        host.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
        listener.setblocking(False)
        again, _ = await asyncio.get_running_loop().sock_accept(listener)
        assert heard.said.empty()
        assert descriptors() == before + 1  # `again`: the link's own was closed and opened anew
        link.close()
        for thing in (host, again, listener):
            thing.close()

    run(story())
