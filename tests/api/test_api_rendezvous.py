"""Attached one-offs over real TLS, spoken to as the CLI does (CLI.md 4), with real shells behind."""

import asyncio
import socket
import ssl
import urllib.parse
from dataclasses import replace

import pytest

from dynod.api import rendezvous, server
from dynod.api.tls import server_context
from dynod.model.settings import Settings
from dynod.unit import Unit
from tests.api.served import run

SENTINEL = "\uffff heroku-command-exit-status: "


class Client:
    """The CLI's side: a socket that keeps each TLS record apart."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def meet(cls, whole, url, *, secret=None):
        parts = urllib.parse.urlsplit(url)
        assert parts.scheme == "rendezvous"
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=whole.trust)
        writer.write(f"{secret or parts.path[1:]}\r\n".encode())
        return cls(reader, writer)

    async def end(self, want=b""):
        """Read to the end of the session, or until `want` has come."""
        seen = b""
        while data := await self.reader.read(65536):
            seen += data
            if want and want in seen:
                break
        return seen


async def start(whole, command, **body):
    if not whole.platform.apps():
        await whole.ask("POST", "/apps", {"name": "demo"})
    sent = {"command": command, "attach": True, "env": {"TERM": "dumb"}, **body}
    answer = await whole.ask("POST", "/apps/demo/dynos", sent)
    assert answer.status == 201
    return answer.body["attach_url"]


def test_the_greeting_comes_alone_and_then_the_output():
    async def story(whole):
        url = await start(whole, "echo hello")
        assert url.startswith(f"rendezvous://127.0.0.1:{whole.api.rendezvous_port}/")
        client = await Client.meet(whole, url)
        assert await client.reader.readexactly(12) == b"rendezvous\r\n"
        assert await client.end() == b"hello\r\n"

    run(story)


def test_each_record_is_whole():
    """The CLI drops the first record and wants the status line within one: look at the records themselves."""

    async def story(whole):
        url = await start(whole, f'printf out; echo "{SENTINEL}$?"', force_no_tty=True)
        parts = urllib.parse.urlsplit(url)
        records = await asyncio.to_thread(read_records, whole.trust, parts.port, parts.path[1:])
        assert records[0] == b"rendezvous\r\n"
        assert b"".join(records[1:-1]) == b"out"
        assert records[-1] == f"{SENTINEL}0\n".encode()

    run(story)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("exec false", 1), ("kill -9 $$", 137)])
@pytest.mark.parametrize("pipe", [True, False])
def test_a_status_that_the_shell_cannot_tell_any_more_is_told_by_us(command, status, pipe):
    """The CLI's echo behind the command is never reached; without the line the CLI shows a traceback of its own."""

    async def story(whole):
        url = await start(whole, f'echo out; {command} ; echo "{SENTINEL}$?"', force_no_tty=pipe)
        parts = urllib.parse.urlsplit(url)
        records = await asyncio.to_thread(read_records, whole.trust, parts.port, parts.path[1:])
        assert b"".join(records[1:-1]).split() == [b"out"]
        assert records[-1] == f"{SENTINEL}{status}".encode()

    run(story)


def test_who_asked_for_no_status_gets_none():
    async def story(whole):
        client = await Client.meet(whole, await start(whole, "echo out; exit 7"))
        assert (await client.end()).split() == [b"rendezvous", b"out"]

    run(story)


def test_nobody_waits_for_the_status_of_what_shut_its_output_and_runs_on(monkeypatch):
    monkeypatch.setattr(rendezvous, "STATUS", 0.05)

    async def story(whole):
        quiet = "import os, signal; os.closerange(0, 99); signal.pause()"
        command = f"exec python3 -c '{quiet}' ; echo '{SENTINEL}$?'"
        client = await Client.meet(whole, await start(whole, command, force_no_tty=True))
        assert await client.end() == b"rendezvous\r\n"
        await whole.platform.children[0].closed.wait()

    run(story)


