"""Large bodies both ways, slow readers, bounded memory."""

import asyncio
import hashlib
import re

from tests.router.routing import GET, run, serving

MEGABYTE = 2**20
LARGE = 120  # megabytes
BOUND = 40 * MEGABYTE  # what a 120 MB body may add to this process at most; three sockets' buffers are in it


def peak() -> int:
    """The most memory this process ever had."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def reset_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * (MEGABYTE // 4)


def digest() -> str:
    whole = hashlib.sha256()
    for number in range(LARGE):
        whole.update(block(number))
    return whole.hexdigest()


async def slowly(reader: asyncio.StreamReader, size: int) -> str:
    """Read in small bites, giving way after each, so that the sender is always ahead."""
    whole = hashlib.sha256()
    while size:
        data = await reader.read(min(size, 65536))
        assert data
        size -= len(data)
        whole.update(data)
        await asyncio.sleep(0)
    return whole.hexdigest()


def test_an_upload_of_120_mb_to_a_slow_dyno_stays_out_of_memory():
    async def answer(head, reader, writer):
        whole = await slowly(reader, LARGE * MEGABYTE)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + whole.encode())
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            reset_peak()
            before = peak()
            connection.writer.write(
                b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\n\r\n" % (LARGE * MEGABYTE)
            )
            for number in range(LARGE):
                connection.writer.write(block(number))
                await connection.writer.drain()
            assert (await connection.response()).body.decode() == digest()
            assert peak() - before < BOUND

    run(test)


def test_a_download_of_120_mb_by_a_slow_client_stays_out_of_memory():
    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LARGE * MEGABYTE))
        for number in range(LARGE):
            writer.write(block(number))
            await writer.drain()
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            reset_peak()
            before = peak()
            connection.writer.write(GET)
            await connection.head()
            assert await slowly(connection.reader, LARGE * MEGABYTE) == digest()
            assert peak() - before < BOUND
            size = int(re.search(r"bytes=(\d+)", await house.logplex.line())[1])
            assert 0 < size - LARGE * MEGABYTE < 1000

    run(test)


def test_a_client_that_reads_nothing_stops_the_dyno():
    """The dyno's writes come to a stand; when the client reads on, all of it arrives."""
    sent = 0
    stuck = asyncio.Event()

    async def answer(head, reader, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):
            writer.write(b"100000\r\n" + b"x" * MEGABYTE + b"\r\n")
            try:
                async with asyncio.timeout(0.2):
                    await writer.drain()
            except TimeoutError:
                stuck.set()
                await writer.drain()
            sent += 1
        writer.write(b"0\r\n\r\n")
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            reset_peak()
            before = peak()
            connection.writer.transport.pause_reading()
            connection.writer.write(GET)
            await stuck.wait()
            assert sent < 25
            assert peak() - before < BOUND
            connection.writer.transport.resume_reading()
            assert len((await connection.response()).body) == 30 * MEGABYTE

    run(test)


def test_a_chunked_upload_is_streamed_while_it_comes():
    async def answer(head, reader, writer):
        assert b"Transfer-Encoding: chunked" in head
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body = await reader.readexactly(size + 2)
            writer.write(b"%x\r\n" % size + body.upper())
        writer.write(b"0\r\n\r\n")
        await reader.readexactly(2)
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            connection.writer.write(
                b"POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for number in range(20):
                connection.writer.write(b"3;x\r\na%02d\r\n" % number)
                if number == 0:
                    assert (await connection.head()).status == 200
                assert await connection.reader.readexactly(8) == b"3\r\nA%02d\r\n" % number
            connection.writer.write(b"0\r\n\r\n")
            assert await connection.closed() == b"0\r\n\r\n"  # it had begun to answer before the body was in

    run(test)
