"""The household with small stand-in programs: stages, restarts, refusals, the orderly end, death of the parent."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from support.waiting import until, until_ended

from dynod.up.components import API_FD, READY_FD, Component
from dynod.up.household import CannotStart, Household

CAP = 20

SERVE = """
import json, os, signal, sys, time
name, run, fd = sys.argv[1:4]
extra = {"serve": ("serve.json", {"api": "https://127.0.0.1:1", "ca": "CA", "token": "T"}),
         "router": ("router.json", {"listen": "127.0.0.1:2", "pids": [os.getpid()]})}
if name in extra:
    file, value = extra[name]
    with open(f"{run}/{file}.part", "w") as out: json.dump(value, out)
    os.rename(f"{run}/{file}.part", f"{run}/{file}")
with open(f"{run}/order", "a") as out: out.write(f"+{name} ")
def end(*_):
    with open(f"{run}/order", "a") as out: out.write(f"-{name} ")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
os.write(int(fd), b"1"); os.close(int(fd))
while True: signal.pause()
"""


def stand_in(name, run, code=SERVE, files=(), grace=5.0):
    return Component(name, (sys.executable, "-c", code, name, str(run), READY_FD), files, "", grace)


def household(run, said=None):
    return Household(str(run), 0, (said if said is not None else []).append, verbose=False)


def stages(run):
    return [
        [stand_in(name, run) for name in ("host", "net", "logplex")],
        [stand_in("serve", run, files=("serve.json",))],
        [stand_in("router", run, files=("router.json",))],
    ]


def ready_json(run):
    try:
        return json.loads((run / "ready.json").read_text())
    except FileNotFoundError:
        return None


def test_all_start_by_stages_and_end_in_order(tmp_path):
    async def story():
        stop = asyncio.Event()
        task = asyncio.ensure_future(household(tmp_path).live(stages(tmp_path), stop))
        ready = await until(lambda: ready_json(tmp_path), watch=[tmp_path])
        stop.set()
        await task
        for name in ("control", "host", "net", "logplex"):
            await until_ended(ready["pids"][name])
        return ready

    ready = asyncio.run(story())
    assert ready["api"] == "https://127.0.0.1:1"
    assert ready["router"] == "http://127.0.0.1:2"
    assert (ready["token"], ready["ca"]) == ("T", "CA")
    assert set(ready["pids"]) == {"up", "control", "host", "net", "logplex", "router"}
    order = (tmp_path / "order").read_text().split()
    assert set(order[:3]) == {"+host", "+net", "+logplex"}
    assert order[3:] == ["+serve", "+router", "-router", "-serve", "-host", "-logplex", "-net"]
    assert not (tmp_path / "ready.json").exists()


def test_ready_json_is_for_its_owner_alone(tmp_path):
    async def story():
        stop = asyncio.Event()
        task = asyncio.ensure_future(household(tmp_path).live(stages(tmp_path), stop))
        await until(lambda: ready_json(tmp_path), watch=[tmp_path])
        mode = os.stat(tmp_path / "ready.json").st_mode & 0o777
        stop.set()
        await task
        return mode

    assert asyncio.run(story()) == 0o600


@pytest.mark.parametrize("name", ["control", "host", "logplex", "router"])
def test_who_dies_is_started_again_and_ready_json_tells_the_new_pid(tmp_path, name):
    said = []

    def pid(ready):
        value = ready["pids"][name]
        return value[0] if isinstance(value, list) else value

    async def story():
        stop = asyncio.Event()
        task = asyncio.ensure_future(household(tmp_path, said).live(stages(tmp_path), stop))
        before = pid(await until(lambda: ready_json(tmp_path), watch=[tmp_path]))
        os.kill(before, signal.SIGKILL)
        after = await until(
            lambda: (now := ready_json(tmp_path)) and pid(now) != before and pid(now),
            watch=[tmp_path],
        )
        os.kill(after, 0)
        stop.set()
        await task

    asyncio.run(story())
    component = {"control": "serve"}.get(name, name)
    assert said[0].startswith(f"{component} ended with status -9, starting it again")


def test_a_part_that_cannot_start_is_named_with_its_last_words_and_the_others_end(tmp_path):
    broken = stand_in("serve", tmp_path, code="import sys; sys.exit('cannot open ledger.db')")
    (first, _, _) = stages(tmp_path)

    async def story():
        await household(tmp_path).live([first, [broken]], asyncio.Event())

    with pytest.raises(
        CannotStart, match=r"(?s)cannot start serve: it ended with status 1; .*cannot open ledger.db"
    ):
        asyncio.run(asyncio.wait_for(story(), CAP))
    assert (tmp_path / "order").read_text().count("-") == 3


def test_who_does_not_end_in_time_is_killed_with_what_it_started(tmp_path):
    code = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
with open(sys.argv[2] + "/pid", "w") as out: out.write(str(child.pid))
os.write(int(sys.argv[3]), b"1")
while True: signal.pause()
"""
    said = []

    async def story():
        stop = asyncio.Event()
        one = stand_in("router", tmp_path, code=code, grace=0.2)
        task = asyncio.ensure_future(household(tmp_path, said).live([[one]], stop))
        pid = int(
            await until(
                lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), watch=[tmp_path]
            )
        )
        stop.set()
        await task
        await until_ended(pid)

    asyncio.run(story())
    assert said == ["router did not end within 0.2 s of SIGTERM and was killed"]


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET"])
def test_a_socket_that_answers_is_a_sign(tmp_path, kind):
    code = f"""
import signal, socket, sys
made = socket.socket(socket.AF_UNIX, socket.{kind})
made.bind(sys.argv[1])
made.listen()
while True: signal.pause()
"""

    async def story():
        stop = asyncio.Event()
        path = tmp_path / "x.sock"
        first = Component("host", (sys.executable, "-c", code, str(path)), ("x.sock",), "x.sock", 5.0)
        second = stand_in("net", tmp_path)
        task = asyncio.ensure_future(household(tmp_path).live([[first], [second]], stop))
        order = tmp_path / "order"
        await until(order.exists, watch=[tmp_path])
        stop.set()
        await task
        return path.exists()

    assert asyncio.run(story()) is False