def read_records(trust, port, secret):
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        trust.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=True) as tls,
    ):
        tls.sendall(f"{secret}\r\n".encode())
        records = []
        while record := tls.recv(65536):  # one record at most per call
            records.append(record)
        return records


def test_a_terminal_echoes_and_has_the_clients_size():
    async def story(whole):
        client = await Client.meet(
            whole, await start(whole, "stty size; cat", env={"COLUMNS": 101, "LINES": 33})
        )
        assert b"33 101\r\n" in await client.end(b"33 101\r\n")
        client.writer.write(b"typed\n")
        await client.end(b"typed\r\ntyped\r\n")
        client.writer.write(b"\x04")
        assert await client.end() == b""

    run(story)


def test_ctrl_c_is_the_terminals_business():
    async def story(whole):
        client = await Client.meet(whole, await start(whole, "trap 'echo caught; exit' INT; echo ready; cat"))
        await client.end(b"ready\r\n")
        client.writer.write(b"typed\n")
        await client.end(b"typed\r\ntyped\r\n")  # said once by the terminal, once by cat: it runs
        client.writer.write(b"\x03")
        assert b"caught" in await client.end()

    run(story)


def test_end_of_input_ends_a_pipe_whatever_its_line_length():
    async def story(whole):
        client = await Client.meet(whole, await start(whole, "wc -c", force_no_tty=True))
        for _ in range(10):
            client.writer.write(b"x" * 10_000)
            await client.writer.drain()
        client.writer.write(b"\x04")
        assert (await client.end()).split() == [b"rendezvous", b"100000"]

    run(story)


def test_the_session_lingers_until_the_end_of_input_came(monkeypatch):
    """The CLI dies of EPIPE if we close before it wrote its \\x04."""
    monkeypatch.setattr(rendezvous, "LINGER", 30.0)

    async def story(whole):
        client = await Client.meet(whole, await start(whole, "echo done", force_no_tty=True))
        await client.end(b"done")
        ending = asyncio.ensure_future(client.end())
        await whole.ask("GET", "/account")
        assert not ending.done()
        client.writer.write(b"\x04")
        assert await ending == b""

    run(story)


def test_a_client_that_was_slow_to_come_has_as_long_again_for_its_end_of_input(monkeypatch):
    """On a busy machine the CLI needs seconds for what takes it milliseconds elsewhere."""
    monkeypatch.setattr(rendezvous, "LINGER_MOST", 60.0)

    async def story(whole):
        url = await start(whole, "echo done", force_no_tty=True)
        offers = whole.api._rendezvous._offers
        ((key, offer),) = offers.items()
        offers[key] = replace(offer, made=offer.made - 30)
        client = await Client.meet(whole, url)
        await client.end(b"done")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * rendezvous.LINGER):
                await client.end()
        client.writer.write(b"\x04")
        assert await client.end() == b""

    run(story)


def test_a_client_who_hangs_up_ends_the_dyno():
    async def story(whole):
        client = await Client.meet(whole, await start(whole, "echo ready; cat"))
        await client.end(b"ready")
        client.writer.close()
        await whole.platform.children[0].closed.wait()

    run(story)


@pytest.mark.parametrize("name", ["CLAIM", "IDLE"])
def test_nobody_waits_for_ever(monkeypatch, name):
    """For a client that never came, or that says nothing for an hour."""
    monkeypatch.setattr(rendezvous, name, 0.05)

    async def story(whole):
        url = await start(whole, "cat")
        if name == "IDLE":
            await (await Client.meet(whole, url)).end()
        await whole.platform.children[0].closed.wait()
        assert whole.platform.children[0].came is (name == "IDLE")
        late = await Client.meet(whole, url)
        assert await late.end() == b""

    run(story)


