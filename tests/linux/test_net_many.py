"""The whole address plan on a real kernel: as many places as a block has come and go, and nobody else's things are touched.

A few hundred of them in `make test`, all 4,000 in `make soak`, which prints what they cost.
"""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
from support.netlab import LONG, connects, inside, lab

from dynod.host.net_link import NetLink
from dynod.model.refused import Refused
from dynod.net.addresses import SLOTS

pytestmark = [pytest.mark.linux("nft", "ip", "nsenter"), pytest.mark.timeout(1200)]
AT_ONCE = 32
FEW, WARM = 200, 8


def crowd(run, method, names):
    """Ask the helper the same for many dynos, some at a time; the answers in order."""

    async def body():
        link, turns = NetLink(run), asyncio.Semaphore(AT_ONCE)

        async def one(name):
            async with turns:
                return await getattr(link, method)(name)

        try:
            return await asyncio.gather(*map(one, names))
        finally:
            await link.close()

    return asyncio.run(body())


def listed(run):
    async def body():
        link = NetLink(run)
        try:
            return await link.list()
        finally:
            await link.close()

    return asyncio.run(body())


def others(place):
    """Everything in the machine's network that is not dynod's, or should not be."""
    rules = [place.ip(place.machine, family, "rule") for family in ("-4", "-6")]
    permanent = place.ip(place.machine, "neigh", "show", "nud", "permanent")
    return place.interfaces(), place.nft("list", "ruleset"), place.routes(), rules, permanent


def strangers(place):
    """What somebody else has on this machine: a bridge with a cable, addresses near ours, a firewall and a route."""
    for words in (
        ("link", "add", "br-other", "type", "bridge"),
        ("link", "add", "veth-other", "type", "veth", "peer", "name", "veth-peer"),
        ("link", "set", "veth-other", "master", "br-other"),
        ("addr", "add", "172.17.0.1/16", "dev", "br-other"),
        ("link", "set", "br-other", "up"),
        ("route", "add", "203.0.113.0/24", "via", "198.51.100.2"),
    ):
        place.ip(place.machine, *words)
    place.nft(
        "-f",
        "-",
        given="table inet others {\n set many {\n type ipv4_addr\n elements = { 10.1.2.3 }\n }\n}\n",
    )
    place.forward_chain("ip", "filter", "accept")


def slab():
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(rows[name].split()[0]) for name in ("Slab", "Percpu"))


def walls(place, some):
    """What holds for one dyno holds for these: reached by the machine, with a way out by both families, and not by each other."""
    out4, _ = place.listen(place.internet)
    out6, _ = place.listen(place.internet, "::")
    for one, other in zip(some, (*some[1:], some[0]), strict=True):
        port, _ = place.listen(one.netns)
        assert connects(place.machine, (one.address, port), LONG)
        assert connects(one.netns, ("198.51.100.2", out4), LONG)
        assert connects(one.netns, ("2001:db8:5::2", out6), LONG)
        assert not connects(other.netns, (one.address, port))


@pytest.mark.parametrize("count", [FEW, pytest.param(SLOTS, marks=pytest.mark.soak)])
def test_a_crowd_of_places_comes_and_goes_and_nobody_else_s_things_are_touched(count):
    with lab() as place:
        place.ipv6()
        strangers(place)
        before, memory = others(place), slab()
        run = place.directory()
        helper = place.helper(run, "--warm", str(WARM))
        rules = place.nft("list", "ruleset")
        names = [f"dyno-{number}" for number in range(count)]

        watched = psutil.Process(helper.process.pid)
        begun, cpu = time.monotonic(), sum(watched.cpu_times()[:2])
        wired = crowd(run, "take", names)
        took, cpu = time.monotonic() - begun, sum(watched.cpu_times()[:2]) - cpu
        told = [f"{count} places made in {took:.1f} s, {cpu / count * 1000:.2f} ms of CPU each"]
        told.append(f"the kernel's memory: {(slab() - memory) / count:.0f} KiB each")
        told.append(f"the helper: {watched.memory_full_info().pss / 1024**2:.0f} MiB")

        assert len({each.address for each in wired}) == len({each.address6 for each in wired}) == count
        assert len({each.netns for each in wired}) == count
        assert place.nft("list", "ruleset") == rules, "no rule and no element for a single dyno"
        cables = [name for name in place.interfaces() if name.startswith("dyno")]
        assert len(cables) in range(count, count + WARM + 1)
        walls(place, [wired[number * (count - 1) // 4] for number in range(5)])
        if count == SLOTS:
            with pytest.raises(
                Refused, match="all 4000 networks of this instance are in use; stop other dynos"
            ):
                crowd(run, "take", ["one too many"])

        helper.end(signal.SIGKILL)
        begun = time.monotonic()
        helper = place.helper(run, "--warm", str(WARM), "--end")
        again = listed(run)
        told.append(f"the next helper knows them after {time.monotonic() - begun:.1f} s")
        assert again == dict(zip(names, wired, strict=True))

        half = names[: count // 2]
        begun = time.monotonic()
        crowd(run, "give", half)
        told.append(f"{len(half)} given back one by one in {time.monotonic() - begun:.1f} s")
        there = [each for each in wired[: count // 2] if os.path.exists(each.netns)]
        assert len(there) <= WARM, "but those that were made anew to be ready"
        walls(place, [wired[-1], wired[count // 2]])

        begun = time.monotonic()
        assert helper.end() == 0
        told.append(
            f"the other {count - len(half)} removed at the helper's end in {time.monotonic() - begun:.1f} s"
        )
        assert others(place) == before
        assert os.listdir(f"{run}/netns") == []
        assert run not in Path("/proc/self/mountinfo").read_text()
        print(f"\n{'; '.join(told)}")


def test_a_place_that_was_given_back_lets_nothing_of_itself_stay_in_a_full_block():
    """The neighbours of cables are permanent: those that are gone must not fill the machine's table."""
    with lab() as place:
        place.ipv6()
        run = place.directory()
        place.helper(run, "--warm", "0")
        for turn in range(3):
            names = [f"{turn}-{number}" for number in range(40)]
            crowd(run, "take", names)
            crowd(run, "give", names)
        assert "dyno" not in place.ip(place.machine, "neigh", "show", "nud", "permanent")
        assert (
            inside(place.machine, lambda: [name for _, name in socket.if_nameindex() if "dyno" in name]) == []
        )
