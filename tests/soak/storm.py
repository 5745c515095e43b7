"""The load of the soak, a program of its own: so many requests a second whatever comes of them (open loop), uploads and WebSockets among them.

    storm.py http://127.0.0.1:8080/ steady --rate 500 --websockets 40

It prints one JSON line a second and one more when it ends, which it does when its stdin ends; then nothing is under way any more. A
request counts from the moment at which it was due. What this program itself could not send in time, because it did not get the processor, is
counted as `unsent` and never caught up with: a burst would be another load than the one that was asked for. Everything that was sent and
not answered as it should be is in `failed`, of which the first are told in words.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import struct
import sys
import time
import urllib.parse
from collections import deque
from dataclasses import dataclass, field

import uvloop

CAP = 40.0  # seconds for an answer: the router's own is 30
BEHIND = 0.25  # seconds that this program may be late before it leaves requests out
CYCLE = 100  # requests after which the mixture begins anew
WORDS = 30  # failures that are told in words
EVERY = 2.0  # seconds between two messages of a WebSocket
SLOW_PIECES, SLOW_PAUSE = 8, 0.5
CLOSE, TEXT, NORMAL, GOING_AWAY = 8, 1, 1000, 1001
BLOCK = os.urandom(1024 * 1024)
SIZES = {"upload": (20_000, 80_000, 250_000), "slow upload": (64_000,), "large upload": (len(BLOCK),)}


@dataclass
class Tally:
    """What has come of it so far."""

    sent: int = 0
    answered: int = 0
    unsent: int = 0
    uploads: int = 0
    uploaded: int = 0
    failed: int = 0
    messages: int = 0
    closed_well: int = 0
    words: list = field(default_factory=list)
    latencies: list = field(default_factory=list)

    def fail(self, since, what):
        self.failed += 1
        if len(self.words) < WORDS:
            self.words.append(f"{since:.2f} s: {what}")


def kind_of(number):
    """The mixture: of a hundred one upload of a MiB, one that takes four seconds, three others; ten on a connection of their own."""
    place = number % CYCLE
    if place == 0:
        return "large upload"
    if place == 50:
        return "slow upload"
    if place in {25, 60, 75}:
        return "upload"
    return "lone" if place % 10 == 7 else "kept"


class Exchange(asyncio.Protocol):
    """A connection that asks one request after the other; `answer` is for the one that is under way."""

    def __init__(self):
        self._rest = bytearray()
        self.answer = None
        self.is_open = True

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        self.is_open = False
        self._settle(error=f"connection ended: {error or 'no answer'} after {bytes(self._rest[:60])!r}")

    def ask(self, data):
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self.answer

    def data_received(self, data):
        self._rest += data
        head, found, body = self._rest.partition(b"\r\n\r\n")
        if not found:
            return
        fields = bytes(head).lower()
        _, _, length = fields.partition(b"\r\ncontent-length:")
        wanted = int(length.partition(b"\r\n")[0] or 0)
        if len(body) < wanted:
            return
        if b"\r\nconnection: close" in fields:
            self.close()
        self._rest.clear()
        self._settle((int(head[9:12]), bytes(body), fields))

    def _settle(self, said=None, error=""):
        if self.answer is not None and not self.answer.done():
            if said is None:
                self.answer.set_exception(ConnectionError(error))
            else:
                self.answer.set_result(said)

    def close(self):
        self.is_open = False
        self.transport.close()


class Talk(asyncio.Protocol):
    """One WebSocket: the answer to its handshake, then frames of at most 125 bytes."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self._rest = bytearray()
        self._upgraded = False
        self.status = loop.create_future()
        self.frames = asyncio.Queue()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        if not self.status.done():
            self.status.set_result(f"ended: {error}")
        self.frames.put_nowait((-1, str(error).encode()))

    def data_received(self, data):
        self._rest += data
        if not self._upgraded:
            head, found, rest = bytes(self._rest).partition(b"\r\n\r\n")
            if not found:
                return
            self._upgraded, self._rest = True, bytearray(rest)
            self.status.set_result(head.partition(b"\r\n")[0].decode(errors="replace"))
        while len(self._rest) >= 2 and len(self._rest) >= 2 + self._rest[1]:
            length = self._rest[1]
            self.frames.put_nowait((self._rest[0] & 0x0F, bytes(self._rest[2 : 2 + length])))
            del self._rest[: 2 + length]

    def send(self, kind, payload):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.transport.write(bytes((0x80 | kind, 0x80 | len(payload))) + mask + masked)