def test_a_command_in_a_dyno_is_met_like_a_one_off():
    """`heroku run:inside`: no `attach` in the body, and Accept names a variant of its own."""

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        house = whole.platform.house("demo")
        house.dynos = [whole.platform._view(house, "web", 1, "serve")]
        answer = await whole.ask(
            "POST",
            "/apps/demo/dynos/web.1",
            {"command": "echo inside", "env": {"TERM": "dumb"}},
            Accept="application/vnd.heroku+json; version=3.run-inside",
        )
        assert (answer.status, answer.body["name"]) == (201, "web.1")
        client = await Client.meet(whole, answer.body["attach_url"])
        assert await client.end() == b"rendezvous\r\ninside\r\n"
        missing = await whole.ask("POST", "/apps/demo/dynos/web.2", {"command": "true"})
        assert missing.status == 404
        empty = await whole.ask("POST", "/apps/demo/dynos/web.1", {})
        assert empty.status == 422

    run(story)


def test_a_port_of_a_dyno_is_met_and_no_byte_waits_for_the_next():
    """What could begin the CLI's exit status line is held back in a terminal's output; here it would be waited for, for ever."""

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        house = whole.platform.house("demo")
        house.dynos = [whole.platform._view(house, "web", 1, "serve")]
        answer = await whole.ask("POST", "/apps/demo/dynos/web.1/actions/forward", {"port": 5432})
        client = await Client.meet(whole, answer.body["attach_url"])
        assert await client.reader.readexactly(12) == b"rendezvous\r\n"
        for said in (b"a\xef", b"\xef\xbf", "\uffff heroku-".encode(), b"\x04b"):
            client.writer.write(said)
            assert await client.reader.readexactly(len(said)) == said

    run(story)


def test_a_secret_opens_once_and_no_other_opens():
    async def story(whole):
        url = await start(whole, "cat")
        wrong = await Client.meet(whole, url, secret="guess")
        assert await wrong.end() == b""
        first = await Client.meet(whole, f"{url}?some=query")
        await first.end(b"rendezvous\r\n")
        second = await Client.meet(whole, url)
        assert await second.end() == b""
        first.writer.write(b"\x04")
        await first.end()

    run(story)


@pytest.mark.parametrize("first", [b"", b"x" * 20_000, b"\r\n", b"\xff\xfe\r\n"])
def test_strangers_are_sent_away(monkeypatch, first):
    monkeypatch.setattr(rendezvous, "HELLO", 0.05)

    async def story(whole):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", whole.api.rendezvous_port, ssl=whole.trust
        )
        writer.write(first)
        try:
            assert await reader.read() == b""
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    run(story)


def test_the_port_that_is_wanted_is_had_again_and_again():
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]

    async def listen(**how):
        made = rendezvous.Rendezvous("127.0.0.1", port, **how)
        await made.listen(server_context())
        try:
            return made.port
        finally:
            await made.close()

    async def story():
        had = [await listen(), await listen(other=False)]
        with socket.create_server(("127.0.0.1", port)):
            had.append(await listen())
            with pytest.raises(OSError, match="address already in use"):
                await listen(other=False)
        return had

    first, again, another = asyncio.run(story())
    assert first == again == port
    assert another not in {0, port}


@pytest.mark.parametrize(
    ("set_to", "notify", "port", "other"),
    [
        (0, "", 0, True),
        (0, "/run/systemd/notify", 5001, True),
        (7000, "", 7000, False),
        (7000, "x", 7000, False),
    ],
)
def test_under_systemd_the_port_behind_the_api_s_is_wanted(monkeypatch, set_to, notify, port, other):
    monkeypatch.setattr(server, "unit", lambda: Unit(notify=notify))
    made = server._meeting(Settings(rendezvous_port=set_to), 5000)
    assert (made.port, made._other) == (port, other)


def test_closing_the_api_hangs_up():
    async def story(whole):
        client = await Client.meet(whole, await start(whole, "cat"))
        waiting = await start(whole, "cat")
        assert waiting
        await client.end(b"rendezvous\r\n")
        await whole.api._rendezvous.close()
        assert await client.end() == b""
        for child in whole.platform.children:
            await child.closed.wait()

    run(story)
