"""Logplex on a disk that is really full: apps go on writing, and what comes after the disk has room again is kept."""

import contextlib
import os
import subprocess

import pytest
from waiting import run, until

from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask
from dynod.logplex.tail import Tail
from dynod.model.log import LogQuery

pytestmark = pytest.mark.linux("mount")
APP = "app-1"


@contextlib.contextmanager
def small_disk(path):
    os.makedirs(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # a failed test may hold files


def test_a_full_disk_holds_up_no_app(tmp_path):
    async def story(disk):
        plex = Plex(f"{disk}/logs")
        read, write = os.pipe()
        plex.piped("dyno-1", {"app": APP, "name": "web.1"}, os.dup(read))
        heard, tail = [], Tail(LogQuery(APP))
        news = f"{tmp_path}/news"
        os.makedirs(news)

        def listen():
            heard.extend(record.text for _, record in tail.take())
            os.utime(news)

        plex.listen(tail, listen)

        async def say(text):
            os.write(write, f"{text}\n".encode())
            await until(lambda: heard and heard[-1] == text, watch=[news])

        await say("before")
        with open(f"{disk}/ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(4096))
        for number in range(100):
            await say(f"{number} " + "x" * 5_000)  # more than the pages that logplex has already
        assert plex.stat()["unkept_bytes"] > 0
        os.unlink(f"{disk}/ballast")
        os.close(read)
        await say("after")
        plex.close()
        plex = Plex(f"{disk}/logs")
        texts = [record.text for _, record in plex.ask(Ask(LogQuery(APP, lines=1500)))]
        assert (texts[0], texts[-1], len(texts)) == ("before", "after", 102)
        plex.close()
        os.close(write)

    with small_disk(f"{tmp_path}/disk") as disk:
        run(story(disk))
