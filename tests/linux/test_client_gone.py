"""A client of an attached one-off whose network goes away: it can say nothing, and is missed all the same."""

import asyncio
import socket
import urllib.parse

import pytest
from support.netlab import inside, lab

from dynod.api import rendezvous
from tests.api.served import run
from tests.api.test_api_rendezvous import start

pytestmark = pytest.mark.linux("ip", "nsenter")
MACHINE = "198.51.100.1"


@pytest.mark.parametrize(
    "command", ["echo ready; cat", "echo ready; exec yes"], ids=["a quiet dyno", "one that writes"]
)
def test_a_client_whose_network_is_gone_is_hung_up_on(monkeypatch, command):
    monkeypatch.setattr(rendezvous, "SILENCE", 1)
    monkeypatch.setattr(rendezvous, "AGAIN", 1)
    monkeypatch.setattr(rendezvous, "ASKED", 2)

    with lab() as place:
        listening = inside(place.machine, lambda: socket.create_server((MACHINE, 0)))

        async def story(whole):
            secret = urllib.parse.urlsplit(await start(whole, command)).path[1:]
            far = inside(
                place.internet, lambda: socket.create_connection((MACHINE, whole.api.rendezvous_port))
            )
            reader, writer = await asyncio.open_connection(
                sock=far, ssl=whole.trust, server_hostname="127.0.0.1"
            )
            writer.write(f"{secret}\r\n".encode())
            await reader.readuntil(b"ready")
            place.ip(place.internet, "link", "set", "up0", "down")
            await whole.platform.children[0].closed.wait()
            writer.transport.abort()

        run(story, rendezvous=listening)