def test_the_listening_socket_is_inherited(tmp_path):
    code = """
import os, signal, socket, sys
with open(sys.argv[1] + "/port", "w") as out: out.write(str(socket.socket(fileno=int(sys.argv[2])).getsockname()[1]))
os.write(int(sys.argv[3]), b"1")
signal.pause()
"""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        house = Household(str(tmp_path), listening.fileno(), lambda _: None, verbose=False)
        one = Component(
            "serve",
            (sys.executable, "-c", code, str(tmp_path), API_FD, READY_FD),
            (),
            "",
            5.0,
            keeps_api=True,
        )

        async def story():
            stop = asyncio.Event()
            task = asyncio.ensure_future(house.live([[one]], stop))
            port = tmp_path / "port"
            await until(lambda: port.exists() and port.read_text(), watch=[tmp_path])
            stop.set()
            await task
            return int(port.read_text())

        assert asyncio.run(story()) == listening.getsockname()[1]


def test_nobody_outlives_a_killed_parent(tmp_path):
    code = f"""
import asyncio, sys
sys.path[:0] = [{os.path.dirname(__file__)!r}, {os.path.dirname(os.path.dirname(__file__))!r}]
from pathlib import Path
from test_household import household, stages
run = Path({str(tmp_path)!r})
asyncio.run(household(run).live(stages(run), asyncio.Event()))
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        try:

            async def story():
                ready = await until(lambda: ready_json(tmp_path), watch=[tmp_path])
                parent.kill()
                pids = [pid for name, pid in ready["pids"].items() if name not in ("up", "router")]
                for pid in [*pids, *ready["pids"]["router"]]:
                    await until_ended(pid)

            asyncio.run(story())
        finally:
            parent.kill()