class Storm:
    """The load on one app. `run` until `stop` is set."""

    def __init__(self, router, app, rate, websockets):
        url = urllib.parse.urlsplit(router)
        self._where = url.hostname, url.port
        self._host = f"{app}.localhost"
        self._rate, self._websockets = rate, websockets
        self._loop = asyncio.get_running_loop()
        self._idle = deque()
        self._chance = random.Random(os.urandom(8))
        self.tally = Tally()
        self.stop = asyncio.Event()
        self.begun = time.monotonic()
        self._ended = 0.0  # when the last request was sent; what is under way may take a while longer

    async def run(self):
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._websockets):
                tasks.create_task(self._talk_on(number))
            await self._fire(tasks)
        for each in self._idle:
            each.close()

    def report(self, **more):
        elapsed = (self._ended or time.monotonic()) - self.begun
        tally, sorted_ = self.tally, sorted(self.tally.latencies)
        at = lambda share: round(sorted_[int(len(sorted_) * share)] * 1000, 1) if sorted_ else 0.0  # noqa: E731
        counts = {name: value for name, value in vars(tally).items() if name != "latencies"}
        spent = {"seconds": round(elapsed, 1), "rate": round(tally.sent / elapsed, 1)}
        times = {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "slowest": at(0.9999999)}
        return json.dumps({**spent, **counts, **times, **more})

    # -- requests --------------------------------------------------------------------------------------------------

    async def _fire(self, tasks):
        number, due = 0, self.begun
        while not self.stop.is_set():
            late = time.monotonic() - due
            if late < 0:
                await asyncio.sleep(-late)
                continue
            if late > BEHIND:
                left_out = int(late * self._rate)
                self.tally.unsent += left_out
                due += left_out / self._rate
            self.tally.sent += 1
            tasks.create_task(self._one(kind_of(number), due))
            number += 1
            due += 1 / self._rate
        self._ended = time.monotonic()

    async def _one(self, kind, due):
        try:
            async with asyncio.timeout(CAP):
                said = await (self._upload(kind) if "upload" in kind else self._get(kind))
        except (OSError, ValueError, TimeoutError) as error:
            said = f"{type(error).__name__}: {error}"
        if said:
            self.tally.fail(
                due - self.begun, f"{kind}, sent and failed after {time.monotonic() - due:.2f} s: {said}"
            )
        else:
            self.tally.answered += 1
            if kind != "slow upload":
                self.tally.latencies.append(time.monotonic() - due)

    async def _connect(self):
        _, made = await self._loop.create_connection(Exchange, *self._where)
        return made

    async def _get(self, kind):
        connection = None
        while self._idle and kind == "kept" and not (connection := self._idle.popleft()).is_open:
            connection = None  # closed by the router while nothing was asked
        connection = connection or await self._connect()
        alone = "Connection: close\r\n" if kind == "lone" else ""
        try:
            answer = await connection.ask(f"GET / HTTP/1.1\r\nHost: {self._host}\r\n{alone}\r\n".encode())
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return _wrong(answer, b"release ")

    async def _upload(self, kind):
        size = self._chance.choice(SIZES[kind])
        start = self._chance.randrange(len(BLOCK) - size + 1)
        body = BLOCK[start : start + size]
        self.tally.uploads += 1
        self.tally.uploaded += size
        connection = await self._connect()
        try:
            head = f"POST / HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
            if kind == "slow upload":
                answer = connection.ask(head.encode())
                piece = size // SLOW_PIECES
                for at in range(0, size, piece):
                    await asyncio.sleep(SLOW_PAUSE)
                    connection.transport.write(body[at : at + piece])
                said = await answer
            else:
                said = await connection.ask(head.encode() + body)
        finally:
            connection.close()
        return _wrong(said, hashlib.sha256(body).hexdigest().encode())

    # -- WebSockets ------------------------------------------------------------------------------------------------

    async def _talk_on(self, number):
        """One WebSocket after the other, each as long as its dyno lives."""
        while not self.stop.is_set():
            try:
                said = await self._talk(number)
            except (OSError, TimeoutError) as error:
                said = f"{type(error).__name__}: {error}"
            if said:
                self.tally.fail(time.monotonic() - self.begun, f"WebSocket: {said}")
                await asyncio.sleep(0.1)

    async def _talk(self, number):
        _, talk = await self._loop.create_connection(Talk, *self._where)
        try:
            key = base64.b64encode(os.urandom(16)).decode()
            head = (
                f"GET /echo HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            )
            talk.transport.write(
                f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
            )
            async with asyncio.timeout(CAP):
                if " 101 " not in (status := await talk.status):
                    return f"handshake {status}"
            return await self._converse(talk, number)
        finally:
            talk.transport.close()

    async def _converse(self, talk, number):
        count = 0
        while True:
            count += 1
            sent = f"{number} says {count}".encode()
            talk.send(TEXT, sent)
            async with asyncio.timeout(CAP):
                kind, said = await talk.frames.get()
            if kind == TEXT and said == sent:
                self.tally.messages += 1
                if self.stop.is_set():
                    talk.send(CLOSE, struct.pack("!H", NORMAL))
                    return ""
                if (kind := await self._pause(talk)) is None:
                    continue
            if kind == CLOSE:  # the app goes, and says so: answer it, and come back
                self.tally.closed_well += 1
                talk.send(CLOSE, struct.pack("!H", GOING_AWAY))
                return ""
            return f"ended without a Close after {count} messages: {kind} {said[:80]!r}"

    async def _pause(self, talk):
        """Say nothing for a while; the kind of what comes meanwhile, which is a Close or the end, or None."""
        wait = self._loop.time() + EVERY * self._chance.uniform(0.5, 1.5)
        try:
            async with asyncio.timeout_at(wait):
                return (await talk.frames.get())[0]
        except TimeoutError:
            return None


def _wrong(answer, body):
    """What is wrong with an answer, or nothing."""
    status, said, fields = answer
    if status == 200 and said.startswith(body):
        return ""
    _, _, ident = fields.partition(b"x-request-id:")
    return f"status {status}, {said[:80]!r}, id {ident.partition(bytes((13,)))[0].strip().decode()}"


async def main():
    parser = argparse.ArgumentParser(
        description="requests, uploads and WebSockets at a steady rate, until stdin ends"
    )
    parser.add_argument("router")
    parser.add_argument("app")
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--websockets", type=int, default=40)
    given = parser.parse_args()
    storm = Storm(given.router, given.app, given.rate, given.websockets)
    loop = asyncio.get_running_loop()

    def told():
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            storm.stop.set()

    loop.add_reader(sys.stdin.fileno(), told)

    async def tell():
        while True:
            await asyncio.sleep(1)
            print(storm.report(), flush=True)

    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(tell())
        await storm.run()
        telling.cancel()
    print(storm.report(ended=True), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
