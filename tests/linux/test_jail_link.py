"""The control plane's link, against a real dyno host."""

import asyncio
import os

import pytest
from jailed import PATIENCE, TestHost, read_until

from dynod.host.jail_link import CannotBoot, Ended, JailLink, Stranger
from dynod.link.client import Lost
from dynod.model.jail import JailPlan
from dynod.model.spoken import Language

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module")
def host():
    one = TestHost().start()
    yield one
    one.close()


def run(main):
    async def capped():
        async with asyncio.timeout(PATIENCE):
            await main

    asyncio.run(capped())


def path(host):
    return str(host.run / "host.sock")


def test_boot_signal_exit_forget(host):
    async def main():
        exits: asyncio.Queue[Ended] = asyncio.Queue()
        link = await JailLink.connect(path(host), exits.put_nowait)
        plan = JailPlan.from_json(host.plan("sh", "-c", "echo ready; cat"))
        booted = await link.boot(plan)
        assert read_until(booted.fds[1], "ready")
        assert os.path.isdir(booted.cgroups[0])
        (live,) = await link.list()
        assert (live.id, live.pid, live.uid, live.labels["name"], live.status) == (
            plan.id,
            booted.pid,
            plan.uid,
            "web.1",
            None,
        )
        with pytest.raises(RuntimeError, match="it is running"):
            await link.forget(plan.id)
        await link.signal(plan.id, 15)
        ended = await exits.get()
        assert (ended.id, ended.status, ended.oom) == (plan.id, 143, False)
        assert ended.peak > 0
        assert (await link.list())[0].status == 143
        second: asyncio.Queue[Ended] = asyncio.Queue()
        late = await JailLink.connect(path(host), second.put_nowait)
        assert await second.get() == ended
        await link.forget(plan.id)
        assert await link.list() == []
        for fd in booted.fds:
            os.close(fd)
        await link.close()
        await late.close()

    run(main())


def test_a_refusal_is_raised_with_the_hosts_words(host):
    async def main():
        link = await JailLink.connect(path(host), print)
        with pytest.raises(CannotBoot, match="uid 5 is outside"):
            await link.boot(JailPlan.from_json(host.plan("true", uid=5)))
        with pytest.raises(RuntimeError, match="there is no such dyno"):
            await link.signal("nobody", 15)
        assert (await link.stat())["live"] == 0
        await link.close()

    run(main())


def test_many_at_once_each_get_their_own(host):
    async def main():
        exits: asyncio.Queue[Ended] = asyncio.Queue()
        link = await JailLink.connect(path(host), exits.put_nowait)
        plans = [JailPlan.from_json(host.plan("sh", "-c", f"exit {n}")) for n in range(8)]
        async with asyncio.TaskGroup() as group:
            boots = [group.create_task(link.boot(plan)) for plan in plans]
        for boot in boots:
            for fd in boot.result().fds:
                os.close(fd)
        statuses = {(one := await exits.get()).id: one.status for _ in plans}
        assert [statuses[plan.id] for plan in plans] == list(range(8))
        for plan in plans:
            await link.forget(plan.id)
        await link.close()

    run(main())


def test_a_host_that_dies_fails_what_is_pending():
    with TestHost().start() as host:

        async def main():
            link = await JailLink.connect(path(host), print)
            host.process.kill()
            await link.lost.wait()
            with pytest.raises(Lost):
                await link.list()
            await link.close()

        run(main())
        host._gone()


def test_no_host_is_an_oserror(tmp_path):
    async def main():
        with pytest.raises(OSError, match="No such file"):
            await JailLink.connect(str(tmp_path / "none"), print)

    run(main())


def test_a_host_of_another_version_says_which_and_is_let_go(host, monkeypatch):
    async def main():
        monkeypatch.setattr("dynod.host.jail_link.HOST", Language("dyno host", "dyno-host", newest=9))
        with pytest.raises(
            Stranger, match=r"speaks language 9 to the dyno host: .* systemctl restart dyno-host"
        ):
            await JailLink.connect(path(host), lambda ended: None)

    run(main())


def test_a_host_from_before_there_were_languages_is_understood(host, monkeypatch):
    async def main():
        monkeypatch.setattr("dynod.host.jail_link.HELLO", "never-heard-of")
        link = await JailLink.connect(path(host), lambda ended: None)
        assert await link.list() == []
        await link.close()

    run(main())
